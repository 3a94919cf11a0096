"""Crops to attributes: softmax by hand, when it is not sure, bad faces, models that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import softmax

from facewise.analysis.attributes import AttributeModel
from facewise.errors import ModelError, SettingError
from facewise.models import ModelFile, find_model, read_model
from facewise.models.attributes import ATTRIBUTES, WORDS, AgeRule, AttributeRule, WordRule
from facewise.models.file import METADATA_KEY, write_model
from facewise.models.onnxmeta import metadata, replace_metadata
from facewise.types import Quality
from tiny_models import draw, write_attributes

CROPS = np.stack([draw((112, 112), [(56, 56, 80 + 4 * i, i)]) for i in range(7)])
GOOD = Quality(0.9, 40.0, 100.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return write_attributes(tmp_path_factory.mktemp("models") / "tiny-attributes.onnx")


def by_hand(model: ModelFile, crops: np.ndarray) -> dict[str, np.ndarray]:
    """Network outputs with the preprocessing written out."""
    session = onnxruntime.InferenceSession(model.network, providers=["CPUExecutionProvider"])
    card = model.card.preprocess
    pixels = (crops.astype(np.float64) - np.array(card.mean)) / np.array(card.std)
    outputs = session.run(None, {"images": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)})
    return dict(zip(ATTRIBUTES, (one.astype(np.float64) for one in outputs), strict=True))


def changed(model: ModelFile, path: Path, **changes: object) -> ModelFile:
    rule = model.card.attributes
    assert rule is not None
    return write_model(path, model.network, replace(model.card, attributes=replace(rule, **changes)))  # type: ignore[arg-type]


def test_probabilities_are_the_softmax_of_the_outputs(model: ModelFile) -> None:
    found, expected = AttributeModel(model).predict(CROPS), by_hand(model, CROPS)
    assert set(found) == {"age", "gender", "emotion", "race"}
    for name, rows in found.items():
        np.testing.assert_allclose(rows, softmax(expected[name], axis=1), atol=1e-5)


def test_a_temperature_divides_the_outputs(model: ModelFile, tmp_path: Path) -> None:
    words = {name: WordRule(words, 2.5) for name, words in WORDS.items()}
    found = AttributeModel(changed(model, tmp_path / "warm.onnx", words=words)).predict(CROPS)
    np.testing.assert_allclose(
        found["emotion"], softmax(by_hand(model, CROPS)["emotion"] / 2.5, axis=1), atol=1e-5
    )


def test_flip_is_the_mean_of_both_outputs(model: ModelFile, tmp_path: Path) -> None:
    found = AttributeModel(changed(model, tmp_path / "flip.onnx", flip=True)).predict(CROPS)
    mean = (by_hand(model, CROPS)["race"] + by_hand(model, CROPS[:, :, ::-1])["race"]) / 2
    np.testing.assert_allclose(found["race"], softmax(mean, axis=1), atol=1e-5)


def test_an_age_is_a_mean_with_an_interval_by_its_band(model: ModelFile, tmp_path: Path) -> None:
    age = AgeRule((0.0, 40.0), (1.0, 0.5), (2.0, 3.0))
    told = AttributeModel(changed(model, tmp_path / "age.onnx", age=age)).analyze(CROPS, attributes=("age",))
    probabilities = softmax(by_hand(model, CROPS)["age"], axis=1)
    for one, p in zip(told, probabilities, strict=True):
        mean = float(sum(year * share for year, share in enumerate(p)))
        spread = float(np.sqrt(sum((year - mean) ** 2 * share for year, share in enumerate(p))))
        below, above = (1.0, 2.0) if mean < 40 else (0.5, 3.0)
        assert one.age is not None
        assert (one.age.mean, one.age.low, one.age.high) == pytest.approx(
            (mean, max(0.0, mean - below * spread), mean + above * spread), abs=1e-3
        )
        assert one.gender is one.emotion is one.race is None
        assert one.note == ""


def test_it_is_not_sure_below_its_limit(model: ModelFile, tmp_path: Path) -> None:
    words = {name: WordRule(words, 1.0, 0.7) for name, words in WORDS.items()}
    found = AttributeModel(changed(model, tmp_path / "shy.onnx", words=words)).analyze(CROPS)
    expected = softmax(by_hand(model, CROPS)["gender"], axis=1)
    answers = [one.gender.answer for one in found if one.gender is not None]
    assert answers == [WORDS["gender"][row.argmax()] if row.max() >= 0.7 else None for row in expected]
    assert found[0].gender is not None
    assert sum(found[0].gender.probabilities.values()) == pytest.approx(1)
    assert tuple(found[0].gender.probabilities) == WORDS["gender"]


def test_race_is_told_only_where_it_is_named(model: ModelFile) -> None:
    loaded = AttributeModel(model)
    assert all(one.race is None for one in loaded.analyze(CROPS))
    named = loaded.analyze(CROPS, attributes=("race",))
    assert all(one.race is not None and one.age is None for one in named)


def test_of_a_bad_face_the_reason_is_told_and_nothing_else(model: ModelFile) -> None:
    bad = replace(GOOD, reasons=("too small (the eyes are 5 pixels apart)", "blurred"))
    first, second = AttributeModel(model).analyze(CROPS[:2], [bad, GOOD])
    assert first.note == "too small (the eyes are 5 pixels apart) and blurred"
    assert first.age is first.gender is first.emotion is first.race is None
    assert second.note == ""
    assert second.age is not None


def test_means_over_pictures_of_a_face_are_answered_alike(model: ModelFile) -> None:
    loaded = AttributeModel(model)
    found = loaded.predict(CROPS)
    pooled = {name: rows.mean(axis=0, keepdims=True) for name, rows in found.items()}
    (one,) = loaded.answers(pooled, ("emotion",))
    assert one.emotion is not None
    np.testing.assert_allclose(list(one.emotion.probabilities.values()), pooled["emotion"][0])


@pytest.mark.parametrize("threads", [None, 1])
def test_the_same_whatever_the_batch(model: ModelFile, threads: int | None) -> None:
    large = AttributeModel(model, batch_size=7).predict(CROPS)
    small = AttributeModel(model, batch_size=2).predict(CROPS, threads=threads)
    np.testing.assert_allclose(small["age"], large["age"], atol=1e-6)
    assert AttributeModel(model).predict(CROPS[:0], threads=threads)["age"].shape == (0, 101)
    assert AttributeModel(model).analyze(CROPS[:0]) == []


def test_what_it_cannot_tell_is_refused(model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no attribute 'agee'; did you mean age"):
        AttributeModel(model).analyze(CROPS, attributes=("agee",))
    rule = AttributeRule(("gender",), {"gender": WordRule(WORDS["gender"])})
    small = AttributeModel(write_attributes(tmp_path / "small.onnx", rule=rule))
    assert small.attributes == ("gender",)
    with pytest.raises(SettingError, match="tells gender, not emotion"):
        small.analyze(CROPS, attributes=("emotion",))
    with pytest.raises(SettingError, match="Expected uint8 crops"):
        small.predict(CROPS[:, :100])


def test_models_that_are_none(model: ModelFile, tiny_embedder_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="kind 'embedder', but a 'attributes' is needed"):
        AttributeModel.load(tiny_embedder_file)
    with pytest.raises(ModelError, match="kind 'attributes', but a 'embedder' is needed"):
        find_model(model.path, kind="embedder")
    with pytest.raises(ModelError, match="not a model of attributes"):
        AttributeModel(read_model(tiny_embedder_file))
    rule = model.card.attributes
    assert rule is not None
    less = replace(
        rule, outputs=("age", "gender", "emotion"), words={k: rule.words[k] for k in ("gender", "emotion")}
    )
    with pytest.raises(ModelError, match="says it gives 3 attributes, but gives 4"):
        AttributeModel(
            write_model(tmp_path / "less.onnx", model.network, replace(model.card, attributes=less))
        )
    mixed = replace(rule, outputs=("gender", "age", "emotion", "race"))
    file = write_model(tmp_path / "mixed.onnx", model.network, replace(model.card, attributes=mixed))
    with pytest.raises(ModelError, match="says it gives 2 numbers for gender, but gives 101"):
        AttributeModel(file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("words", "gender", "temperature"), 0),
        (("words", "gender", "least"), 1.5),
        (("words", "gender", "words"), ["female"]),
        (("words", "gender", "words"), ["female", "unknown"]),
        (("words", "gender", "words"), ["female", "female"]),
        (("words", "gender"), 7),
        (("outputs",), ["age", "gender"]),
        (("outputs",), ["age", "gender", "emotion", "race", "race"]),
        (("age",), None),
        (("age", "bands"), [10.0]),
        (("age", "low"), []),
        (("age", "high"), [float("nan")]),
    ],
)
def test_metadata_that_makes_no_sense(
    model: ModelFile, tmp_path: Path, path: tuple[str, ...], value: object
) -> None:
    pairs = metadata(model.network)
    card = json.loads(pairs[METADATA_KEY])
    inside = card["attributes"]
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    file = tmp_path / "bad.onnx"
    file.write_bytes(replace_metadata(model.network, pairs | {METADATA_KEY: json.dumps(card)}))
    with pytest.raises(ModelError, match="attributes"):
        read_model(file)


def test_the_card_is_read_as_it_was_written(model: ModelFile) -> None:
    again = read_model(model.path).card.attributes
    assert again is not None
    assert again.to_dict() == model.card.attributes.to_dict()  # type: ignore[union-attr]
