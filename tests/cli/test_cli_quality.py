"""What commands do with photos that are too poor: each says so, and what to do about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facewise.models import read_model, write_model
from planted_quality import all_of_quality

PLAIN = 0.8


@pytest.fixture(scope="module")
def models(store):
    """`poor`, by which every face is blurred; `middling`, by which two must be more alike; and `good`."""
    model = read_model(store / "models" / "calibrated.onnx")
    for name, quality in (("poor", 0.1), ("middling", 0.75), ("good", 1.0)):
        thresholds = np.array([2.0, 0.97, 0.9, PLAIN], np.float32)
        rule = replace(all_of_quality(32, PLAIN, quality), ceiling=0.95, thresholds=thresholds)
        card = replace(model.card, name=name, calibration=replace(model.card.calibration, quality=rule))
        write_model(store / "models" / f"{name}.onnx", model.network, card)


@pytest.fixture
def ada(models, photo, monkeypatch):
    monkeypatch.setattr("facewise.quality._LEAST_DETAIL", -np.inf)  # drawings have next to none
    photo("ada/1.png", (90, 80, 60, 1))
    photo("ada/2.png", (200, 140, 80, 1))
    return "ada/1.png", "ada/2.png"


def test_verify_does_not_tell_and_has_a_code_for_it(facewise, ada):
    done = facewise("verify", *ada, "--model", "poor", code=4)
    assert "no decision: both faces are blurred" in done.out
    assert "Probability" not in done.out
    told = facewise("verify", *ada, "--model", "poor", "--json", code=4).json
    assert (told["same"], told["probability"], told["threshold"]) == (None, None, None)
    assert told["note"] == "no decision: both faces are blurred"
    quality = told["faces"][0]["quality"]
    assert (quality["value"], quality["reasons"]) == (pytest.approx(0.1, abs=1e-3), ["blurred"])
    by_hand = facewise("verify", *ada, "--model", "poor", "--threshold", 0.5, "--json").json
    assert by_hand["same"]
    assert facewise("verify", *ada, "--model", "good", "--json").json["same"]
    raised = facewise("verify", *ada, "--model", "middling", "--json").json
    assert raised["threshold"] == pytest.approx(0.9, abs=1e-3)


def test_enrolment_names_what_it_refuses(facewise, ada):
    done = facewise("enroll", "Ada", *ada, "--model", "poor", code=3)
    assert "1.png (its face is blurred: take a sharper one)" in done.err
    off = facewise("enroll", "Ada", *ada, "--model", "poor", "--quality", "off")
    assert "2 photos of 1 person" in off.out
    assert off.err.count("enrolled all the same") == 2
    facewise("enroll", "Ada", *ada, "--model", "middling", "--gallery", "m.db")
    strict = ("--quality", "strict", "--model", "middling", "--gallery", "s.db", "--json")
    told = facewise("enroll", "--folder", ".", *strict, code=3).json
    assert [r["reason"] for r in told["enrolled"][0]["rejected"]] == [
        "its face is too poor to know somebody by (quality 0.75, likely blurred): take a sharper one"
    ] * 2
    facewise("enroll", "Ada", *ada, "--quality", "best", code=2)


def test_identify_says_no_decision_instead_of_unknown(facewise, ada):
    facewise("enroll", "Ada", ada[0], "--model", "poor", "--quality", "off")
    done = facewise("identify", ada[1], "--model", "poor")
    assert "no decision: the face is blurred" in done.out
    assert "unknown" not in done.out
    (photo,) = facewise("identify", ada[1], "--model", "poor", "--json").json["photos"]
    (face,) = photo["faces"]
    assert (face["name"], face["decided"]) == (None, False)
    assert face["note"] == "no decision: the face is blurred"
    assert face["candidates"][0]["name"] == "Ada"
    assert "Ada" in facewise("identify", ada[1], "--model", "poor", "--threshold", 0.5).out


def test_cluster_leaves_the_poor_alone(facewise, ada):
    good = facewise("cluster", "ada", "--model", "good", "--json").json
    assert ([len(group) for group in good["groups"]], good["too_poor"]) == ([2], [])
    done = facewise("cluster", "ada", "--model", "poor", "--json")
    assert [len(group) for group in done.json["groups"]] == [1, 1]
    assert [(one["photo"], one["reason"]) for one in done.json["too_poor"]] == [
        (name, "blurred") for name in ada
    ]
    assert "2 faces left out, too poor to group: 1.png (blurred), 2.png (blurred)." in done.err


def test_a_finished_run_is_asked_as_its_photos_would_be(facewise, ada):
    facewise("embed", "ada", "--out", "run", "--model", "poor")
    done = facewise("embed", "--out", "run", "--into", "people.db", code=3)
    assert done.err.count("its face is blurred: take a sharper one") == 2
    off = facewise("embed", "--out", "run", "--into", "people.db", "--quality", "off")
    assert "2 samples of 1 person" in off.out
    assert off.err.count("enrolled all the same") == 2


def test_a_classifier_does_not_name_a_poor_face(facewise, ada, photo):
    for person, name in ((1, "Ada"), (2, "Bob")):
        for i in range(3):
            photo(f"train/{name}/{i}.png", (90 + 30 * i, 80 + 20 * i, 60 + 9 * i, person))
    facewise("classify", "fit", "train", "--out", "people.onnx", "--model", "poor")
    asked = ("classify", "predict", "train/Ada/0.png", "--classifier", "people.onnx", "--model", "poor")
    done = facewise(*asked)
    assert "no decision: the face is blurred" in done.out
    (face,) = facewise(*asked, "--json", "--out", "grid.png").json["photos"][0]["faces"]
    assert (face["person"], face["probability"]) == (None, None)
    assert face["note"] == "no decision: the face is blurred"
    (face,) = facewise(*asked, "--no-unknown", "--json").json["photos"][0]["faces"]
    assert (face["person"], face["note"]) == ("Ada", "")
    (face,) = facewise(*asked[:-1], "good", "--json").json["photos"][0]["faces"]
    assert face["note"] == ""
