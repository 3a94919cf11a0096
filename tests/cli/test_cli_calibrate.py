"""`facewise calibrate`, and what `verify` and `identify` make of it."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from facewise.models import find_model, fpir_of, read_model, write_model


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
        return importlib.import_module("mini_lfw").make(tmp_path_factory.mktemp("calibrate") / "lfw")


@pytest.fixture
def model(tiny_embedder_file: Path, place: Path) -> Path:
    """A model of one's own to calibrate."""
    return Path(shutil.copy(tiny_embedder_file, place / "mine.onnx"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_is_calibrated_in_place(facewise, drawn, model, tiny_detector_file):
    before = read_model(model)
    told = facewise("calibrate", model, "--on", drawn, "--json").json
    after = read_model(model)
    assert told["saved"] == str(model)
    assert after.fingerprint == before.fingerprint
    assert after.sha256 != before.sha256
    calibration = after.card.calibration
    assert told["calibration"] == json.loads(json.dumps(calibration.to_dict()))
    assert (calibration.dataset, calibration.people, calibration.rates()) == ("LFW", 11, [0.1])
    assert calibration.detector_fingerprint == read_model(tiny_detector_file).fingerprint
    assert [one["fmr"] for one in told["unset"]] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert told["embedder"]["fingerprint"] == before.fingerprint
    # The same data give the same file, byte for byte: nothing in it tells the date.
    once = sha256(model)
    facewise("calibrate", model, "--on", drawn, "--json")
    assert sha256(model) == once


def test_the_tables(facewise, drawn, model):
    out = facewise("calibrate", model, "--on", drawn).out
    for said in ("LFW: all pairs of at most 10 photos of each of 11 people; 18 same pairs of 6 people",
                 "without flip averaging", "threshold", "another group's", "true FMR",
                 "No threshold at FMR 0.01: it takes 100 different pairs of two people (all pairs of 15",
                 "Probability of one person, where half of the pairs are: ", "95% intervals resample people",
                 "Of quality this calibration knows nothing (it takes 900 people, and there are 11)",
                 "Calibration saved in"):  # fmt: skip
        assert said in out
    assert "FMR 1e-06" in out


def test_nothing_or_another_file_is_written(facewise, drawn, model):
    before = sha256(model)
    assert "Nothing was written" in facewise("calibrate", model, "--on", drawn, "--dry-run").out
    assert facewise("calibrate", model, "--on", drawn, "--dry-run", "--json").json["saved"] is None
    facewise("calibrate", model, "--on", drawn, "--out", "new/other.onnx", "--flip")
    assert sha256(model) == before
    other = read_model("new/other.onnx").card
    assert other.calibration.flip is True
    assert other.name == read_model(model).card.name


def test_a_name_stands_for_the_model_in_the_store(facewise, drawn, store, tmp_path, monkeypatch):
    home = Path(shutil.copytree(store, tmp_path / "home"))
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    facewise("calibrate", "other", "--on", drawn)
    assert find_model("other", kind="embedder").card.calibration.rates() == [0.1]


def test_a_folder_and_fewer_photos(facewise, drawn, model):
    told = facewise("calibrate", model, "--on", drawn / "images", "--photos", 2, "--dry-run", "--json").json
    assert (told["photos"], told["calibration"]["genuine"]) == (17, 6)
    assert told["calibration"]["dataset"] == "images"
    Path("gone.txt").write_text("Person_A\n")
    words = ["--on", drawn, "--without-people", "gone.txt", "--dry-run", "--json"]
    assert facewise("calibrate", model, *words).json["people"] == 10


def test_verify_and_identify_speak_in_these_terms(facewise, drawn, model, place):
    facewise("calibrate", model, "--on", drawn)
    a, b, c = (drawn / "images" / who / f"{who}_000{n}.jpg"
               for who, n in (("Person_A", 1), ("Person_A", 2), ("Person_B", 1)))  # fmt: skip
    same = facewise("verify", a, b, "--model", model, "--fmr", 0.1, "--json").json
    other = facewise("verify", a, c, "--model", model, "--fmr", 0.1, "--json").json
    assert all(0 < one["probability"] < 1 for one in (same, other))
    assert (same["probability"] < other["probability"]) == (same["similarity"] < other["similarity"])
    assert same["prior"] == 0.5
    rare = facewise("verify", a, b, "--model", model, "--prior", 0.01, "--json").json
    odds = same["probability"] / (1 - same["probability"]) / 99
    assert (rare["probability"], rare["prior"]) == (pytest.approx(odds / (1 + odds)), 0.01)
    assert rare["same"] is None
    assert "ask for one of 0.1" in rare["note"]
    assert "if 0.5 of such pairs are one person." in facewise("verify", a, b, "--model", model).out
    assert "prior" in facewise("verify", a, b, "--model", model, "--prior", 2, code=3).err
    assert "only at 0.1" in facewise("verify", a, b, "--model", model, "--fmr", 0.05, code=3).err

    facewise("enroll", "Ada", a, b, "--model", model)
    facewise("enroll", "Bob", c, "--model", model)
    words = ["identify", a, "--model", model]
    told = facewise(*words, "--fpir", 0.3, "--json").json
    assert told["gallery"] == {"people": 2, "samples": 3}
    assert told["decision"]["fmr"] == 0.1
    assert told["decision"]["fpir"] == pytest.approx(fpir_of(0.1, 3))
    assert told["photos"][0]["faces"][0]["fpir"] == told["decision"]["fpir"]
    assert "3 samples of 2 people, up to 0.27 of all strangers" in facewise(*words, "--fpir", 0.3).out
    assert "up to 0.27" in facewise(*words, "--fmr", 0.1).out
    assert "given by the user" in facewise(*words, "--threshold", 0.5).out
    refused = facewise(*words, "--fpir", 0.01, code=3).err
    assert "needs a threshold at FMR 0.0033" in refused
    assert "at least 1,000 pairs of different people" in refused
    assert len(refused.splitlines()) == 1
    assert "ask for one of 0.1" in facewise(*words).out  # the default, 1e-3, was not measured: no decision
    assert "facewise calibrate MODEL" in facewise("identify", a, "--gallery", "facewise.db").out


def test_thresholds_measured_with_another_detector_are_said_to_be(
    facewise, drawn, model, tiny_detector_file, place
):
    other = read_model(tiny_detector_file)
    write_model("another.onnx", other.network, replace(other.card, name="another", decoder={
        **other.card.decoder, "min_sizes": [[16, 32], [64, 128], [256, 500]]}))  # fmt: skip
    facewise("calibrate", model, "--on", drawn, "--detector", "another.onnx")
    photo = drawn / "images" / "Person_A" / "Person_A_0001.jpg"
    words = ["verify", photo, photo, "--model", model, "--fmr", 0.1]
    assert "measured with the detector another" in facewise(*words).err
    assert facewise(*words, "--detector", "another.onnx").err == ""
    assert facewise(*words[:-2], "--threshold", 0.5).err == ""


def test_what_is_there_stays_where_the_data_are_bad(facewise, drawn, model, place):
    facewise("calibrate", model, "--on", drawn)
    before = sha256(model)
    few = place / "few"
    for name in ("Person_A", "Person_B"):
        shutil.copytree(drawn / "images" / name, few / name)
    Path("empty").mkdir()
    Path("bad.csv").write_text("a,b\nx,y\n")
    for data, told in (
        (few, "1 different pairs of two people and 2 people in same pairs; a calibration needs at least 10"),
        ("empty", "no people"),
        ("nope", "no file or folder nope"),
        ("bad.csv", "bad.csv"),
    ):
        done = facewise("calibrate", model, "--on", data, code=3)
        assert told in done.err
        assert len(done.complaints) == 1
        assert done.out == ""
    assert sha256(model) == before
    assert "error" in facewise("calibrate", model, "--on", few, "--json", code=3).json


def test_bad_photos_are_named_and_the_good_ones_done(facewise, drawn, model, place):
    root = Path(shutil.copytree(drawn / "images", place / "people"))
    (root / "Person_A" / "broken.jpg").write_bytes(b"no photo")
    done = facewise("calibrate", model, "--on", root, code=3)
    assert "so nothing is measured" in done.err
    assert read_model(model).card.calibration is None
    done = facewise("calibrate", model, "--on", root, "--unreadable", 0.2, code=3)
    assert "broken.jpg" in done.err
    assert read_model(model).card.calibration.rates() == [0.1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "--on"),
        (["--on", ""], 2, "empty"),
        (["--on", "DRAWN/images", "--pairs", "view2"], 2, "pairs.txt"),
        (["--on", "DRAWN", "--pairs", "view2", "--photos", "3"], 2, "--photos"),
        (["--on", "DRAWN", "--pairs", "view3"], 2, "view3"),
        (["--on", "DRAWN", "--photos", "1"], 2, "--photos"),
        (["--on", "DRAWN", "--root", "x"], 2, "--root"),
        (["--on", "DRAWN", "--out", "x.onnx", "--dry-run"], 2, "--dry-run"),
        (["--on", "DRAWN", "--out", "x.bin"], 2, ".onnx"),
        (["--on", "DRAWN", "--pairs", "view2"], 3, "needs at least 10"),
        (["--on", "DRAWN", "--without-people", "nope.txt"], 3, "nope.txt"),
        (["--on", "DRAWN", "--detector", "nope"], 3, "nope"),
    ],
)
def test_wrong_usage_and_bad_settings(facewise, drawn, model, words, code, told):
    done = facewise("calibrate", model, *(word.replace("DRAWN", str(drawn)) for word in words), code=code)
    assert told in done.err
    assert read_model(model).card.calibration is None


def test_a_model_that_cannot_be_written_to(facewise, drawn, model, monkeypatch):
    monkeypatch.setattr("facewise.cli.calibrate.os.access", lambda *_: False)
    done = facewise("calibrate", model, "--on", drawn, code=3)
    assert "give --out FILE.onnx" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_model_of_the_package_goes_into_the_store(facewise, drawn, model, tmp_path, store, monkeypatch):
    package = tmp_path / "bundled"
    package.mkdir()
    inside = Path(shutil.copy(model, package / "mine.onnx"))
    home = Path(shutil.copytree(store, tmp_path / "home"))
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    monkeypatch.setattr("facewise.models.bundled.FOLDER", package)
    before = sha256(inside)
    told = facewise("calibrate", "mine", "--on", drawn, "--json").json
    assert told["saved"] == str(home / "models" / "mine.onnx")
    assert sha256(inside) == before
    assert find_model("mine", kind="embedder").card.calibration is not None


def test_a_detector_is_no_embedder(facewise, drawn, tiny_detector_file):
    done = facewise("calibrate", tiny_detector_file, "--on", drawn, code=3)
    assert "embedder" in done.err
