"""Verification metrics against scikit-learn, scipy and loops that do what the definitions say."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.metrics import (
    accuracy,
    auc,
    best_threshold,
    binary_report,
    eer,
    kfold_accuracy,
    roc,
    tar_at_fmr,
    threshold_at_fmr,
    verify_metrics,
)
from facewise.metrics.decisions import balanced_accuracy

DTYPES = (np.float16, np.float32, np.float64)


@st.composite
def tied_pairs(draw, max_size=40):
    """Pairs of both kinds whose few distinct scores tie heavily, -1.0 (no face) among them."""
    levels = draw(st.sampled_from([1, 2, 4, 9]))
    size = draw(st.integers(2, max_size))
    scores = np.array(draw(st.lists(st.integers(-levels, levels), min_size=size, max_size=size))) / levels
    same = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    assume(same.any() and not same.all())
    return scores.astype(draw(st.sampled_from(DTYPES))), same


def gaussians(pairs=2000, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    same = rng.random(pairs) < 0.5
    return (rng.normal(size=pairs) * 0.15 + 0.4 * same).astype(dtype), same


# --- ROC, AUC, EER


@given(tied_pairs())
def test_roc_is_that_of_scikit_learn(pairs):
    scores, same = pairs
    curve = roc(scores, same)
    fpr, tpr, thresholds = roc_curve(same, scores.astype(np.float64), drop_intermediate=False)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.fmr, fpr, atol=1e-15)
    np.testing.assert_allclose(curve.tar, tpr, atol=1e-15)
    assert len(curve.thresholds) == len(np.unique(scores)) + 1
    np.testing.assert_allclose(curve.fnmr, 1 - tpr, atol=1e-15)


@given(tied_pairs())
def test_every_roc_point_is_what_its_threshold_lets_through(pairs):
    scores, same = pairs
    curve = roc(scores, same)
    for threshold, fmr, tar in zip(curve.thresholds, curve.fmr, curve.tar, strict=True):
        assert fmr == np.mean(scores[~same] >= threshold)
        assert tar == np.mean(scores[same] >= threshold)


@given(tied_pairs())
def test_auc_is_mann_whitney(pairs):
    scores, same = pairs
    genuine, impostors = scores[same].astype(float), scores[~same].astype(float)
    won = sum((g > i) + 0.5 * (g == i) for g in genuine for i in impostors)
    assert auc(scores, same) == won / (len(genuine) * len(impostors))
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    u = mannwhitneyu(genuine, impostors).statistic
    assert auc(scores, same) == pytest.approx(u / (len(genuine) * len(impostors)), abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_auc_of_many_pairs(dtype):
    scores, same = gaussians(200_000, dtype=dtype)
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


def naive_eer(scores, same):
    """Walk the ROC polyline and stop on the segment that crosses FMR = FNMR."""
    falling = sorted(set(scores.tolist()), reverse=True)
    points = [(0.0, 1.0), *((np.mean(scores[~same] >= t), np.mean(scores[same] < t)) for t in falling)]
    for (fmr0, fnmr0), (fmr1, fnmr1) in itertools.pairwise(points):
        if fmr1 >= fnmr1:
            # fmr0 + w (fmr1 - fmr0) = fnmr0 + w (fnmr1 - fnmr0)
            w = (fnmr0 - fmr0) / ((fmr1 - fmr0) - (fnmr1 - fnmr0))
            return fmr0 + w * (fmr1 - fmr0)
    raise AssertionError


@given(tied_pairs())
def test_eer_is_the_crossing_of_the_roc_polyline(pairs):
    scores, same = pairs
    rate, threshold = eer(scores, same)
    assert rate == pytest.approx(naive_eer(scores, same), abs=1e-12)
    gaps = {
        t: abs(np.mean(scores[~same] >= t) - np.mean(scores[same] < t))
        for t in set(scores.astype(float).tolist())
    }
    assert gaps[threshold] == pytest.approx(min(gaps.values()), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "same", "rate", "threshold"),
    [
        ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], 0.0, 0.8),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 1.0, 0.8),
        ([0.5, 0.5, 0.5], [1, 0, 0], 0.5, 0.5),
        ([0.9, 0.5, 0.4, 0.1], [1, 0, 1, 0], 0.5, 0.5),
        ([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 0.25, 0.9),  # both ends are equally far: the higher score
        # From (FMR 0, FNMR 1/2) to (1/3, 1/2) to (1/3, 0): crosses at 1/3, and 0.6 is nearer.
        ([0.9, 0.6, 0.5, 0.4, 0.3], [1, 0, 1, 0, 0], 1 / 3, 0.6),
    ],
)
def test_eer_by_hand(scores, same, rate, threshold):
    assert eer(scores, same) == pytest.approx((rate, threshold))


@given(tied_pairs())
def test_swapping_labels_and_sign_changes_nothing(pairs):
    scores, same = pairs
    assert auc(-scores, ~same) == pytest.approx(auc(scores, same), abs=1e-12)
    assert auc(scores, ~same) == pytest.approx(1 - auc(scores, same), abs=1e-12)
    assert eer(-scores, ~same).rate == pytest.approx(eer(scores, same).rate, abs=1e-12)


@given(tied_pairs(), st.randoms(use_true_random=False))
def test_a_rising_transform_and_an_order_change_only_thresholds(pairs, random):
    scores, same = pairs
    order = list(range(len(scores)))
    random.shuffle(order)
    bent = np.exp(3 * scores.astype(np.float64))[order]
    before, after = roc(scores, same), roc(bent, same[order])
    np.testing.assert_array_equal(before.fmr, after.fmr)
    np.testing.assert_array_equal(before.tar, after.tar)
    assert auc(scores, same) == auc(bent, same[order])
    assert eer(scores, same).rate == eer(bent, same[order]).rate
    for fmr in (0.05, 0.3, 1.0):
        point, other = tar_at_fmr(scores, same, fmr), tar_at_fmr(bent, same[order], fmr)
        assert (point.fmr, point.tar) == (other.fmr, other.tar)


# --- Operating points


@settings(max_examples=100)
@given(tied_pairs(), st.one_of(st.floats(1e-6, 1.0), st.sampled_from([0.1, 0.29, 0.5, 1 / 3, 1.0])))
def test_threshold_never_exceeds_the_target_and_is_the_smallest(pairs, fmr):
    impostors = pairs[0]
    threshold = threshold_at_fmr(impostors, fmr)
    assert np.mean(impostors >= threshold) <= fmr  # in the precision of the scores
    assert np.mean(impostors.astype(np.float64) >= threshold) <= fmr  # and in float64
    below = impostors[impostors.astype(np.float64) < threshold]
    if fmr < 1.0:
        # Any lower threshold accepts the next score down, and that is too many.
        assert np.mean(impostors >= below.max()) > fmr
        assert threshold == np.nextafter(below.max(), impostors.dtype.type(np.inf))
    else:
        assert threshold == impostors.min()


def test_the_nearest_threshold_would_be_wrong():
    impostors = np.arange(10) / 10
    # 0.19 of 10 impostors: 2 false matches (0.2) are nearer, 1 (0.1) is allowed.
    threshold = threshold_at_fmr(impostors, 0.19)
    assert np.count_nonzero(impostors >= threshold) == 1
    assert threshold == np.nextafter(0.8, 1)


def test_ties_are_rejected_together():
    impostors = [0.9, 0.7, 0.7, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert threshold_at_fmr(impostors, 0.3) == np.nextafter(0.7, 1)
    assert threshold_at_fmr(impostors, 0.4) == np.nextafter(0.1, 1)


@pytest.mark.parametrize("trials", [1, 3, 7, 10, 49, 100, 1000])
def test_a_target_that_k_of_n_meets_exactly_allows_k(trials):
    impostors = np.arange(trials, dtype=np.float64)
    for k in range(1, trials + 1):
        accepted = np.count_nonzero(impostors >= threshold_at_fmr(impostors, k / trials))
        assert accepted == k
        # A hair less allows one fewer, though the product with n may round up to k.
        hair_less = np.nextafter(k / trials, 0)
        assert np.count_nonzero(impostors >= threshold_at_fmr(impostors, hair_less)) == k - 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_just_above_is_just_above_in_the_precision_of_the_scores(dtype):
    impostors = np.full(5, 0.7, dtype)
    threshold = threshold_at_fmr(impostors, 0.1)
    assert not (impostors >= dtype(threshold)).any()
    assert dtype(threshold) == np.nextafter(dtype(0.7), dtype(1))


@given(tied_pairs(), st.floats(1e-4, 1.0))
def test_operating_point_tells_what_its_threshold_does(pairs, fmr):
    scores, same = pairs
    point = tar_at_fmr(scores, same, fmr)
    exact = scores.astype(np.float64)
    assert point.threshold == threshold_at_fmr(scores[~same], fmr)
    assert point.fmr == np.mean(exact[~same] >= point.threshold) <= fmr == point.fmr_target
    assert point.tar == np.mean(exact[same] >= point.threshold)
    assert point.fnmr == pytest.approx(1 - point.tar)
    assert (point.genuine, point.impostors) == (same.sum(), (~same).sum())
    assert point.supported == any(k / point.impostors <= fmr for k in range(1, point.impostors + 1))
    # No observed threshold within the target finds more genuine pairs.
    allowed = [t for t in exact if np.mean(exact[~same] >= t) <= fmr]
    assert fmr == 1.0 or point.tar >= max((np.mean(exact[same] >= t) for t in allowed), default=0.0)


def test_support_and_the_threshold_without_it():
    scores = np.array([0.9, 0.5, 0.31, 0.3, 0.2])
    same = np.array([True, True, False, False, False])
    few = tar_at_fmr(scores, same, 1e-3)
    assert not few.supported
    assert (few.threshold, few.fmr, few.tar) == (np.nextafter(0.31, 1), 0.0, 1.0)
    assert tar_at_fmr(scores, same, 1 / 3).supported
    assert not tar_at_fmr(scores, same, 0.33).supported


def test_missing_faces_scored_minus_one():
    scores = np.array([-1.0, -1.0, 0.8, -1.0, -1.0, 0.1])
    same = np.array([True, True, True, False, False, False])
    assert tar_at_fmr(scores, same, 0.4).tar == 1 / 3
    assert tar_at_fmr(scores, same, 1.0).tar == 1.0


# --- Decisions at a threshold


@given(tied_pairs(), st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.25, 0.5, 1.0, 1.5, math.inf, -math.inf]))
def test_binary_report_is_that_of_scikit_learn(pairs, threshold):
    scores, same = pairs
    report = binary_report(scores, same, threshold)
    decided = scores.astype(np.float64) >= threshold
    p, r, f, _ = precision_recall_fscore_support(same, decided, average="binary", zero_division=0)
    assert (report.precision, report.recall, report.f1) == pytest.approx((p, r, f))
    assert report.accuracy == accuracy(scores, same, threshold) == accuracy_score(same, decided)
    expected = (decided & same, decided & ~same, ~decided & ~same, ~decided & same)
    assert (report.tp, report.fp, report.tn, report.fn) == tuple(int(x.sum()) for x in expected)


def test_one_kind_of_pair_can_be_decided():
    assert accuracy([0.1, 0.9], [False, False], 0.5) == 0.5
    assert binary_report([0.1, 0.2], [False, False], 0.5).recall == 0.0


def naive_best(scores, same):
    """Accuracy, then gap width, then height, over every place a threshold can be."""
    values = sorted(set(scores.astype(np.float64).tolist()))
    places = [(values[0], 0.0), (math.inf, 0.0)]
    places += [((a + b) / 2, b - a) for a, b in itertools.pairwise(values)]
    exact = scores.astype(np.float64)
    return max((np.mean((exact >= t) == same), width, t) for t, width in places)


@settings(max_examples=100)
@given(tied_pairs())
def test_best_threshold_beats_every_other(pairs):
    scores, same = pairs
    best, width, place = naive_best(scores, same)
    threshold = best_threshold(scores, same)
    assert accuracy(scores, same, threshold) == best
    if width:
        assert threshold == pytest.approx(place, abs=1e-3 if scores.dtype == np.float16 else 1e-6)


@pytest.mark.parametrize(
    ("scores", "same", "expected"),
    [
        ([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1], 0.4),
        ([0.0, 1.0, 2.0, 4.0], [0, 1, 0, 1], 3.0),  # 0.5 and 3.0 are equally good: the wider gap
        ([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], 2.5),  # equally wide: the higher
        ([0.5, 0.5, 0.5], [1, 1, 0], 0.5),  # accept all
        ([0.5, 0.5, 0.5], [0, 1, 0], np.nextafter(0.5, 1)),  # accept none
    ],
)
def test_best_threshold_by_hand(scores, same, expected):
    assert best_threshold(scores, same) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("low", [0.3, 0.30005, 0.7])
def test_best_threshold_between_neighbouring_floats(dtype, low):
    low = dtype(low)
    scores = np.array([low, np.nextafter(low, dtype(1))])
    threshold = best_threshold(scores, [False, True])
    assert ((scores >= dtype(threshold)) == [False, True]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kfold_chooses_on_the_other_folds(dtype):
    scores, same = gaussians(600, dtype=dtype)
    folds = np.arange(600) % 10
    result = kfold_accuracy(scores, same, folds)
    for fold in range(10):
        inside = folds == fold
        threshold = best_threshold(scores[~inside], same[~inside])
        assert result.thresholds[fold] == threshold
        assert result.accuracies[fold] == accuracy(scores[inside], same[inside], threshold)
    assert result.mean == pytest.approx(np.mean(result.accuracies))
    spread = math.sqrt(sum((a - result.mean) ** 2 for a in result.accuracies) / 9)
    assert result.standard_error == pytest.approx(spread / math.sqrt(10))


def test_kfold_does_not_see_the_fold_it_judges():
    # Fold 1 is decided wrongly by what fold 0 teaches; choosing on all pairs would get more right.
    scores, same = [0.1, 0.2, 0.9, 0.8], [True, False, False, True]
    result = kfold_accuracy([*scores, 0.3, 0.5], [*same, False, True], [1, 1, 0, 0, 0, 0])
    assert result.folds.tolist() == [0, 1]
    assert result.thresholds[1] == pytest.approx(0.4)
    assert result.accuracies[1] == 0.5


# --- Balanced accuracy


@given(tied_pairs(), st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.25, 0.5, 1.0, 1.5, math.inf, -math.inf]))
def test_balanced_accuracy_is_that_of_scikit_learn(pairs, threshold):
    scores, same = pairs
    expected = balanced_accuracy_score(same, scores.astype(np.float64) >= threshold)
    assert balanced_accuracy(scores, same, threshold) == pytest.approx(expected, abs=1e-15)
    report = binary_report(scores, same, threshold)
    assert expected == pytest.approx((report.recall + report.tn / (report.tn + report.fp)) / 2)


def naive_best_balanced(scores, same):
    """Balanced accuracy in fractions, then gap width, then height, over every place a threshold can be."""
    exact = scores.astype(np.float64)
    values = sorted(set(exact.tolist()))
    places = [(values[0], 0.0), (math.inf, 0.0)]
    places += [((a + b) / 2, b - a) for a, b in itertools.pairwise(values)]

    def rate(threshold):
        accepted = Fraction(int((exact[same] >= threshold).sum()), int(same.sum()))
        return accepted + Fraction(int((exact[~same] < threshold).sum()), int((~same).sum()))

    return max((rate(t), width, t) for t, width in places)


@settings(max_examples=100)
@given(tied_pairs())
def test_best_balanced_threshold_beats_every_other(pairs):
    scores, same = pairs
    best, width, place = naive_best_balanced(scores, same)
    threshold = best_threshold(scores, same, balanced=True)
    assert balanced_accuracy(scores, same, threshold) == pytest.approx(float(best) / 2, abs=1e-15)
    if width:
        assert threshold == pytest.approx(place, abs=1e-3 if scores.dtype == np.float16 else 1e-6)


@given(tied_pairs(), st.integers(1, 9), st.sampled_from([True, False]))
def test_more_of_one_kind_of_pair_changes_nothing(pairs, times, kind):
    scores, same = pairs
    repeats = np.where(same == kind, times, 1)
    many, labels = np.repeat(scores, repeats), np.repeat(same, repeats)
    threshold = best_threshold(scores, same, balanced=True)
    assert best_threshold(many, labels, balanced=True) == threshold
    assert balanced_accuracy(many, labels, threshold) == pytest.approx(
        balanced_accuracy(scores, same, threshold), abs=1e-15
    )


@given(tied_pairs())
def test_with_as_many_of_both_kinds_balanced_is_plain(pairs):
    scores, same = pairs
    repeats = np.where(same, (~same).sum(), same.sum())
    many, labels = np.repeat(scores, repeats), np.repeat(same, repeats)
    threshold = best_threshold(many, labels)
    assert best_threshold(many, labels, balanced=True) == threshold
    assert best_threshold(scores, same, balanced=True) == threshold
    assert balanced_accuracy(many, labels, threshold) == pytest.approx(accuracy(many, labels, threshold))


def test_few_genuine_pairs_outweigh_many_impostors():
    scores, same = [0.1, 0.2, 0.4, 0.5, 0.35], [False, False, False, False, True]
    assert best_threshold(scores, same) == np.nextafter(0.5, 1)  # nothing matches: 4 of 5 right
    assert best_threshold(scores, same, balanced=True) == pytest.approx(0.275)  # the one, and 2 of 4


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_balanced_kfold_chooses_and_judges_balanced(share):
    rng = np.random.default_rng(3)
    same = rng.random(800) < share
    scores, folds = rng.normal(size=800) * 0.2 + 0.4 * same, np.arange(800) % 5
    result = kfold_accuracy(scores, same, folds, balanced=True)
    for fold in range(5):
        inside = folds == fold
        threshold = best_threshold(scores[~inside], same[~inside], balanced=True)
        assert result.thresholds[fold] == threshold
        expected = balanced_accuracy_score(same[inside], scores[inside] >= threshold)
        assert result.accuracies[fold] == pytest.approx(expected)
    assert result.mean == pytest.approx(np.mean(result.accuracies))
    assert result.standard_error == pytest.approx(np.std(result.accuracies, ddof=1) / math.sqrt(5))
    plain = kfold_accuracy(scores, same, folds)
    assert (plain.mean - result.mean > 0.03) == (share == 0.1)
    assert json.loads(json.dumps(result.to_dict()))["mean"] == result.mean


def test_balanced_kfold_needs_both_kinds_in_every_fold():
    scores, same, folds = [0.9, 0.1, 0.8, 0.2, 0.1], [True, False, True, False, False], [0, 0, 1, 1, 2]
    assert kfold_accuracy(scores, same, folds).mean == 1.0
    with pytest.raises(DatasetError, match="Fold 2") as error:
        kfold_accuracy(scores, same, folds, balanced=True)
    assert one_sentence(error)


# --- The whole report


def test_report_bundles_the_metrics_and_is_plain_json():
    scores, same = gaussians(600, dtype=np.float32)
    folds = np.arange(600, dtype=np.int32) % 5
    result = verify_metrics(scores, same, folds, fmrs=(np.float32(0.1), 1e-4), repeats=20)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["pairs"] == 600
    assert told["genuine"] + told["impostors"] == 600
    assert told["auc"] == auc(scores, same)
    assert (told["eer"], told["eer_threshold"]) == eer(scores, same)
    assert told["kfold"]["mean"] == kfold_accuracy(scores, same, folds).mean
    assert [point["supported"] for point in told["operating_points"]] == [True, False]
    assert told["operating_points"][1]["tar"] == tar_at_fmr(scores, same, 1e-4).tar
    assert told["intervals"]["auc"]["estimate"] == told["auc"]


def test_report_without_folds_or_intervals():
    told = verify_metrics(*gaussians(100), repeats=0).to_dict()
    assert told["kfold"] is None
    assert told["intervals"] == {}


# --- What is refused

GOOD = ([0.9, 0.1], [True, False])
BAD_PAIRS = {
    "lengths": ([0.9, 0.1], [True]),
    "column": ([[0.9], [0.1]], [True, False]),
    "empty": ([], []),
    "nan": ([0.9, math.nan], [True, False]),
    "inf": ([0.9, math.inf], [True, False]),
    "-inf": ([0.9, -math.inf], [True, False]),
    "float max": ([0.9, np.finfo(np.float64).max], [True, False]),
    "text": (["a", "b"], [True, False]),
    "complex": ([1j, 0.1], [True, False]),
    "none": ([None, 0.1], [True, False]),
    "ragged": ([[0.9], [0.1, 0.2]], [True, False]),
    "label 2": ([0.9, 0.1], [1, 2]),
    "float labels": ([0.9, 0.1], [1.0, 0.0]),
}
ONE_KIND = {"only same": ([0.9, 0.1], [True, True]), "only different": ([0.9, 0.1], [False, False])}
METRICS = {
    "roc": roc,
    "auc": auc,
    "eer": eer,
    "tar_at_fmr": lambda s, y: tar_at_fmr(s, y, 0.1),
    "best_threshold": best_threshold,
    "best balanced threshold": lambda s, y: best_threshold(s, y, balanced=True),
    "balanced_accuracy": lambda s, y: balanced_accuracy(s, y, 0.5),
    "kfold_accuracy": lambda s, y: kfold_accuracy(s, y, range(len(s))),
    "verify_metrics": verify_metrics,
}
DECISIONS = {
    "accuracy": lambda s, y: accuracy(s, y, 0.5),
    "binary_report": lambda s, y: binary_report(s, y, 0.5),
}


def one_sentence(error):
    text = str(error.value)
    return text.endswith(".") and "\n" not in text and len(text) < 150


@pytest.mark.parametrize("metric", [*METRICS, *DECISIONS])
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_bad_pairs(metric, bad):
    with pytest.raises(DatasetError) as error:
        (METRICS | DECISIONS)[metric](*BAD_PAIRS[bad])
    assert one_sentence(error)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", ONE_KIND)
def test_one_kind_of_pair(metric, bad):
    with pytest.raises(DatasetError) as error:
        METRICS[metric](*ONE_KIND[bad])
    assert one_sentence(error)


@pytest.mark.parametrize("fmr", [0.0, -0.1, 1.0001, 5, math.nan, math.inf])
def test_bad_rate(fmr):
    for call in (threshold_at_fmr, lambda s, f: tar_at_fmr(s, GOOD[1], f)):
        with pytest.raises(SettingError) as error:
            call(GOOD[0], fmr)
        assert one_sentence(error)
    with pytest.raises(SettingError):
        verify_metrics(*GOOD, fmrs=(0.1, fmr))


@pytest.mark.parametrize("impostors", [[], [math.nan], [-math.inf], [[0.1]]])
def test_bad_impostors(impostors):
    with pytest.raises(DatasetError):
        threshold_at_fmr(impostors, 0.1)


@pytest.mark.parametrize(
    "folds", [[0, 0, 0, 0], [0, 1], [0.0, 0.0, 1.0, 1.0], [[0, 0, 1, 1]], ["a", "a", "b", "b"], [0, 1, 0, 1]]
)
def test_bad_folds(folds):
    # The last is well formed, but without one fold only one kind of pair is left.
    with pytest.raises(DatasetError) as error:
        kfold_accuracy([0.9, 0.1, 0.8, 0.2], [True, False, True, False], folds)
    assert one_sentence(error)


def test_bad_settings():
    for call in (
        lambda: accuracy(*GOOD, math.nan),
        lambda: balanced_accuracy(*GOOD, math.nan),
        lambda: binary_report(*GOOD, math.nan),
        lambda: verify_metrics(*GOOD, repeats=-1),
    ):
        with pytest.raises(SettingError) as error:
            call()
        assert isinstance(error.value, FacewiseError)
        assert one_sentence(error)


def test_inputs_are_left_alone_and_integers_will_do():
    scores, same = np.array([3, 1, 2, 0]), np.array([1, 0, 0, 1])
    copies = scores.copy(), same.copy()
    assert auc(scores, same) == 0.5
    assert tar_at_fmr(scores, same, 0.5).threshold == np.nextafter(1.0, 2)
    np.testing.assert_array_equal(scores, copies[0])
    np.testing.assert_array_equal(same, copies[1])
