"""The demo on photos, whole and in part, and as a command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from small_demo import PLAN, best_model, demo, numbers
from typer.testing import CliRunner

from facewise.demo import run as module
from facewise.demo.choosing import Candidate, choose
from facewise.demo.real import open_photos
from facewise.demo.teller import Silent
from facewise.errors import DatasetError
from facewise.models import read_model, write_model
from facewise.pipeline import Pipeline
from facewise.preprocess import Preprocess
from facewise.training.engine import StoppedError


def test_on_photos(tiny_models, no_pictures, photos):
    sections, text = demo(photos(14, 4))
    assert numbers(sections, "Finding")["with_a_face"] == numbers(sections, "Finding")["photos"]
    chosen = numbers(sections, "Which model")
    assert len(chosen["models"]) == 3
    assert chosen["models"]["tiny-embedder, the default model"]["auc"] > 0.99
    named = numbers(sections, "Enrolling")
    assert named["named_right"] == named["probes"] > 0
    assert "people's faces in it" in text
    assert "P 0" in text


def test_on_few_photos_nothing_is_trained(tiny_models, photos):
    folder = photos(6, 3)
    (folder / "P_00" / "0.png").write_text("no photo")
    sections, text = demo(folder)
    assert "too few people are left to learn from" in text
    assert "0.png" in text
    assert numbers(sections, "Enrolling")["enrolled"] == 2


def test_a_training_that_fails_leaves_the_rest(tiny_models, photos, monkeypatch):
    monkeypatch.setattr("facewise.demo.learning.compare", _refuse)
    sections, text = demo(photos(14, 4))
    assert "Training was left out: it cannot be." in text
    assert any("Enrolling" in title for title in sections)


def _refuse(*_, **__):
    raise DatasetError("it cannot be.")


def test_photos_without_faces_end_in_a_sentence(base_install, tiny_models):
    for person in range(6):
        Path("grey", f"P{person}").mkdir(parents=True)
        for k in range(3):
            image = np.full((90, 90, 3), 70, np.uint8)
            PIL.Image.fromarray(image).save(f"grey/P{person}/{k}.png")
    with pytest.raises(DatasetError, match="too few to measure"):
        demo(Path("grey"))


def test_of_two_models_the_better_one_is_chosen(tiny_detector_file, tiny_embedder_file, photos):
    people = open_photos(photos(6, 4), Silent()).people(PLAN)
    good = read_model(tiny_embedder_file)
    # The same network, shown the faces darker and flatter than it can tell apart.
    dim = Preprocess(112, (127.5, 120.0, 110.0), (1e6, 1e6, 1e6), "RGB", "5-point")
    bad = write_model("dim.onnx", good.network, replace(good.card, preprocess=dim, name="dim"))
    detector = Pipeline.load(tiny_detector_file, embed=False, threads=1).detector
    candidates = [Candidate("dim", bad), Candidate("seeing", good)]
    section, chosen = choose(candidates, detector, people, PLAN, Path(), 1, Silent())
    models = section.numbers["models"]
    assert chosen.name == section.numbers["used"] == best_model(section.numbers)
    # Of 48 pairs of two people too few are wrong for the wanted rate.
    assert section.numbers["judged_at_fmr"] > PLAN.fmr
    assert chosen.pipeline.embedder.calibration.decision(chosen.fmr).threshold == chosen.threshold
    assert read_model(chosen.path).card.calibration.impostors == models[chosen.name]["impostors"]


# The command


@pytest.fixture
def command(monkeypatch):
    """`command(*words)`: runs `facewise demo` at the small size at most."""
    from facewise.cli.app import app

    monkeypatch.setattr(module, "Plan", lambda: PLAN)

    def start(*words, code=0):
        done = CliRunner().invoke(app, ["demo", *map(str, words)])
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return done

    return start


def test_the_command_prints_the_reports_path(command, base_install, tiny_models, photos):
    folder = photos(6, 3)
    done = command("--data", folder, "--threads", 1)
    assert str(Path("facewise-demo/report.html").absolute()) in done.stdout
    for told in ("3. Finding the faces", "the right name", "tiny-embedder", "facewise identify"):
        assert told in done.stdout
    shown = Path(done.stdout.split("Look at it: ")[1].splitlines()[0])
    assert done.stdout.index("Look at it: ") < done.stdout.index("2. ")
    assert PIL.Image.open(shown).format == "JPEG"
    # Every step says what is left, and the end what to do next.
    steps = [line for line in done.stdout.splitlines() if re.match(r"\d+\. ", line)]
    assert all(line.endswith((" s left)", "(nearly done)")) for line in steps if "Training" not in line)
    last = [line.split(" #")[0].split() for line in done.stdout.splitlines()[-3:]]
    assert [words[1] for words in last] == ["verify", "enroll", "identify"]
    found = json.loads(command("--data", folder, "--json", "--threads", 1).stdout)
    assert Path(found["report"]).is_file()
    assert any(section.get("enrolled") == 2 for section in found["sections"])
    assert next(s["photos_read_per_second"] for s in found["sections"] if "photos_of_each" in s) > 0


def test_where_there_is_no_terminal_what_is_left_is_told_line_by_line(
    command, base_install, tiny_models, photos, monkeypatch
):
    monkeypatch.setattr("facewise.cli.demo._SAID_EVERY", 0.0)
    done = command("--data", photos(6, 3), "--threads", 1, "--seconds", 600)
    told = re.findall(r"Looking for faces: (\d+) of \d+; (?:about \d+ s left|nearly done)", done.stderr)
    assert [int(number) for number in told] == list(range(1, len(told) + 1))
    assert told
    assert "\r" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "There is no file or folder nowhere"),
        (["--data", "empty"], "holds no people"),
        (["--out", "file"], "is a file, not a folder"),
        (["--out", "mine"], "no demo"),
        (["--data", "mine", "--out", "mine/demo"], "lie in one another"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(command, words, said):
    Path("empty").mkdir()
    Path("file").touch()
    Path("mine").mkdir()
    Path("mine/letter.txt").touch()
    done = command(*words, code=3)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(command(*words, "--json", code=3).stdout)["error"] in done.stderr.strip()
    assert Path("mine/letter.txt").exists()


def test_ctrl_c_while_training(command, tiny_models, photos, monkeypatch):
    def stop(*_, **__):
        raise StoppedError("stopped")

    monkeypatch.setattr("facewise.demo.learning.compare", stop)
    command("--data", photos(14, 4), "--threads", 1, code=130)
    assert not Path("facewise-demo/report.html").exists()
