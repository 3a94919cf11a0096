"""`facewise eval lfw`: View 1, and people left out."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def drawn_lfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn LFW whose two folds are the parts of View 1 as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
        root = importlib.import_module("mini_lfw").make(tmp_path_factory.mktemp("eval") / "lfw")
    lines = (root / "pairs.txt").read_text().splitlines()[1:]
    (root / "pairsDevTrain.txt").write_text("\n".join(["6", *lines[:12]]) + "\n")
    (root / "pairsDevTest.txt").write_text("\n".join(lines[12:]) + "\n")  # the count line may be wanting
    return root


@pytest.fixture
def lfw(drawn_lfw: Path, place: Path) -> Path:
    return Path(shutil.copytree(drawn_lfw, place / "lfw"))


def test_view_1(facewise, lfw):
    told = facewise("eval", "lfw", lfw, "--view", 1, "--json").json
    assert told["protocol"] == "View 1"
    assert (told["pairs"], told["train"]["pairs"], told["left_out"]) == (12, 12, None)
    assert {"accuracy", "precision", "recall", "f1", "auc", "eer", "threshold", "intervals"} <= set(told)
    assert [point["fmr_target"] for point in told["operating_points"]] == [0.1, 0.01]
    assert (told["detector"]["name"], told["flip"]) == ("tiny-detector", False)
    # The second fold of View 2, of two, is judged at the first one's threshold.
    whole = facewise("eval", "lfw", lfw, "--view", 2, "--json").json
    assert whole["kfold"]["accuracies"][1] == told["accuracy"]
    text = facewise("eval", "lfw", lfw, "--view", 1).out
    for said in ("LFW View 1, 12 pairs", "most accurate of 12 other pairs", "precision", "F1", "EER", "AUC"):
        assert said in text
    assert "The intervals resample people, with all their pairs" in text
    assert told["intervals_resample"] == whole["intervals_resample"] == "people, with all their pairs"
    assert "The intervals resample people" in facewise("eval", "lfw", lfw).out
    assert "A face was found in every photo." in text


def test_any_two_pair_files(facewise, lfw):
    train, test = (
        shutil.move(lfw / "pairsDevTrain.txt", "a.txt"),
        shutil.move(lfw / "pairsDevTest.txt", "b.txt"),
    )
    told = facewise("eval", "lfw", lfw, "--threshold-from", train, "--pairs", test, "--json").json
    assert told["protocol"] == "threshold from a.txt for b.txt"
    other = facewise(
        "eval", "lfw", lfw, "--threshold-from", test, "--pairs", train, "--view", 1, "--json"
    ).json
    assert other["data_hash"] != told["data_hash"]
    assert (other["pairs"], other["train"]["pairs"]) == (12, 12)
    # pairs.txt shares people with either part; without them the rest can be judged.
    bad = facewise(
        "eval", "lfw", lfw, "--threshold-from", train, "--pairs", lfw / "pairs.txt", "--json", code=3
    )
    assert "share 3 people" in bad.json["error"]
    good = facewise(
        "eval", "lfw", lfw, "--threshold-from", train, "--pairs", lfw / "pairs.txt",
        "--without-people", train, "--json",
    ).json  # fmt: skip
    assert good["left_out"] == {
        "people_named": 3,
        "people": ["Person_A", "Person_B", "Person_C"],
        "pairs": 12,
    }
    assert good["accuracy"] == told["accuracy"]


def test_without_people(facewise, lfw):
    Path("people.txt").write_text("Person_B\nSomebody Else\n")
    told = facewise("eval", "lfw", lfw, "--without-people", "people.txt", "--json").json
    assert told["left_out"] == {"people_named": 2, "people": ["Person_B"], "pairs": 6}
    assert (told["genuine"], told["impostors"]) == (10, 8)
    assert told["balanced_accuracy"] == told["balanced_kfold"]["mean"]
    assert told["balanced_standard_error"] == told["balanced_kfold"]["standard_error"]
    text = facewise("eval", "lfw", lfw, "--without-people", "people.txt").out
    assert "18 pairs (6 left out for 1 of the 2 people named)" in text
    assert "balanced accuracy, 2 folds" in text
    first = facewise("eval", "lfw", lfw, "--view", 1, "--without-people", "people.txt").out
    assert "12 pairs (0 left out for 0 of the 2 people named)" in first


def test_a_photo_that_cannot_be_read_and_one_without_a_face(facewise, lfw, photo):
    (lfw / "images/Person_A/Person_A_0001.jpg").write_text("no photo")
    shutil.copy(photo("empty.png"), lfw / "images/Person_D/Person_D_0001.jpg")
    words = ("eval", "lfw", lfw, "--view", 1, "--no-cache")
    assert "so nothing is measured" in facewise(*words, code=3).err
    done = facewise(*words, "--unreadable", 0.5, code=3)
    assert "1 photo without a face: " in done.out
    assert "1 photo unreadable: " in done.out
    assert "Person_D/Person_D_0001.jpg" in done.out
    assert [line for line in done.complaints if "Person_A_0001.jpg" in line]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--view", "3"], "--view"),
        (["--view", "2", "--pairs", "p", "--threshold-from", "p"], "--threshold-from"),
        (["--threshold-from", "p"], "--pairs"),
        (["--view", "1", "--save"], "--save"),
        (["--view", "1", "--one-shot"], "--one-shot"),
        (["--one-shot", "--without-people", "p"], "--without-people"),
    ],
)
def test_what_does_not_go_together(facewise, lfw, words, told):
    assert told in facewise("eval", "lfw", lfw, *words, code=2).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--view", "1", "--pairs", "nope.txt"], "nope.txt"),
        (["--view", "1", "--threshold-from", "nope.txt"], "nope.txt"),
        (["--without-people", "nope.txt"], "nope.txt"),
    ],
)
def test_files_that_are_not_there(facewise, lfw, words, told):
    assert told in facewise("eval", "lfw", lfw, *words, "--json", code=3).json["error"]
