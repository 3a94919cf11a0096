"""`facewise eval ijb`."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from facewise.cli.app import app
from facewise.data.seen import record_in_model, seen_photos
from facewise.data.source import FileSource


@pytest.fixture(scope="module")
def drawn_ijb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
        return importlib.import_module("mini_ijb").make(tmp_path_factory.mktemp("eval") / "ijb")


@pytest.fixture
def ijb(place: Path) -> Callable:
    """`ijb(ROOT, …, code=0)`: runs the command in an application that tells errors as the real one does."""
    from facewise.cli.evaluate_ijb import ijb as command

    alone = typer.Typer(cls=app.info.cls)
    alone.command("ijb")(command)
    alone.callback()(lambda: None)

    def run(*words: object, code: int = 0) -> SimpleNamespace:
        result = CliRunner().invoke(alone, ["ijb", *map(str, words)])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == code, (result.stdout, result.stderr)
        told = json.loads(result.stdout) if "--json" in words else None
        complaints = [line for line in result.stderr.splitlines() if line.startswith("facewise: ")]
        return SimpleNamespace(out=result.stdout, err=result.stderr, json=told, complaints=complaints)

    return run


def test_one_model(ijb, drawn_ijb) -> None:
    text = ijb(drawn_ijb, "--one-to-n").out
    for said in (
        "IJBC: 126 photos, 42 templates", "N1D1F0: weighted by feature length, weighted by detector score",
        "not flip averaging", "same and", "TAR at FMR 1e-06 (too few impostors)", "TAR at FMR 0.1", "EER",
        "AUC",
        "gallery G1 of 7 people: 14 probes of them, 14 of strangers", "rank-1", "rank-10",
        "DIR at FPIR 0.01 (too few",
        "the mean of both galleries", "both galleries as one, 14 people", "exact binomial",
    ):  # fmt: skip
        assert said in text, said
    assert "1:N" not in ijb(drawn_ijb).out


def test_json_and_options(ijb, drawn_ijb) -> None:
    told = ijb(drawn_ijb / "IJBC", "--json", "--flip", "--no-cache", "--threads", 2).json
    (model,) = told["models"]
    assert (model["dataset"], model["mode"], model["flip"]) == ("IJBC", "N1D1F1", True)
    assert (model["identification"], model["unreadable"]) == (None, [])
    assert model["embedder"]["name"] == "tiny-embedder"
    plain = ijb(
        drawn_ijb, "--subset", "ijb-c", "--no-detector-score", "--no-feature-norm", "--no-flip", "--json"
    ).json
    assert plain["models"][0]["mode"] == "N0D0F0"
    assert plain["models"][0]["verification"]["auc"] != model["verification"]["auc"]


def test_several_models_side_by_side(ijb, drawn_ijb) -> None:
    told = ijb(drawn_ijb, "--model", "other", "--model", "calibrated", "--one-to-n", "--json").json
    assert [model["embedder"]["name"] for model in told["models"]] == ["other-embedder", "calibrated"]
    text = ijb(drawn_ijb, "--model", "other", "--model", "calibrated", "--one-to-n").out
    first = f"{told['models'][0]['verification']['auc']:.5f}"
    row = next(line for line in text.splitlines() if "AUC" in line)
    assert first in row
    assert f"{told['models'][1]['verification']['auc']:.5f}" in row
    assert "other-embedder" in text


def test_photos_that_were_trained_on(ijb, drawn_ijb, place, tiny_embedder_file) -> None:
    crops = drawn_ijb / "IJBC" / "loose_crop"
    names = ["7.jpg", "12.jpg"]
    source = FileSource("x", crops, names, np.zeros(2, np.int64), ["somebody"])
    model = shutil.copy(tiny_embedder_file, place / "leaky.onnx")
    record_in_model(model, seen_photos(source))
    told = ijb(drawn_ijb, "--model", model, "--json", code=3).json
    assert "2 photos of IJBC" in told["error"]
    assert [one["photo"] for one in told["leakage"][0]["photos_in_common"]] == names
    marked = ijb(drawn_ijb, "--model", model, "--leaks", "mark")
    assert "LEAKAGE: tiny-embedder was trained on 2 photos of IJBC" in marked.out
    assert "looks are not compared" in marked.err
    leakage = ijb(drawn_ijb, "--model", model, "--leaks", "mark", "--json").json["models"][0]["leakage"]
    assert (leakage["photos_checked"], leakage["looks_checked"], leakage["left_out"]) == (True, False, None)


def test_photos_of_no_use(ijb, drawn_ijb, place) -> None:
    root = Path(shutil.copytree(drawn_ijb, place / "ijb"))
    (root / "IJBC" / "loose_crop" / "5.jpg").unlink()
    (root / "IJBC" / "loose_crop" / "9.jpg").write_text("no photo")
    assert "so nothing is measured" in ijb(root, code=3).err
    done = ijb(root, "--unreadable", 0.5, code=3)
    assert "TAR at FMR" in done.out
    assert [line for line in done.complaints if "5.jpg" in line]
    assert [line for line in done.complaints if "9.jpg" in line]
    assert "2 bad photos, named above; the good ones are done" in done.err
    shown = ijb(root, "--json", "--unreadable", 0.5, code=3).json["models"][0]["unreadable"]
    assert {entry["photo"] for entry in shown} == {"5.jpg", "9.jpg"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "There is no folder nowhere"),
        (["nowhere", "--subset", "IJBB"], "There is no folder nowhere"),
        (["."], "holds no IJB-B or IJB-C"),
        ([".", "--subset", "ijb-b"], "holds no IJBB"),
        ([".", "--model", "nobody"], "nobody"),
    ],
)
def test_what_is_not_there(ijb, words, told) -> None:
    assert told in ijb(*words, "--json", code=3).json["error"]


@pytest.mark.parametrize(
    ("words", "told"), [(["--subset", "LFW"], "--subset"), (["--leaks", "exclude"], "--leaks mark")]
)
def test_options_that_will_not_do(ijb, words, told) -> None:
    assert told in ijb(".", *words, code=2).err


def test_an_empty_path(ijb) -> None:
    assert "a path is empty" in ijb("", code=2).err
