"""The command line on real photos and the public models; one command as the process users start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facewise.cli.app import app

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def people(shared):
    """Folder of LFW's people."""
    return shared / "data" / "lfw" / "images"


@pytest.fixture(scope="module")
def run(real_models, tmp_path_factory):
    """Runs `facewise …` in a folder and store of its own, with the public models as the default ones."""
    from facewise.models import default_name

    folder = tmp_path_factory.mktemp("command-line")
    models = folder / "home" / "models"
    models.mkdir(parents=True)
    for kind in ("detector", "embedder"):
        (models / f"{default_name(kind)}.onnx").write_bytes(getattr(real_models, kind).read_bytes())

    def start(*words, code=0):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("FACEWISE_HOME", str(folder / "home"))
            done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        assert "Traceback" not in done.stderr
        return done

    start.folder = folder
    return start


def test_a_process_of_its_own(run, people):
    command = [str(Path(sys.executable).with_name("facewise")), "verify", "--threshold", "0.3", "--json"]
    photos = [str(photo(people, "Serena_Williams", number)) for number in (1, 2)]
    home = os.environ | {"FACEWISE_HOME": str(run.folder / "home")}
    done = subprocess.run(
        [*command, *photos], cwd=run.folder, env=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    here, there = (json.loads(text) for text in (run(*command[1:], *photos).stdout, done.stdout))
    assert here["same"] is there["same"] is True
    assert here["similarity"] == pytest.approx(there["similarity"], abs=1e-6)


def photo(people, name, number):
    return people / name / f"{name}_{number:04d}.jpg"


def test_verify_same_and_different(run, people):
    ada, again = photo(people, "Serena_Williams", 1), photo(people, "Serena_Williams", 2)
    other = photo(people, "Kofi_Annan", 1)
    same = json.loads(run("verify", ada, again, "--threshold", "0.3", "--json").stdout)
    assert same["same"] is True
    assert same["similarity"] > 0.5
    different = json.loads(run("verify", ada, other, "--threshold", "0.3", "--json").stdout)
    assert different["same"] is False
    swapped = json.loads(run("verify", other, ada, "--threshold", "0.3", "--json").stdout)
    assert swapped["similarity"] == pytest.approx(different["similarity"], abs=1e-6)
    assert swapped["faces"] == different["faces"][::-1]
    undecided = json.loads(run("verify", ada, again, "--json").stdout)
    assert undecided["same"] is None
    assert undecided["threshold"] is None
    assert "no calibration" in undecided["note"]


def test_enrol_and_identify(run, people):
    names = ("Serena_Williams", "Kofi_Annan", "Hans_Blix", "Vladimir_Putin")
    for name in names:
        run("enroll", name, photo(people, name, 1), "--gallery", "g.db")
    probes = [photo(people, name, 3) for name in names] + [photo(people, "Al_Gore", 2)]
    found = json.loads(run("identify", *probes, "--gallery", "g.db", "--threshold", "0.3", "--json").stdout)
    assert [p["faces"][0]["name"] for p in found["photos"]] == [*names, None]
    assert json.loads(run("gallery", "check", "--gallery", "g.db", "--json").stdout)["problems"] == []


def test_a_bad_photo_loses_nothing_good(run, people):
    bad = run.folder / "bad.jpg"
    bad.write_text("no photo")
    good = photo(people, "Hans_Blix", 5)
    done = run("embed", good, bad, run.folder / "nowhere.jpg", "--out", "e.npz", "--main", code=3)
    assert "bad.jpg" in done.stderr
    assert "nowhere.jpg" in done.stderr
    with np.load(run.folder / "e.npz") as saved:
        assert saved["embedding"].shape == (1, 128)
        assert np.linalg.norm(saved["embedding"], axis=1) == pytest.approx(1, abs=1e-6)
        assert str(saved["photo"][0]) == str(good)


def test_cluster_groups_people(run, people):
    names = ("Serena_Williams", "Kofi_Annan", "Hans_Blix")
    photos = [photo(people, name, number) for name in names for number in range(10, 18)]
    photos += [photo(people, "Al_Gore", 1)]
    found = json.loads(run("cluster", *photos, "--threshold", "0.35", "--json").stdout)
    people_found = [{Path(face["photo"]).parent.name for face in group} for group in found["groups"][:3]]
    assert sorted(people_found, key=str) == sorted([{name} for name in names], key=str)
    assert [len(group) for group in found["groups"][:4]] == [8, 8, 8, 1]
