"""Figures of attributes against scikit-learn, numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from facewise.evaluation.attributes import measure_attributes, most_wrong
from facewise.models.attributes import WORDS, AgeRule, AttributeRule, WordRule

COUNT = 400


@pytest.fixture(scope="module")
def drawn():
    """Labels, and probabilities that are right more often than not."""
    rng = np.random.default_rng(0)
    labels = {
        "age": rng.uniform(0, 90, COUNT).round(),
        "gender": rng.integers(-1, 2, COUNT).astype(float),
        "emotion": rng.integers(-1, 7, COUNT).astype(float),
    }
    labels["age"][:20] = np.nan
    probabilities = {}
    for name in ("gender", "emotion"):
        logits = rng.standard_normal((COUNT, len(WORDS[name])))
        known = labels[name] >= 0
        logits[np.flatnonzero(known), labels[name][known].astype(int)] += 1.0
        powers = np.exp(logits)
        probabilities[name] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    years = np.arange(101)
    middle = np.nan_to_num(labels["age"], nan=40.0) + rng.normal(0, 6, COUNT)
    powers = np.exp(-0.5 * ((years - middle[:, None]) / 5) ** 2)
    probabilities["age"] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    words = {"gender": WordRule(WORDS["gender"], 1.0, 0.8), "emotion": WordRule(WORDS["emotion"], 1.0, 0.5)}
    rule = AttributeRule(("age", "gender", "emotion"), words, AgeRule())
    return rule, probabilities, labels, measure_attributes(rule, probabilities, labels)


@pytest.mark.parametrize("name", ["gender", "emotion"])
def test_words_are_as_scikit_learn_counts_them(drawn, name):
    rule, probabilities, labels, result = drawn
    known = labels[name] >= 0
    truth, rows = labels[name][known].astype(int), probabilities[name][known]
    told, found = rows.argmax(axis=1), result.words[name]
    assert found.faces == known.sum()
    assert found.accuracy.estimate == pytest.approx(accuracy_score(truth, told))
    exact = binomtest(int((truth == told).sum()), len(truth)).proportion_ci(0.95, "exact")
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((exact.low, exact.high))
    assert found.macro_f1.estimate == pytest.approx(f1_score(truth, told, average="macro"))
    assert found.macro_recall.estimate == pytest.approx(balanced_accuracy_score(truth, told))
    assert found.macro_recall.low < found.macro_recall.estimate < found.macro_recall.high
    np.testing.assert_array_equal(found.confusion, confusion_matrix(truth, told))
    sure = rows.max(axis=1) >= rule.words[name].least
    assert found.answered == pytest.approx(sure.mean())
    assert found.accuracy_answered.estimate == pytest.approx(accuracy_score(truth[sure], told[sure]))


def test_the_calibration_error_is_the_gap_of_bins(drawn):
    _, probabilities, labels, result = drawn
    known = labels["emotion"] >= 0
    rows, truth = probabilities["emotion"][known].astype(float), labels["emotion"][known].astype(int)
    top, right = rows.max(axis=1), rows.argmax(axis=1) == truth
    gap = sum(
        inside.sum() * abs(top[inside].mean() - right[inside].mean())
        for k in range(15)
        if (inside := (top >= k / 15) & (top < (k + 1) / 15)).any()
    )
    assert result.words["emotion"].ece == pytest.approx(gap / len(top))


def test_ages(drawn):
    rule, probabilities, labels, result = drawn
    known = np.isfinite(labels["age"])
    years = labels["age"][known]
    told = probabilities["age"][known].astype(float) @ np.arange(101)
    assert result.age.mae.estimate == pytest.approx(np.abs(told - years).mean(), abs=1e-4)
    assert result.age.mae.low < result.age.mae.estimate < result.age.mae.high
    assert result.age.bias == pytest.approx((told - years).mean(), abs=1e-4)
    ends = rule.age.of(probabilities["age"][known])
    inside = (ends[:, 1] <= years) & (years <= ends[:, 2])
    assert result.age.coverage.estimate == pytest.approx(inside.mean())


def test_groups_and_the_worst_of_them(drawn):
    _, probabilities, labels, result = drawn
    known = labels["emotion"] >= 0
    right = probabilities["emotion"].argmax(axis=1) == labels["emotion"]
    groups = {group.group: group for group in result.groups["emotion"]}
    women = known & (labels["gender"] == 0)
    assert groups["gender female"].faces == women.sum()
    assert groups["gender female"].value.estimate == pytest.approx(right[women].mean())
    thirties = known & (labels["age"] >= 30) & (labels["age"] < 45)
    assert groups["age 30 to 44"].value.estimate == pytest.approx(right[thirties].mean())
    assert "age 75 and over" in groups
    large = [group for group in groups.values() if group.faces >= 30]
    assert result.worst("emotion").value.estimate == min(group.value.estimate for group in large)
    ages = [group for group in result.groups["age"] if group.faces >= 30]
    assert result.worst("age").value.estimate == max(group.value.estimate for group in ages)
    assert all(group.coverage is not None for group in ages)


def test_what_is_not_labelled_or_not_told_has_no_figures(drawn):
    rule, probabilities, labels, _ = drawn
    result = measure_attributes(rule, probabilities, {"race": np.zeros(COUNT), "age": np.full(COUNT, np.nan)})
    assert (result.age, dict(result.words), dict(result.groups)) == (None, {}, {})
    assert result.worst("age") is None
    assert measure_attributes(rule, probabilities, {"gender": labels["gender"]}).to_dict()["age"] is None


def test_the_faces_told_most_wrongly(drawn):
    rule, probabilities, labels, _ = drawn
    wrong = most_wrong(rule, probabilities, labels, most=5)
    told = probabilities["age"].astype(float) @ np.arange(101)
    off = np.nan_to_num(np.abs(told - labels["age"]))
    assert [face.place for face in wrong["age"]] == np.argsort(-off)[:5].tolist()
    for face in wrong["emotion"]:
        row, place = probabilities["emotion"][face.place], WORDS["emotion"].index(face.labelled)
        assert labels["emotion"][face.place] == place
        assert WORDS["emotion"][row.argmax()] == face.told != face.labelled
        assert face.probability == pytest.approx(row.max())
    assert [face.probability for face in wrong["gender"]] == sorted(
        (face.probability for face in wrong["gender"]), reverse=True
    )
