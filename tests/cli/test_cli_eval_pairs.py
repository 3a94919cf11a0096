"""`facewise eval pairs`, `bin` and `folder`."""

from __future__ import annotations

import csv
import importlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from facewise.cli.app import _HonestGroup
from facewise.cli.evaluate_bin import bin_files
from facewise.cli.evaluate_folder import folder
from facewise.cli.evaluate_pairs import pairs
from facewise.data.lfw import read_pairs
from facewise.models import read_model

app = typer.Typer(cls=_HonestGroup)
app.command("pairs")(pairs)
app.command("bin")(bin_files)
app.command("folder")(folder)


@pytest.fixture(scope="module")
def commands() -> object:
    return typer.main.get_command(app)


@pytest.fixture
def evaluate(commands: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """`evaluate("pairs", file, …, code=0)` runs a protocol and checks its exit code."""

    def run(*words: object, code: int = 0) -> SimpleNamespace:
        with monkeypatch.context() as patch:
            patch.setattr("typer.testing._get_command", lambda _: commands)
            result = CliRunner().invoke(app, [str(word) for word in words])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == code, (result.stdout, result.stderr)
        told = json.loads(result.stdout) if "--json" in words and code != 2 else None
        return SimpleNamespace(out=result.stdout, err=result.stderr, json=told)

    return run


@pytest.fixture(scope="module")
def drawn_lfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
        return importlib.import_module("mini_lfw").make(tmp_path_factory.mktemp("eval") / "lfw")


@pytest.fixture
def lfw(drawn_lfw: Path, place: Path) -> Path:
    """The drawn LFW with its pairs as CSVs: `pairs.csv`, and its folds `0.csv` and `1.csv`; groups beside."""
    root = Path(shutil.copytree(drawn_lfw, place / "lfw"))
    found = read_pairs(root / "pairs.txt")
    for name, kept in (("pairs", found), *((str(i), [p for p in found if p.fold == i]) for i in (0, 1))):
        with (place / f"{name}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["a", "b", "same"] + ["fold"] * (name == "pairs") + ["person_a", "person_b"])
            for p in kept:
                people = [photo.split("/")[0] for photo in (p.a, p.b)]
                rows.writerow([p.a, p.b, p.same] + [p.fold] * (name == "pairs") + people)
    with (place / "groups.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "sex", "age"])
        for i, photo in enumerate(sorted((root / "images").glob("Person_*/*.jpg"))):
            rows.writerow([photo.relative_to(place), "fm"[i // 9], 20 + 3 * i])
    return root


def test_pairs_of_lfw_are_lfw(facewise, evaluate, lfw):
    told = evaluate("pairs", "pairs.csv", "--root", lfw / "images", "--json").json
    (one,) = told["models"]
    whole = facewise("eval", "lfw", lfw, "--json").json
    for name in ("accuracy", "standard_error", "balanced_accuracy", "auc", "eer", "data_hash", "genuine"):
        assert one[name] == whole[name]
    assert one["kfold"] == whole["kfold"]
    assert one["operating_points"] == whole["operating_points"][:1]
    assert (told["protocol"], told["differences"], one["decided"]) == ("pairs", [], None)
    text = evaluate("pairs", "pairs.csv", "--root", lfw / "images").out
    for said in ("pairs.csv: 12 same and 12 different pairs, 18 photos of 6 people", "Folds: 2 of the file.",
                 "accuracy", "TAR at FMR 0.1", "EER", "AUC", "The intervals resample"):  # fmt: skip
        assert said in text


def test_a_threshold_from_another_file(facewise, evaluate, lfw):
    one = evaluate("pairs", "1.csv", "--threshold-from", "0.csv", "--root", lfw / "images", "--json").json
    decided = one["models"][0]["decided"]
    lines = (lfw / "pairs.txt").read_text().splitlines()[1:]
    (lfw / "pairsDevTrain.txt").write_text("\n".join(["6", *lines[:12]]) + "\n")
    (lfw / "pairsDevTest.txt").write_text("\n".join(["6", *lines[12:]]) + "\n")
    view_1 = facewise("eval", "lfw", lfw, "--view", 1, "--json").json
    for name in ("threshold", "accuracy", "precision", "recall", "f1", "balanced_accuracy", "tp", "fp"):
        assert decided[name] == view_1[name]
    text = evaluate("pairs", "1.csv", "--threshold-from", "0.csv", "--root", lfw / "images").out
    assert "the most accurate of 12 pairs of 0.csv" in text
    assert "F1" in text
    given = evaluate("pairs", "1.csv", "--threshold", 0.3, "--root", lfw / "images", "--json").json
    assert given["models"][0]["decided"]["threshold"] == 0.3
    bad = evaluate(
        "pairs", "pairs.csv", "--threshold-from", "0.csv", "--root", lfw / "images", "--json", code=3
    )
    assert "share" in bad.json["error"]


def test_groups(evaluate, lfw):
    words = (
        "pairs",
        "pairs.csv",
        "--root",
        lfw / "images",
        "--groups",
        "groups.csv",
        "--by",
        "sex,age,sex+age",
    )
    told = evaluate(*words, "--json").json["models"][0]["groups"]
    assert [one["by"] for one in told] == ["sex", "age", "sex+age"]
    assert [row["group"] for row in told[0]["groups"]] == ["f", "m"]
    assert sum(row["genuine"] for row in told[0]["groups"]) == 12
    assert {row["group"] for row in told[1]["groups"]} <= {"18 to 29", "30 to 44", "45 to 59", "60 and older"}
    text = evaluate(*words).out
    assert "By sex, pairs within one group, at" in text
    assert "FNMR" in text
    bands = evaluate(*words, "--age-bands", "40", "--json").json["models"][0]["groups"][1]["groups"]
    assert {row["group"] for row in bands} <= {"under 40", "40 and older"}


def test_several_models(evaluate, lfw):
    words = ("pairs", "pairs.csv", "--root", lfw / "images", "--model", "calibrated", "--model", "other")
    for cache in ("--cache", "--no-cache"):
        told = evaluate(*words, cache, "--json").json
        assert [one["model"] for one in told["models"]] == ["calibrated", "other-embedder"]
        (difference,) = told["differences"]
        assert (difference["model"], difference["less"]) == ("other-embedder", "calibrated")
        auc = [one["auc"] for one in told["models"]]
        assert difference["differences"]["auc"]["difference"] == pytest.approx(auc[1] - auc[0])
    assert told["models"][0]["decided"]["threshold"] == 0.8  # its calibration's at FMR 0.001
    text = evaluate(*words).out
    assert "Differences to calibrated on the same pairs" in text
    assert "Decisions of calibrated at 0.8000" in text


def test_thresholds_are_saved(evaluate, facewise, lfw, tiny_embedder_file):
    model = shutil.copy(tiny_embedder_file, "mine.onnx")
    words = ("pairs", "pairs.csv", "--root", lfw / "images", "--model", model)
    assert "Thresholds saved in mine.onnx" in evaluate(*words, "--save").out
    calibration = read_model(model).card.calibration
    assert calibration is not None
    assert (calibration.dataset, calibration.protocol) == ("pairs", "24 pairs")
    assert [point.fmr for point in calibration.thresholds] == [0.1]
    # Measured on these pairs, they are no threshold from elsewhere.
    assert evaluate(*words, "--json").json["models"][0]["decided"] is None


def test_bad_photos_are_named_and_the_rest_is_done(evaluate, lfw, photo):
    (lfw / "images/Person_A/Person_A_0001.jpg").write_text("no photo")
    (lfw / "images/Person_B/Person_B_0002.jpg").unlink()
    words = ("pairs", "pairs.csv", "--root", lfw / "images", "--no-cache")
    refused = evaluate(*words, code=3)
    assert "2 of 18 photos of pairs.csv cannot be read" in refused.err
    assert "accuracy" not in refused.out
    words += ("--unreadable", 0.3)
    done = evaluate(*words, code=3)
    assert "2 photos unreadable: " in done.out
    assert "without a face" not in done.out
    assert "accuracy" in done.out
    for name in ("Person_A_0001.jpg", "Person_B_0002.jpg"):
        assert sum(name in line for line in done.err.splitlines()) == 1
    told = evaluate(*words, "--json", code=3).json
    assert len(told["models"][0]["unreadable"]) == 2
    assert told["models"][0]["pairs_scored_as_different_for_want_of_a_face"] == 0
    assert told["models"][0]["pairs_left_out_as_unreadable"] > 2
    assert told["models"][0]["pairs"] == 24 - told["models"][0]["pairs_left_out_as_unreadable"]
    shutil.copy(photo("empty.png"), lfw / "images/Person_A/Person_A_0001.jpg")
    shutil.copy(lfw / "images/Person_B/Person_B_0001.jpg", lfw / "images/Person_B/Person_B_0002.jpg")
    done = evaluate(*words, code=3)
    assert "1 photo without a face: " in done.out
    assert "FMR of the pairs with two faces: " in done.out
    assert "Person_A/Person_A_0001.jpg" in done.out


@pytest.mark.parametrize("kept", ["--no-cache", "--cache"])
def test_photos_with_several_faces_are_counted(evaluate, lfw, photo, kept):
    shutil.copy(
        photo("two.png", (150, 120, 60, 0), (40, 40, 30, 9)), lfw / "images/Person_A/Person_A_0001.jpg"
    )
    words = ("pairs", "pairs.csv", "--root", lfw / "images", kept)
    for _ in range(2):  # with a cache the second run looks at no photo
        done = evaluate(*words, "--json")
        assert done.json["models"][0]["main_of_several"] == [
            {"photo": "Person_A/Person_A_0001.jpg", "faces": 2}
        ]
        told = "1 photo has several faces, of which the main one was taken: Person_A/Person_A_0001.jpg"
        assert told in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--groups", "groups.csv"], "--by"),
        (["--by", "sex"], "--groups"),
        (["--threshold", "0.3", "--threshold-from", "1.csv"], "not both"),
        (["--threshold", "2"], "--threshold"),
        (["--save", "--aligned"], "--save"),
        (["--aligned", "--detector", "x"], "--detector"),
        (["--groups", "groups.csv", "--by", "age", "--age-bands", "old"], "--age-bands"),
    ],
)
def test_what_does_not_go_together(evaluate, lfw, words, told):
    assert told in evaluate("pairs", "0.csv", "--root", lfw / "images", *words, code=2).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope.csv"], "nope.csv"),
        (["0.csv", "--threshold-from", "nope.csv"], "nope.csv"),
        (["0.csv", "--groups", "nope.csv", "--by", "sex"], "nope.csv"),
        (["0.csv", "--groups", "groups.csv", "--by", "race"], "no column race"),
        (["0.csv", "--model", "nope"], "nope"),
    ],
)
def test_files_that_are_not_there(evaluate, lfw, words, told):
    assert told in evaluate("pairs", *words, "--root", lfw / "images", "--json", code=3).json["error"]


# Verification files


def write_bin(path: str, drawn_photo: Callable[..., object], pairs: int = 20) -> Path:
    import cv2

    images = []
    for i in range(pairs):
        for who in (i, i if i % 2 else i + 1):
            picture = drawn_photo([(56, 56, 112, 37 * who)], (112, 112))
            images.append(bytes(cv2.imencode(".png", picture[:, :, ::-1])[1]))
    Path(path).write_bytes(pickle.dumps((images, [bool(i % 2) for i in range(pairs)])))
    return Path(path)


def test_verification_files(evaluate, place, drawn_photo):
    write_bin("lfw.bin", drawn_photo)
    write_bin("agedb_30.bin", drawn_photo, 24)
    told = evaluate("bin", "lfw.bin", "agedb_30.bin", "--json").json
    assert [file["dataset"] for file in told["files"]] == ["LFW", "AgeDB-30"]
    assert [file["models"][0]["pairs"] for file in told["files"]] == [20, 24]
    assert told["files"][0]["models"][0]["accuracy"] == 1
    assert told["files"][0]["models"][0]["insightface_accuracy"] == 1
    assert told["files"][0]["models"][0]["detector"] is None
    text = evaluate("bin", "lfw.bin", "agedb_30.bin", "--model", "calibrated", "--model", "other").out
    for said in ("LFW", "AgeDB-30", "as InsightFace", "calibrated", "other", "Differences on AgeDB-30"):
        assert said in text


def test_a_file_that_could_do_harm_does_not_stop_the_others(evaluate, place, drawn_photo):
    write_bin("lfw.bin", drawn_photo)
    Path("evil.bin").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    done = evaluate("bin", "evil.bin", "nope.bin", "lfw.bin", "--json", code=3)
    assert [file["dataset"] for file in done.json["files"]] == ["LFW"]
    assert [bad["item"] for bad in done.json["bad"]] == ["evil.bin", "nope.bin"]
    assert not Path("harmed").exists()
    assert "LFW" in evaluate("bin", "evil.bin", "lfw.bin", code=3).out


# Folders


def test_folder(evaluate, lfw):
    told = evaluate("folder", lfw / "images", "--shots", "1,2", "--json").json
    (one,) = told["models"]
    assert (one["photos"], one["people"]) == (23, 11)
    assert (one["verification"]["genuine"], one["verification"]["impostors"]) == (18, 23 * 22 // 2 - 18)
    assert [shots["shots"] for shots in one["identification"]] == [1, 2]
    galleries = one["identification"][0]["galleries"]
    assert len(galleries) == 10
    assert (galleries[0]["gallery"], galleries[0]["mated"], galleries[0]["strangers"]) == (6, 6, 5)
    assert told["strangers"] == "too few photos"
    text = evaluate("folder", lfw / "images", "--shots", "1,2").out
    for said in ("11 people, 23 photos", "All pairs: 18 of one person, 235 of two", "TAR at FMR 0.01",
                 "10 random galleries of 6 people", "DIR at FPIR 0.1", "mean over people"):  # fmt: skip
        assert said in text


def test_strangers_and_models(evaluate, lfw):
    words = ("folder", lfw / "images", "--strangers", 0.5, "--repeats", 3)
    told = evaluate(*words, "--model", "calibrated", "--model", "other", "--json").json
    assert len(told["models"]) == 2
    for one in told["models"]:
        galleries = one["identification"][0]["galleries"]
        assert [(g["gallery"], g["strangers"]) for g in galleries] == [(3, 9)] * 3
    text = evaluate(*words, "--model", "calibrated", "--model", "other").out
    assert "other" in text
    none = evaluate("folder", lfw / "images", "--shots", 0, "--json").json
    assert none["models"][0]["identification"] == []


def test_nobody_with_too_few_photos(evaluate, lfw):
    for loner in (lfw / "images").glob("Loner_*"):
        shutil.rmtree(loner)
    done = evaluate("folder", lfw / "images")
    assert "No strangers" in done.out
    assert "--strangers 0.3" in done.out


def test_a_folder_with_a_bad_photo(evaluate, lfw):
    (lfw / "images/Person_A/Person_A_0001.jpg").write_text("no photo")
    words = ("folder", lfw / "images", "--no-cache")
    assert "1 of 23 photos" in evaluate(*words, code=3).err
    done = evaluate(*words, "--unreadable", 0.1, code=3)
    assert "1 photo unreadable: left out" in done.out
    assert "Person_A_0001.jpg" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--shots", "many"], 2, "--shots"),
        (["--shots", "3"], 3, "the most anyone has is 3"),
        (["--shots", "1,1"], 3, "named once"),
        (["--strangers", "1.5"], 3, "between 0 and 1"),
    ],
)
def test_folders_that_will_not_do(evaluate, lfw, words, code, told):
    assert told in evaluate("folder", lfw / "images", *words, code=code).err
