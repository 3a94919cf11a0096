"""The parts of making the model of attributes that can be checked without training it."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facewise.evaluation.attributes import measure_attributes
from facewise.models.attributes import WORDS
from facewise.models.file import write_model
from scripts.own_models import attributes
from scripts.own_models.attribute_card import write_attribute_card
from scripts.own_models.attribute_faces import TEST, VALIDATE, alike, part, sharpened
from scripts.own_models.attributes import NAME, RUN, told
from tiny_models import write_attributes


def picture(seed):
    """Something with large and small parts."""
    rng = np.random.default_rng(seed)
    return cv2.resize(
        rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (144, 144), interpolation=cv2.INTER_CUBIC
    )


def test_pictures_that_look_the_same_are_one_group():
    one, other, third = picture(0), picture(1), picture(2)
    darker = (one * 0.8 + 9).astype(np.uint8)
    small = cv2.resize(cv2.resize(third, (60, 60), interpolation=cv2.INTER_AREA), (144, 144))
    groups = alike([one, other, darker, other[:, ::-1].copy(), third, small, one])
    assert groups.tolist() == [0, 1, 0, 1, 4, 4, 0]


def test_a_fifth_is_tested_on_and_a_tenth_of_the_rest_validated_on():
    parts = np.array([part(f"picture {i}") for i in range(4000)])
    assert np.mean(parts == TEST) == pytest.approx(0.2, abs=0.02)
    assert np.mean(parts == VALIDATE) == pytest.approx(0.08, abs=0.015)
    assert parts.tolist() == [part(f"picture {i}") for i in range(4000)]


def test_a_blur_is_undone_in_part():
    sharp = cv2.resize(picture(5), (48, 48), interpolation=cv2.INTER_AREA)
    sharp = np.repeat(cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3.0, borderType=cv2.BORDER_REFLECT)
    undone = sharpened(blurred)
    assert undone.shape == (48, 48, 3)
    before, after = (np.abs(one.astype(float) - sharp).mean() for one in (blurred, undone))
    assert after < before / 2


def test_the_card_says_what_was_measured(tmp_path, monkeypatch):
    model = write_attributes(tmp_path / f"{NAME}.onnx")
    rng = np.random.default_rng(0)
    count = 300
    labels = {name: rng.integers(0, len(words), count).astype(float) for name, words in WORDS.items()}
    labels["age"] = rng.uniform(1, 90, count).round()
    probabilities = {name: rng.dirichlet(np.ones(len(words)), count) for name, words in WORDS.items()}
    probabilities["age"] = rng.dirichlet(np.ones(101), count)
    result = measure_attributes(model.card.attributes, probabilities, labels)
    results = dict.fromkeys(("utkface", "utkface, 18 to 60", "fer2013", "fer2013, cleaned"), result)
    monkeypatch.setattr(attributes, "measure", lambda *_: results)
    measured = told(results)
    assert measured["gender"]["value"] == result.words["gender"].accuracy.estimate
    assert measured["age"]["worst"]["faces"] >= 30
    training = {"parameters": 5, "seed": 0, "seconds": 3600, "git": "abc"}
    write_model(model.path, model.network, replace(model.card, training=training))
    data = {"UTKFace": {"learned": 3, "validated": 2, "tested": 1, "terms": "research"}}
    figures = {
        "data": data,
        "faces": {"utkface": "ab" * 32},
        **{name: one.to_dict() for name, one in results.items()},
    }
    (tmp_path / "attributes.json").write_text(json.dumps(figures))
    for branch in (0, 1):
        folder = tmp_path / RUN / f"branch-{branch}"
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(f'{{"branch": {branch}}}\n')
    write_attribute_card(tmp_path, tmp_path / "docs")
    card = (tmp_path / "docs" / f"{NAME}.md").read_text()
    for said in (
        model.fingerprint,
        "| UTKFace | 3 | 2 | 1 | research |",
        f"{result.age.mae.estimate:.2f}",
        "abc",
    ):
        assert said in card
    assert (tmp_path / "docs" / f"{NAME}.jsonl").read_text().count("branch") == 2
