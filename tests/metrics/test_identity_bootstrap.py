"""Intervals by identity: against resamples written out, loops over pairs of pairs, and simulated truth."""

import importlib.util
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from facewise.errors import DatasetError, SettingError
from facewise.metrics import (
    accuracy,
    auc,
    binary_report,
    eer,
    kfold_accuracy,
    tar_at_fmr,
    verification_intervals,
)
from facewise.metrics.identity_bootstrap import draw_people, identity_intervals, wanted_statistics, wilson
from facewise.metrics.identity_pairs import IdentityPairs
from facewise.metrics.pair_statistics import PairStatistics
from facewise.metrics.student import student_quantile, student_tails

COVERAGE = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


def people_and_pairs(people=40, photos=3, impostors=400, seed=0, shift=2.5, spread=0.8):
    """Scores with an effect of each identity on its genuine and its impostor pairs."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), photos)
    a, b = np.triu_indices(len(who), 1)
    genuine = who[a] == who[b]
    chosen = np.concatenate(
        [np.flatnonzero(genuine), rng.choice(np.flatnonzero(~genuine), impostors, replace=False)]
    )
    first, second = who[a[chosen]], who[b[chosen]]
    same = first == second
    hard, like = spread * rng.normal(size=(2, people))
    scores = rng.normal(size=len(same)) + np.where(
        same, shift + hard[first], (like[first] + like[second]) / 2
    )
    return scores, same, first, second


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 6)), min_size=6, max_size=25),
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
def test_metrics_are_those_of_the_resample_written_out(rows, drawn):
    first, second, scores = (np.array(column) for column in zip(*rows, strict=True))
    same = first == second
    assume(len(set(first[same])) > 1 and len({*first[~same], *second[~same]}) > 2)
    people = IdentityPairs.of(same, first, second)
    weights = np.array(drawn)[np.unique(np.concatenate([first, second]))]
    counts = people.counts(weights[np.newaxis])
    copies = [np.prod([drawn[person] for person in {i, j}]) for i, j in zip(first, second, strict=True)]
    assert counts[0].tolist() == copies
    resample = np.repeat(np.arange(len(rows)), copies)
    assume(same[resample].any() and not same[resample].all())
    measured = scores[resample].astype(np.float64), same[resample]
    wanted = wanted_statistics((0.3, 0.05, 1.0), (2.5, 4.0, 99.0), decided=False)
    found = PairStatistics(scores.astype(np.float64), same, wanted)(counts)[0]
    share = same.mean()
    for item, value in zip(wanted, found, strict=False):
        if item.measure == "auc":
            assert value == pytest.approx(auc(*measured), abs=1e-12)
        elif item.measure == "eer":
            assert value == pytest.approx(eer(*measured).rate, abs=1e-12)
        elif item.measure == "tar@fmr":
            assert value == pytest.approx(tar_at_fmr(*measured, item.at).tar, abs=1e-12)
        else:
            report = binary_report(*measured, item.at)
            fmr, fnmr = report.fp / (report.fp + report.tn), report.fn / (report.fn + report.tp)
            right = share * (1 - fnmr) + (1 - share) * (1 - fmr)
            assert value == pytest.approx(
                {"fmr": fmr, "fnmr": fnmr, "accuracy": right}[item.measure], abs=1e-12
            )


def test_variances_are_those_of_a_loop_over_pairs_of_pairs():
    _, same, first, second = people_and_pairs(people=8, photos=3, impostors=60)
    # Several photo pairs of the same two people, some the other way round.
    first[-1], second[-1] = second[-2], first[-2]
    people = IdentityPairs.of(same, first, second)
    influence = np.random.default_rng(1).normal(size=len(same))
    ends = [{i, j} for i, j in zip(first, second, strict=True)]
    robust = sum(
        influence[p] * influence[q] for p in range(len(ends)) for q in range(len(ends)) if ends[p] & ends[q]
    )
    found = people.variances(influence)
    assert found.people == pytest.approx(robust * 8 / 7)
    assert found.pairs == pytest.approx((influence**2).sum())
    # Independent weights of mean and variance 1 on the people have the variance `drawn` on average.
    weights = np.random.default_rng(2).poisson(1, size=(40_000, 8))
    sums = (people.counts(weights) - 1) @ influence
    assert sums.var() == pytest.approx(found.drawn, rel=0.08)


def test_influences_are_what_leaving_a_little_of_a_pair_out_does():
    scores, same, first, second = people_and_pairs(people=12, photos=3, impostors=80)
    people = IdentityPairs.of(same, first, second)
    wanted = wanted_statistics((), (1.0,), decided=False)
    model = PairStatistics(scores, same, wanted)
    influences = model.influences(draw_people([model], people, 50, 0)[0])
    size = 10_000
    for pair in range(0, len(same), 7):
        counts = np.full((1, len(same)), size)
        counts[0, pair] += 1
        change = (model(counts)[0, : len(wanted)] - model.estimates) * size
        for place, item in enumerate(wanted):
            if item.measure != "eer":
                assert influences[place, pair] == pytest.approx(change[place], rel=1e-2, abs=1e-6)
    assert influences.sum(axis=1) == pytest.approx(np.zeros(len(wanted)), abs=1e-12)


def test_estimates_are_the_metrics_themselves():
    scores, same, first, second = people_and_pairs()
    folds = np.arange(len(same)) % 4
    found = identity_intervals(
        scores, same, first, second, folds=folds, fmrs=(0.1, 0.01), thresholds=(1.0,), repeats=50
    )
    report = binary_report(scores, same, 1.0)
    expected = {
        "auc": auc(scores, same),
        "eer": eer(scores, same).rate,
        "tar@fmr=0.1": tar_at_fmr(scores, same, 0.1).tar,
        "tar@fmr=0.01": tar_at_fmr(scores, same, 0.01).tar,
        "fmr@1.0": report.fp / (~same).sum(),
        "fnmr@1.0": report.fn / same.sum(),
        "accuracy@1.0": accuracy(scores, same, 1.0),
        "accuracy": kfold_accuracy(scores, same, folds).mean,
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        interval = found[name]
        assert interval.estimate == pytest.approx(value, abs=1e-12)
        assert 0.0 <= interval.low < interval.estimate < interval.high <= 1.0
        assert interval.level == 0.95


def test_decisions_made_elsewhere_are_as_good_as_folds():
    scores, same, first, second = people_and_pairs()
    folds = np.arange(len(same)) % 4
    right = (scores >= kfold_accuracy(scores, same, folds).thresholds[folds]) == same
    by_folds = identity_intervals(scores, same, first, second, folds=folds)
    assert identity_intervals(scores, same, first, second, right=right) == by_folds
    with pytest.raises(SettingError):
        identity_intervals(scores, same, first, second, folds=folds, right=right)
    with pytest.raises(DatasetError):
        identity_intervals(scores, same, first, second, right=right[1:])


def test_names_the_order_of_pairs_and_the_scale_of_scores_do_not_matter():
    scores, same, first, second = people_and_pairs()
    found = identity_intervals(scores, same, first, second, thresholds=(1.0,))
    swapped = identity_intervals(scores, same, second, first, thresholds=(1.0,))
    named = [np.array([f"p{who:03d}" for who in part]) for part in (first, second)]
    order = np.random.default_rng(0).permutation(len(same))
    shuffled = [part[order] for part in (scores, same, *named)]
    scaled = identity_intervals(np.exp(scores), same, first, second, thresholds=(math.exp(1.0),))
    for other in (swapped, identity_intervals(*shuffled, thresholds=(1.0,)), scaled):
        for one, again in zip(found.values(), other.values(), strict=True):
            assert (one.low, one.high) == pytest.approx((again.low, again.high), abs=1e-9)
    assert found == identity_intervals(scores, same, first, second, thresholds=(1.0,))
    assert found != identity_intervals(scores, same, first, second, thresholds=(1.0,), seed=1)
    wide = identity_intervals(scores, same, first, second, level=0.999)
    assert all(wide[name].low < found[name].low for name in wide)


def test_pairs_that_share_nobody_are_independent():
    rng = np.random.default_rng(3)
    same = np.repeat([True, False], [400, 400])
    scores = rng.normal(size=800) + 2 * same
    first = np.arange(800)
    second = np.where(same, first, first + 1000)
    found = identity_intervals(scores, same, first, second, thresholds=(1.0,))
    fmr = found["fmr@1.0"]
    ends = stats.binomtest(round(fmr.estimate * 400), 400).proportion_ci(method="wilson")
    assert (fmr.low, fmr.high) == pytest.approx((ends.low, ends.high), abs=0.006)
    plain = verification_intervals(scores, same)
    for name in ("auc", "eer", "tar@fmr=0.1"):
        width, expected = found[name].high - found[name].low, plain[name].high - plain[name].low
        assert width == pytest.approx(expected, rel=0.15), name


def test_dependent_pairs_widen_the_intervals():
    scores, same, first, second = people_and_pairs(people=60, photos=5, impostors=2000, spread=1.2)
    found, plain = identity_intervals(scores, same, first, second), verification_intervals(scores, same)
    for name in ("auc", "eer", "tar@fmr=0.1"):
        assert found[name].high - found[name].low > 1.5 * (plain[name].high - plain[name].low), name


def test_a_perfect_verifier_is_not_certain():
    _, same, first, second = people_and_pairs(people=60, photos=4, impostors=1000)
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, len(same)) + 2 * same
    found = identity_intervals(scores, same, first, second, thresholds=(1.5,), repeats=50)
    for name in ("auc", "tar@fmr=0.001", "accuracy@1.5"):
        assert found[name].high == found[name].estimate == 1.0
        assert 0.9 < found[name].low < 1.0
    for name in ("eer", "fmr@1.5", "fnmr@1.5"):
        assert found[name].low == found[name].estimate == 0.0
        assert 0.0 < found[name].high < 0.1
    # 1,000 impostor pairs that hang together by nothing are worth about 1,000.
    assert found["fmr@1.5"].high == pytest.approx(3.84 / 1003.84, rel=0.6)


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0.5, 1e9), st.floats(0.5, 12))
def test_wilson_limits(estimate, trials, quantile):
    low, high = wilson(estimate, 0.0, trials, quantile)
    assert 0.0 <= low <= estimate <= high <= 1.0
    mirrored = wilson(1 - estimate, 0.0, trials, quantile)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-9)


def test_wilson_is_that_of_scipy():
    for count, of in ((0, 30), (3, 30), (15, 30), (30, 30)):
        share, quantile = count / of, stats.norm.ppf(0.975)
        ends = stats.binomtest(count, of).proportion_ci(method="wilson")
        assert wilson(share, 0.0, of, quantile) == pytest.approx((ends.low, ends.high), abs=1e-12)
        if 0 < count < of:
            error = math.sqrt(share * (1 - share) / of)
            assert wilson(share, error, None, quantile) == pytest.approx((ends.low, ends.high), abs=1e-12)


@pytest.mark.parametrize("freedom", [0.5, 1, 2.5, 10, 37.2, 1000, 1e6])
def test_student_is_that_of_scipy(freedom):
    for level in (0.1, 0.5, 0.9, 0.95, 0.999):
        expected = stats.t.ppf((1 + level) / 2, freedom)
        assert student_quantile(level, freedom) == pytest.approx(expected, rel=1e-8)
    for t in (0.0, 1e-6, -0.5, 2.0, 30.0):
        assert student_tails(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-10)


def test_coverage_in_a_small_simulation():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", COVERAGE)
    coverage = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = coverage
    spec.loader.exec_module(coverage)
    design = coverage.Design(100, lambda _, n: np.full(n, 3), None, 600, fmrs=(0.1,))
    runs, hits = 100, {}
    for seed in range(runs):
        for item, true, methods in coverage.intervals(design, 100, seed):
            for method in ("pairs", "Facewise"):
                low, high = methods[method]
                hits[item.name, method] = hits.get((item.name, method), 0) + (low <= true <= high)
    # 0.95 of 100 is 95 +- 2.2, and 1,000 resamples would make the ends steadier.
    for (name, method), count in hits.items():
        if method == "Facewise":
            assert count >= 88, name
            assert hits[name, "pairs"] < count, name
    assert np.mean([count for (_, method), count in hits.items() if method == "Facewise"]) >= 92


def test_six_thousand_pairs_take_seconds():
    scores, same, first, second = people_and_pairs(people=600, photos=3, impostors=4200)
    assert len(same) == 6000
    start = time.process_time()
    identity_intervals(scores, same, first, second, folds=np.arange(6000) % 10, thresholds=(1.0,))
    assert time.process_time() - start < 6


def test_few_people():
    scores = np.array([0.9, 0.8, 0.3, 0.2, 0.6])
    first, second = ["a", "b", "a", "b", "c"], ["a", "b", "b", "c", "a"]
    same = np.array([True, True, False, False, False])
    found = identity_intervals(scores, same, first, second, thresholds=(0.5,))
    for interval in found.values():
        assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert found["fmr@0.5"].high - found["fmr@0.5"].low > 0.5


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (["a", "b", "a"], ["a", "b", "b", "c"], "shape"),
        ([["a"], ["b"]], ["a", "b", "b", "c"], "shape"),
        ([0.1, 0.2, 0.3, 0.4], ["a", "b", "b", "c"], "integers or strings"),
        ([1, 2, 1, 2], ["1", "2", "2", "3"], "numbers"),
        (["a", "b", "a", "b"], ["a", "c", "b", "c"], "one person"),
        (["a", "b", "a", "b"], ["a", "b", "a", "c"], "two people"),
        (["a", "a", "a", "b"], ["a", "a", "b", "c"], "at least"),
        (["a", "b", "a", "b"], ["a", "b", "b", "a"], "at least"),
    ],
)
def test_bad_people(first, second, message):
    with pytest.raises(DatasetError, match=message):
        identity_intervals([0.9, 0.8, 0.2, 0.1], [True, True, False, False], first, second)


def test_bad_scores_and_settings():
    first, second = ["a", "b", "a", "b"], ["a", "b", "b", "c"]
    same = [True, True, False, False]
    for scores, labels in (
        ([0.9, 0.8, math.nan, 0.1], same),
        ([0.9, 0.8, math.inf, 0.1], same),
        ([0.9, 0.8, 0.1], same),
        ([], []),
        ([0.9, 0.8, 0.2, 0.1], [True] * 4),
    ):
        with pytest.raises(DatasetError):
            identity_intervals(scores, labels, first, second)
    for extra in (
        {"repeats": 1},
        {"seed": -1},
        {"level": 1.0},
        {"level": math.nan},
        {"fmrs": (0.0,)},
        {"thresholds": (math.nan,)},
        {"thresholds": (math.inf,)},
    ):
        with pytest.raises(SettingError):
            identity_intervals([0.9, 0.8, 0.2, 0.1], same, first, second, **extra)
