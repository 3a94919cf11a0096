"""Closed-set metrics against scikit-learn, scipy and loops."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.classification import ClassificationAccumulator, classify_metrics

ABSENT = 3  # a class that is never in the labels below
UNSEEN = 5  # one that is never predicted


def case(n=400, classes=9, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.delete(np.arange(classes), ABSENT), n)
    logits = 2 * rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 2
    logits[:, UNSEEN] -= 12
    return logits.astype(dtype), labels


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(seed):
    logits, labels = case(seed=seed)
    names = [f"person {i}" for i in range(9)]
    found = classify_metrics(logits, labels, names)
    predicted = logits.argmax(axis=1)
    every = np.arange(9)
    log_probabilities = log_softmax(logits, axis=1)
    assert found.loss == pytest.approx(-log_probabilities[np.arange(400), labels].mean(), abs=1e-12)
    assert found.loss == pytest.approx(sk.log_loss(labels, softmax(logits, axis=1), labels=every), abs=1e-12)
    assert found.top1 == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-12)
    for k in (1, 2, 5, 8):
        expected = sk.top_k_accuracy_score(labels, logits, k=k, labels=every)
        assert found.top_k(k) == pytest.approx(expected, abs=1e-12)
    assert found.top5 == found.top_k(5)
    assert found.top_k(9) == found.top_k(50) == 1.0
    np.testing.assert_array_equal(found.confusion, sk.confusion_matrix(labels, predicted, labels=every))
    columns = sk.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for row, precision, recall, f1, support in zip(found.classes, *columns, strict=True):
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision, recall, f1), abs=1e-12)
        assert row.support == support
    for kind in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)[:3]
        average = getattr(found, kind)
        assert (average.precision, average.recall, average.f1) == pytest.approx(expected, abs=1e-12)


def test_classes_that_are_absent_or_never_predicted():
    found = classify_metrics(*case())
    absent, unseen = found.classes[ABSENT], found.classes[UNSEEN]
    assert (absent.support, absent.recall, absent.recall_interval()) == (0, 0.0, None)
    assert absent.predicted > 0
    assert (unseen.predicted, unseen.precision, unseen.f1) == (0, 0.0, 0.0)
    assert unseen.support > 0
    assert found.worst(1) == [unseen]
    assert absent not in found.worst(99)
    assert found.classes[0].recall_interval(0.9) == binomial_interval(
        found.classes[0].correct, found.classes[0].support, 0.9
    )


def test_probabilities_and_logits_agree():
    logits, labels = case()
    from_logits = classify_metrics(logits, labels)
    found = classify_metrics(softmax(logits, axis=1), labels, kind="probabilities")
    assert found.loss == pytest.approx(from_logits.loss, abs=1e-12)
    np.testing.assert_array_equal(found.ranks, from_logits.ranks)
    hard = np.eye(3)
    assert classify_metrics(hard, [0, 1, 2], kind="probabilities").loss == pytest.approx(0, abs=1e-15)
    wrong = classify_metrics(hard, [1, 2, 0], kind="probabilities").loss
    assert wrong == pytest.approx(sk.log_loss([1, 2, 0], hard, labels=[0, 1, 2]), abs=1e-12)


def test_large_logits_do_not_overflow():
    found = classify_metrics([[1000.0, 0.0], [-1000.0, 0.0]], [0, 0])
    assert found.losses.tolist() == [0.0, 1000.0]
    assert classify_metrics([[-745.0, -746.0]], [0]).loss == pytest.approx(math.log1p(math.exp(-1)))


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 2), min_size=4, max_size=4), st.integers(0, 3)), min_size=1)
)
def test_ties_go_to_the_lower_class(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    found = classify_metrics(scores.astype(np.float64), labels)
    for row, label, predicted, rank in zip(scores, labels, found.predicted, found.ranks, strict=True):
        order = sorted(range(4), key=lambda c: (-row[c], c))
        assert predicted == order[0]
        assert rank == order.index(label) + 1
    # scikit-learn puts the higher class first, so it agrees on mirrored columns.
    for k in (1, 2, 3):
        mirrored = sk.top_k_accuracy_score(3 - labels, scores[:, ::-1], k=k, labels=range(4))
        assert found.top_k(k) == pytest.approx(mirrored, abs=1e-12)
    assert found.top1 == pytest.approx(np.trace(found.confusion) / len(rows))


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 6))
def test_invariants(seed, n, classes):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    found = classify_metrics(logits, labels)
    shares = [found.top_k(k) for k in range(1, classes + 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert found.confusion.sum() == n == found.photos
    photos, order = rng.permutation(n), rng.permutation(classes)
    again = classify_metrics(logits[photos][:, order] + 7.0, np.argsort(order)[labels[photos]])
    assert again.loss == pytest.approx(found.loss, abs=1e-12)
    assert (again.top1, again.top5) == (found.top1, found.top5)
    assert again.macro.f1 == pytest.approx(found.macro.f1, abs=1e-12)
    perfect = classify_metrics(100 * np.eye(classes)[labels], labels)
    assert (perfect.top1, perfect.macro.f1, perfect.weighted.f1) == pytest.approx((1.0, 1.0, 1.0))
    assert perfect.most_confused() == []


def test_most_confused_people_by_name():
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    predicted = [1, 1, 0, 2, 0, 1, 1, 0]
    found = classify_metrics(np.eye(3)[predicted], labels, ["Ada", "Bo", "Cy"])
    rows = [(row.true, row.predicted, row.count, row.share) for row in found.most_confused(3)]
    assert rows == [("Ada", "Bo", 2, 0.5), ("Bo", "Ada", 1, 0.5), ("Cy", "Ada", 1, 0.5)]
    assert len(found.most_confused(99)) == 5
    assert [row.name for row in found.worst(2)] == ["Cy", "Ada"]
    assert found.most_confused(0) == found.worst(0) == []


def test_batches_are_as_good_as_one():
    logits, labels = case(dtype=np.float32)
    seen = ClassificationAccumulator(9)
    for start in range(0, 400, 130):
        seen.update(logits[start : start + 130], labels[start : start + 130])
    assert seen.compute().to_dict() == classify_metrics(logits, labels).to_dict()


def test_intervals_and_json():
    found = classify_metrics(*case())
    intervals = found.intervals(level=0.9)
    assert intervals["top1"] == binomial_interval(round(found.top1 * 400), 400, 0.9)
    loss = intervals["loss"]
    half = 1.645 * found.losses.std() / 20
    assert (loss.low, loss.high) == pytest.approx((found.loss - half, found.loss + half), abs=0.15 * half)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["top1"] == found.top1
    matrix = np.zeros((9, 9), int)
    for true, predicted, count in plain["confusion"]:
        matrix[true, predicted] = count
    np.testing.assert_array_equal(matrix, found.confusion)


def test_one_class():
    found = classify_metrics([[0.3], [-1.0]], [0, 0])
    assert (found.loss, found.top1, found.top5, found.macro.f1) == (0.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "labels", "extra"),
    [
        ([], [], {}),
        (np.zeros((0, 3)), [], {}),
        ([0.1, 0.9], [0], {}),
        ([[0.1, math.nan]], [0], {}),
        ([[0.1, math.inf]], [0], {}),
        ([[0.1, 0.2], [0.1]], [0, 0], {}),
        ([["a", "b"]], [0], {}),
        ([[0.1, 0.9]], [2], {}),
        ([[0.1, 0.9]], [-1], {}),
        ([[0.1, 0.9]], [0.0], {}),
        ([[0.1, 0.9]], [0, 1], {}),
        ([[0.1, 0.9]], [0], {"names": ["only one"]}),
        ([[0.1, 0.9]], [0], {"names": ["a", "a"]}),
        ([[0.1, 0.5]], [0], {"kind": "probabilities"}),
        ([[-0.1, 1.1]], [0], {"kind": "probabilities"}),
        ([[3.0, 9.0]], [0], {"kind": "probabilities"}),
    ],
)
def test_bad_data(scores, labels, extra):
    with pytest.raises(DatasetError):
        classify_metrics(scores, labels, **extra)


def test_nan_is_told_honestly():
    with pytest.raises(DatasetError, match="NaN or infinity"):
        classify_metrics([[0.1, math.nan]], [0])


def test_bad_settings():
    with pytest.raises(SettingError):
        classify_metrics([[0.1, 0.9]], [0], kind="scores")
    with pytest.raises(SettingError):
        classify_metrics([[0.1, 0.9]], [0]).top_k(0)
    with pytest.raises(DatasetError):
        ClassificationAccumulator(3).compute()
    with pytest.raises(DatasetError):
        ClassificationAccumulator(0)
    with pytest.raises(DatasetError):
        ClassificationAccumulator(3).update([[0.1, 0.9]], [0])
