"""`facewise classify`: fit, predict, evaluate."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.classify import read_classifier

PEOPLE = ("Ada", "Bob", "Cyd", "Dot")


@pytest.fixture
def people(photo):
    """`people("train", 6)`: a folder of so many photos each of four people, no two alike."""

    def make(folder: str, count: int, seed: int = 0, names=PEOPLE) -> Path:
        rng = np.random.default_rng(seed)
        for number, name in enumerate(names):
            for i in range(count):
                x, y, size = rng.uniform(80, 220), rng.uniform(80, 160), rng.uniform(60, 110)
                photo(f"{folder}/{name}/{i}.png", (float(x), float(y), float(size), number + 1))
        return Path(folder)

    return make


def test_learned_people_are_named_and_strangers_are_not(facewise, people, photo):
    people("train", 6)
    done = facewise("classify", "fit", "train", "--out", "people.onnx", "--json").json
    assert done["held_out"]["top1"] == 1.0
    assert done["photos"] == 24
    assert done["classifier"]["people"] == list(PEOPLE)
    photo("party.png", (90, 80, 60, 2), (220, 150, 90, 1), (60, 190, 40, 40))
    photo("nobody.png")
    told = facewise("classify", "predict", "party.png", "nobody.png", "--classifier", "people.onnx", "--json")
    by_width = {round(f["box"][2] - f["box"][0]): f["person"] for f in told.json["photos"][0]["faces"]}
    assert by_width == {90: "Ada", 60: "Bob", 40: None}
    assert told.json["photos"][1]["faces"] == []
    everybody = facewise(
        "classify", "predict", "party.png", "--classifier", "people.onnx", "--no-unknown", "--json"
    )
    assert all(face["person"] for face in everybody.json["photos"][0]["faces"])


def test_people_whose_names_read_like_none_of_the_people(facewise, people, photo):
    names = ("1", "None", "null", "unknown")
    people("train", 6, names=names)
    people("test", 2, seed=1, names=names)
    fitted = facewise("classify", "fit", "train", "--out", "people.onnx", "--json").json
    assert fitted["classifier"]["people"] == list(names)
    shown = [f"test/{name}/0.png" for name in names] + [str(photo("stranger.png", (90, 80, 60, 40)))]
    told = facewise("classify", "predict", *shown, "--classifier", "people.onnx", "--json").json["photos"]
    assert [face["person"] for one in told for face in one["faces"]] == [*names, None]
    rows = facewise("classify", "predict", *shown, "--classifier", "people.onnx").out.splitlines()
    assert [row.split("│")[2].strip() for row in rows if ".png" in row] == [
        *names[:3],
        '"unknown"',
        "unknown",
    ]
    measured = facewise("classify", "evaluate", "test", "--classifier", "people.onnx", "--json").json
    assert [(one["known"], one["named"]) for one in measured["photos"]] == [
        (True, one["person"]) for one in measured["photos"]
    ]


@pytest.mark.parametrize("method", ["svc", "knn", "lda", "logistic"])
def test_every_method(facewise, people, method):
    people("train", 5)
    people("test", 3, seed=1)
    facewise("classify", "fit", "train", "--out", "p.onnx", "--method", method)
    done = facewise("classify", "evaluate", "test", "--classifier", "p.onnx", "--json").json
    assert done["classifier"]["method"] == method
    assert done["closed_set"]["top1"] == 1.0
    assert done["rates"]["known"] == 12


def test_evaluate_tells_of_strangers_and_draws(facewise, people):
    people("train", 5)
    people("test", 3, seed=1, names=(*PEOPLE, "Eve", "Fay"))
    facewise("classify", "fit", "train", "--out", "p.onnx")
    done = facewise("classify", "evaluate", "test", "--classifier", "p.onnx", "--out", "grid.png", "--json")
    assert done.json["rates"]["strangers"] == 6
    strangers = [one for one in done.json["photos"] if not one["known"]]
    assert all(one["right"] == (one["named"] is None) for one in strangers)
    assert PIL.Image.open("grid.png").size[0] > 500
    out = facewise("classify", "evaluate", "test", "--classifier", "p.onnx").out
    assert "Accuracy 1.0000" in out
    assert "6 photos of strangers" in out


def test_photos_it_was_fitted_on_are_refused_left_out_or_marked(facewise, people):
    people("train", 5)
    facewise("classify", "fit", "train", "--out", "p.onnx")
    people("test", 2, seed=1)
    shutil.copy("train/Ada/0.png", "test/Ada/again.png")
    words = ("classify", "evaluate", "test", "--classifier", "p.onnx", "--json")
    assert "Ada/again.png" in facewise(*words, code=3).err
    left_out = facewise(*words, "--leaks", "exclude").json
    assert (len(left_out["photos"]), left_out["fitted_on"]) == (
        8,
        {"photos": ["Ada/again.png"], "excluded": True},
    )
    marked = facewise(*words, "--leaks", "mark").json
    assert (len(marked["photos"]), marked["fitted_on"]["excluded"]) == (9, False)
    facewise("classify", "fit", "train", "--out", "p.onnx", "--no-record")
    assert read_classifier("p.onnx").card.trained_on is None
    assert len(facewise(*words).json["photos"]) == 9


def test_a_bad_photo_is_named_and_the_others_are_learned(facewise, people, photo):
    people("train", 4)
    Path("train/Bob/notes.jpg").write_text("no photo")
    photo("train/Cyd/empty.png")
    done = facewise("classify", "fit", "train", "--out", "p.onnx", code=3)
    assert "notes.jpg" in done.err
    assert "No face was found in Cyd/empty.png" in done.err
    assert len(read_classifier("p.onnx").card.people) == 4
    photo("ada.png", (100, 100, 80, 1))
    named = facewise(
        "classify", "predict", "ada.png", "train/Bob/notes.jpg", "--classifier", "p.onnx", code=3
    )
    assert "Ada" in named.out


def test_few_photos_are_told(facewise, people, photo):
    photo("few/Ada/1.png", (90, 80, 60, 1))
    photo("few/Bob/1.png", (90, 80, 60, 2))
    out = facewise("classify", "fit", "few", "--out", "p.onnx").out
    assert "Nobody has a photo to spare" in out
    photo("alone/Ada/1.png", (90, 80, 60, 1))
    assert facewise("classify", "fit", "alone", "--out", "q.onnx", code=3).complaints
    assert not Path("q.onnx").exists()


def test_another_model_is_refused_and_the_right_one_found(facewise, people, photo, store):
    people("train", 4)
    facewise("classify", "fit", "train", "--out", "p.onnx", "--model", "other")
    photo("ada.png", (100, 100, 80, 1))
    # Found by its fingerprint, though it is not the default.
    facewise("classify", "predict", "ada.png", "--classifier", "p.onnx")
    wrong = facewise(
        "classify", "predict", "ada.png", "--classifier", "p.onnx", "--model", "calibrated", code=3
    )
    assert "another model" in wrong.err


def test_a_classifier_finds_the_model_beside_it_or_says_that_it_is_not_here(
    facewise, people, photo, store, tmp_path, monkeypatch
):
    people("train", 4)
    facewise("classify", "fit", "train", "--out", "run/p.onnx", "--model", "other")
    photo("ada.png", (100, 100, 80, 1))
    home = tmp_path / "home"
    shutil.copytree(store / "models", home / "models")
    (home / "models" / "other.onnx").unlink()
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    gone = facewise("classify", "predict", "ada.png", "--classifier", "run/p.onnx", code=3)
    assert "which is not here" in gone.err
    shutil.copy(store / "models" / "other.onnx", "run/model.onnx")
    facewise("classify", "predict", "ada.png", "--classifier", "run/p.onnx")


def test_a_file_that_is_no_classifier_is_refused(facewise, photo, store):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (Path("opened"),))

    photo("ada.png", (100, 100, 80, 1))
    Path("evil.onnx").write_bytes(pickle.dumps(Evil()))
    for file in ("evil.onnx", "missing.onnx", "ada.png", store / "models" / "other.onnx"):
        done = facewise("classify", "predict", "ada.png", "--classifier", file, code=3)
        assert len(done.complaints) == 1
    assert not Path("opened").exists()


def test_wrong_settings(facewise, people):
    people("train", 3)
    words = ("classify", "fit", "train", "--out", "p.onnx")
    assert "svc" in facewise(*words, "--method", "svm", code=3).err
    assert facewise(*words, "--test", 1.5, code=3).complaints
    assert facewise(*words, "--fpir", 2, code=3).complaints
    assert "50 photos" in facewise(*words, "--min-photos", 50, code=3).err
    assert facewise("classify", "fit", "nowhere", "--out", "p.onnx", code=3).complaints
    assert not Path("p.onnx").exists()
    facewise(*words, "--min-photos", 2)
    assert facewise(
        "classify",
        "evaluate",
        "train",
        "--classifier",
        "p.onnx",
        "--leaks",
        "mark",
        "--out",
        "grid.txt",
        code=3,
    ).complaints
