"""`--liveness`, and `facewise calibrate-liveness`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.models import read_model
from tiny_models import GREY, draw, write_liveness


def spoofed(photo: np.ndarray, grey: int = 220) -> np.ndarray:
    """The same before a bright wall, which is what the tiny network takes for a picture of a face."""
    return np.where((photo == GREY).all(axis=-1, keepdims=True), grey, photo).astype(np.uint8)


def save(path: Path, photo: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def alive(place: Path) -> Path:
    return write_liveness(place / "alive.onnx").path


@pytest.fixture(scope="module")
def presented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five subjects, live and as printed photos and on screens; one print passes, one live face does not."""
    root = tmp_path_factory.mktemp("presented") / "drawn"
    for subject in range(5):
        for shot in range(2):
            photo = draw((240, 320), [(130 + 30 * shot, 120, 60, subject + 1)])
            live = 200 if subject == 1 and shot else GREY
            save(root / "live" / f"s{subject}" / f"{shot}.png", spoofed(photo, live))
            paper = 80 if subject == 3 and shot else 180
            save(root / "spoof" / "paper" / f"s{subject}" / f"{shot}.png", spoofed(photo, paper))
            if subject < 3:
                save(root / "spoof" / "screen" / f"s{subject}" / f"{shot}.png", spoofed(photo, 170))
    return root


def test_from_calibration_to_decision(facewise, presented, alive):
    ada, print_ = draw((240, 320), [(160, 120, 60, 1)]), draw((240, 320), [(150, 120, 60, 1)])
    save(Path("ada.png"), ada), save(Path("print.png"), spoofed(print_))
    words = ("verify", "ada.png", "print.png", "--threshold", 0.8, "--liveness-model", alive)
    before = facewise(*words)
    assert "the same person" in before.out
    assert "by which nothing is decided" in before.out
    assert "alive was not calibrated" in before.err
    fingerprint = read_model(alive).fingerprint
    setting = ("calibrate-liveness", "--on", presented, "--liveness-model", alive, "--apcer", 0)
    done = facewise(*setting, "--json").json
    model = read_model(alive)
    assert done["saved"] == str(alive)
    assert model.fingerprint == fingerprint
    known = model.card.liveness
    assert (known.dataset, known.folds, known.target) == ("drawn", 5, 0.0)
    assert {kind: (rate.photos, rate.subjects) for kind, rate in known.attacks.items()} == {
        "paper": (10, 5), "screen": (6, 3),
    }  # fmt: skip
    # The print that passes is judged by the others, whose threshold knows nothing of it.
    assert known.attacks["paper"].wrong == 1
    assert known.apcer == known.attacks["paper"]
    assert (known.bpcer.wrong, known.bpcer.photos, known.bpcer.subjects) == (1, 10, 5)
    low, high = known.apcer.interval
    assert low <= 0.1 <= high
    after = facewise(*words, code=4)
    assert "no decision: the second face does not look live (score 0.000, threshold" in after.out
    assert "calibrated" not in after.err
    told = facewise(*words, "--json", code=4).json
    assert (told["same"], told["faces"][0]["liveness"]["live"], told["faces"][1]["liveness"]["live"]) == (
        None, True, False,
    )  # fmt: skip
    shown = facewise("models", "show", alive)
    assert "APCER, paper" in shown.out
    assert "BPCER, live faces" in shown.out
    assert facewise("models", "show", alive, "--json").json["liveness"]["threshold"] == known.threshold
    assert facewise("models", "verify", alive, "--json").json["good"]


def test_enrol_and_identify(facewise, presented, alive):
    facewise("calibrate-liveness", "--on", presented, "--liveness-model", alive)
    save(Path("ada.png"), draw((240, 320), [(160, 120, 60, 1)]))
    save(Path("print.png"), spoofed(draw((240, 320), [(150, 120, 60, 1)])))
    refused = facewise("enroll", "Ada", "print.png", "--liveness-model", alive, code=3)
    assert "does not look live" in refused.complaints[0]
    facewise("enroll", "Ada", "ada.png", "--liveness-model", alive)
    found = facewise(
        "identify", "ada.png", "print.png", "--threshold", 0.8, "--liveness-model", alive, "--json"
    ).json["photos"]
    assert [photo["faces"][0]["name"] for photo in found] == ["Ada", None]
    assert "does not look live" in found[1]["faces"][0]["note"]
    out = facewise("identify", "print.png", "--threshold", 0.8, "--liveness-model", alive).out
    assert "does not look live" in out


def test_where_it_is_written(facewise, presented, alive):
    before = alive.read_bytes()
    told = facewise("calibrate-liveness", "--on", presented, "--liveness-model", alive, "--dry-run")
    assert "Nothing was written" in told.out
    assert "With 3 subjects the intervals are rough" in told.out
    facewise("calibrate-liveness", "--on", presented, "--liveness-model", alive, "--out", "other.onnx")
    assert alive.read_bytes() == before
    assert read_model("other.onnx").card.liveness is not None
    facewise("calibrate-liveness", "--on", presented, "--liveness-model", alive, "--out", "a.txt", code=2)


def test_bad_data(facewise, presented, alive, place):
    words = ("calibrate-liveness", "--liveness-model", alive, "--on")

    def complaint(folder: object) -> str:
        done = facewise(*words, folder, code=3)
        assert len(done.complaints) == 1
        return done.complaints[0]

    assert "There is no folder nowhere/live" in complaint("nowhere")
    flat = shutil.copytree(presented, place / "flat")
    shutil.copy(flat / "live" / "s0" / "0.png", flat / "live" / "0.png")
    assert "is not in a folder live/SUBJECT" in complaint(flat)
    one = place / "one"
    shutil.copytree(presented / "live" / "s0", one / "live" / "s0")
    shutil.copytree(presented / "spoof", one / "spoof")
    assert "holds photos of 1 subjects" in complaint(one)
    faceless = place / "faceless"
    for kind in ("live", "spoof"):
        for subject in "ab":
            save(faceless / kind / subject / "0.png", draw((240, 320)))
    assert "Faces were found of too few subjects" in complaint(faceless)
    torn = shutil.copytree(presented, place / "torn")
    (torn / "live" / "s0" / "0.png").write_bytes(b"no photo")
    assert "of torn cannot be read" in complaint(torn)
    told = facewise(*words, torn, "--unreadable", 0.2, code=3)
    assert "live/s0/0.png" in told.err.replace("\\", "/")
    assert read_model(alive).card.liveness is not None  # the good ones were measured


def test_models_that_are_not_there_or_of_another_kind(facewise, photo, presented, store):
    photo("a.png", (160, 120, 60, 1))
    missing = facewise("verify", "a.png", "a.png", "--liveness", code=3)
    assert "minifasnet-v2" in missing.complaints[0]
    assert "models import" in missing.complaints[0]
    other = facewise("verify", "a.png", "a.png", "--liveness-model", "other", code=3)
    assert "'embedder', but a 'liveness' is needed" in other.complaints[0]
    alive = write_liveness(Path("alive.onnx")).path
    for words in (
        ("verify", "a.png", "a.png", "--model", alive),
        ("detect", "a.png", "--detector", alive),
        ("calibrate", alive, "--on", presented),
        ("models", "quantize", alive, "--photos", "."),
    ):
        done = facewise(*words, code=3)
        assert len(done.complaints) == 1, done.err
        assert "'liveness'" in done.complaints[0]
