"""Clustering metrics against scikit-learn and loops over pairs of items."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from facewise.errors import DatasetError
from facewise.metrics import bcubed, nmi, pairwise_f

labellings = st.integers(1, 25).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-2, 4), min_size=n, max_size=n)] * 2)
)


def harmonic(p, r):
    return 2 * p * r / (p + r) if p + r else 0.0


@given(labellings)
def test_pairwise_is_counted_over_pairs(labels):
    true, pred = labels
    (_, fp), (fn, tp) = pair_confusion_matrix(true, pred)
    precision = tp / (tp + fp) if tp + fp else 1.0
    recall = tp / (tp + fn) if tp + fn else 1.0
    score = pairwise_f(true, pred)
    assert (score.precision, score.recall) == pytest.approx((precision, recall))
    assert score.f1 == pytest.approx(harmonic(precision, recall))


@given(labellings)
def test_bcubed_is_averaged_over_items(labels):
    true, pred = labels
    n = len(true)
    precision, recall = [], []
    for i in range(n):
        both = sum(true[i] == true[j] and pred[i] == pred[j] for j in range(n))
        precision.append(both / pred.count(pred[i]))
        recall.append(both / true.count(true[i]))
    score = bcubed(true, pred)
    assert (score.precision, score.recall) == pytest.approx((np.mean(precision), np.mean(recall)))
    assert score.f1 == pytest.approx(harmonic(np.mean(precision), np.mean(recall)))


@given(labellings)
def test_nmi_is_that_of_scikit_learn(labels):
    true, pred = labels
    expected = normalized_mutual_info_score(true, pred, average_method="arithmetic")
    assert nmi(true, pred) == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= nmi(true, pred) <= 1.0


@given(labellings)
def test_swap_and_renaming(labels):
    true, pred = labels
    named = [f"cluster {label}" for label in pred]
    for metric in (pairwise_f, bcubed):
        forth, back = metric(true, pred), metric(pred, true)
        assert (forth.precision, forth.recall) == pytest.approx((back.recall, back.precision))
        assert metric(true, named) == metric(true, pred) or metric(true, named).f1 == pytest.approx(forth.f1)
    assert nmi(true, pred) == pytest.approx(nmi(pred, true), abs=1e-12)
    assert nmi(true, named) == pytest.approx(nmi(true, pred), abs=1e-12)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_a_perfect_clustering(labels):
    assert pairwise_f(labels, labels).f1 == 1.0
    assert bcubed(labels, labels).f1 == pytest.approx(1.0)
    assert nmi(labels, labels) == pytest.approx(1.0)


def test_extremes():
    people = [0, 0, 1, 1]
    alone, together = pairwise_f(people, [0, 1, 2, 3]), pairwise_f(people, [0, 0, 0, 0])
    assert (alone.precision, alone.recall, alone.f1) == (1.0, 0.0, 0.0)
    assert (together.precision, together.recall) == (1 / 3, 1.0)
    alone, together = bcubed(people, [0, 1, 2, 3]), bcubed(people, [0, 0, 0, 0])
    assert (alone.precision, alone.recall) == (1.0, 0.5)
    assert (together.precision, together.recall) == (0.5, 1.0)
    assert nmi(people, [0, 0, 0, 0]) == 0.0
    assert nmi([7], ["x"]) == 1.0


def test_a_million_items():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2_000, 1_000_000)
    pred = np.where(rng.random(1_000_000) < 0.9, true, rng.integers(0, 2_000, 1_000_000))
    start = time.process_time()
    pairs, items = pairwise_f(true, pred), bcubed(true, pred)
    assert time.process_time() - start < 5
    (_, fp), (fn, tp) = pair_confusion_matrix(true, pred)
    assert (pairs.precision, pairs.recall) == (tp / (tp + fp), tp / (tp + fn))
    assert 0.8 < items.f1 < 0.83
    assert nmi(true, pred) == pytest.approx(normalized_mutual_info_score(true, pred), abs=1e-12)


@pytest.mark.parametrize(
    ("true", "pred"),
    [
        ([], []),
        ([0, 1], [0]),
        ([[0, 1]], [[0, 1]]),
        ([0.0, 1.0], [0, 1]),
        ([0, 1], [None, 1]),
        ([[0], [0, 1]], [0, 1]),
    ],
)
def test_bad_labels(true, pred):
    for metric in (pairwise_f, bcubed, nmi):
        with pytest.raises(DatasetError) as error:
            metric(true, pred)
        assert str(error.value).endswith(".")
