"""The bootstrap: against a loop over explicit resamples, against theory, and its coverage in a simulation."""

import math
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm

from facewise.errors import DatasetError, SettingError
from facewise.metrics import (
    auc,
    bootstrap_interval,
    eer,
    kfold_accuracy,
    tar_at_fmr,
    verification_intervals,
)
from facewise.metrics.operating_point import tar_of_counts
from facewise.metrics.roc_curve import auc_of_counts, eer_of_counts
from facewise.metrics.scores import RankedPairs

RATES = (0.5, 0.1, 1e-2, 1.0)


def mean_of(values):
    return lambda counts: counts @ values / counts.sum(axis=1)


def gaussians(genuine, impostors, seed=0, shift=2.0):
    rng = np.random.default_rng(seed)
    same = np.repeat([True, False], [genuine, impostors])
    return rng.normal(size=len(same)) + shift * same, same


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30))
def test_metrics_of_counts_are_those_of_the_resample_written_out(items):
    scores, same, counts = (np.array(column) for column in zip(*items, strict=True))
    drawn = np.repeat(np.arange(len(items)), counts)
    assume(same[drawn].any() and not same[drawn].all())
    ranked = RankedPairs.of(scores.astype(np.float32), same).cumulative(np.stack([counts, counts]))
    resample = scores[drawn].astype(np.float32), same[drawn]
    assert auc_of_counts(*ranked).tolist() == [auc(*resample)] * 2
    assert eer_of_counts(*ranked) == pytest.approx([eer(*resample).rate] * 2, abs=1e-12)
    for fmr in RATES:
        assert tar_of_counts(*ranked, fmr).tolist() == [tar_at_fmr(*resample, fmr).tar] * 2


def test_estimates_are_the_metrics_themselves():
    scores, same = gaussians(300, 500)
    folds = np.arange(800) % 4
    found = verification_intervals(scores, same, folds, fmrs=RATES, repeats=50)
    assert list(found) == ["auc", "eer", *(f"tar@fmr={fmr!r}" for fmr in RATES), "accuracy"]
    assert found["auc"].estimate == auc(scores, same)
    assert found["eer"].estimate == pytest.approx(eer(scores, same).rate, abs=1e-12)
    for fmr in RATES:
        assert found[f"tar@fmr={fmr!r}"].estimate == tar_at_fmr(scores, same, fmr).tar
    assert found["accuracy"].estimate == pytest.approx(kfold_accuracy(scores, same, folds).mean)
    for interval in found.values():
        assert interval.low <= interval.estimate <= interval.high
        assert interval.level == 0.95
    assert "accuracy" not in verification_intervals(scores, same, repeats=2)


def test_intervals_agree_with_a_plain_loop():
    scores, same = gaussians(150, 250)
    folds = np.arange(400) % 5
    found = verification_intervals(scores, same, folds, fmrs=(0.1,), repeats=2000)
    thresholds = kfold_accuracy(scores, same, folds).thresholds
    right = (scores >= thresholds[folds]) == same
    rng = np.random.default_rng(99)
    genuine, impostors = np.flatnonzero(same), np.flatnonzero(~same)
    loop = {"auc": [], "eer": [], "tar@fmr=0.1": [], "accuracy": []}
    for _ in range(1000):
        drawn = np.concatenate([rng.choice(genuine, 150), rng.choice(impostors, 250)])
        loop["auc"].append(auc(scores[drawn], same[drawn]))
        loop["eer"].append(eer(scores[drawn], same[drawn]).rate)
        loop["tar@fmr=0.1"].append(tar_at_fmr(scores[drawn], same[drawn], 0.1).tar)
        loop["accuracy"].append(right[drawn].mean())
    for name, draws in loop.items():
        interval, spread = found[name], np.std(draws)
        assert interval.low == pytest.approx(np.quantile(draws, 0.025), abs=0.35 * spread), name
        assert interval.high == pytest.approx(np.quantile(draws, 0.975), abs=0.35 * spread), name


def test_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap_interval(mean_of(values), 400, repeats=4000, level=0.9)
    half = norm.ppf(0.95) * values.std() / math.sqrt(400)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_each_stratum_keeps_its_size_and_every_item_its_chance():
    strata = np.array(["a", "b", "a", "c", "b", "a"])
    seen = []
    bootstrap_interval(lambda counts: seen.append(counts) or counts[:, 0] * 1.0, strata, repeats=4000)
    counts = np.concatenate(seen[1:] if len(seen[0]) == 1 else seen[:-1])
    assert counts.shape == (4000, 6)
    for label in "abc":
        assert (counts[:, strata == label].sum(axis=1) == (strata == label).sum()).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.06)
    assert counts[:, 0].var() == pytest.approx(3 * (1 / 3) * (2 / 3), abs=0.06)  # binomial(3, 1/3)


def test_many_batches_make_all_the_repeats():
    # 3 million items: one resample a batch.
    rows = []
    bootstrap_interval(lambda counts: rows.append(len(counts)) or counts[:, 0] * 1.0, 3_000_000, repeats=3)
    assert sorted(rows) == [1, 1, 1, 1]


def test_the_seed_decides():
    pairs = gaussians(50, 50)
    first = verification_intervals(*pairs, repeats=100, seed=3)
    assert first == verification_intervals(*pairs, repeats=100, seed=3)
    assert first != verification_intervals(*pairs, repeats=100, seed=4)


def test_a_higher_level_is_wider_and_a_perfect_verifier_has_no_spread():
    pairs = gaussians(100, 100)
    narrow = verification_intervals(*pairs, repeats=500, level=0.5)["auc"]
    wide = verification_intervals(*pairs, repeats=500, level=0.99)["auc"]
    assert wide.low < narrow.low < narrow.high < wide.high
    perfect = verification_intervals([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], [0, 1, 0, 1], repeats=50)
    assert {(i.low, i.high) for name, i in perfect.items() if name != "eer"} == {(1.0, 1.0)}
    assert (perfect["eer"].low, perfect["eer"].high) == (0.0, 0.0)


def test_coverage_in_a_simulation():
    shift, runs = 1.5, 150
    truths = {
        "auc": norm.cdf(shift / math.sqrt(2)),
        "eer": norm.cdf(-shift / 2),
        "tar@fmr=0.1": norm.sf(norm.isf(0.1) - shift),
    }
    hits = dict.fromkeys(truths, 0)
    for run in range(runs):
        found = verification_intervals(
            *gaussians(150, 200, seed=run, shift=shift), fmrs=(0.1,), repeats=200, seed=run
        )
        for name, truth in truths.items():
            hits[name] += found[name].low <= truth <= found[name].high
    # 0.95 of 150 is 142.5 +- 2.7; percentile intervals of so few pairs are a little short.
    for name, count in hits.items():
        assert 0.89 * runs <= count < runs, name


def test_six_thousand_pairs_take_seconds():
    scores, same = gaussians(3000, 3000)
    start = time.process_time()
    verification_intervals(scores, same, np.arange(6000) % 10)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "setting",
    [
        {"repeats": 0},
        {"repeats": -1},
        {"seed": -1},
        {"level": 0.0},
        {"level": 1.0},
        {"level": 95},
        {"level": math.nan},
        {"fmrs": (0.0,)},
    ],
)
def test_bad_settings(setting):
    with pytest.raises(SettingError):
        verification_intervals([0.9, 0.1], [True, False], **setting)


def test_bad_data():
    for items in (0, -3, [], [[1, 2]]):
        with pytest.raises(DatasetError):
            bootstrap_interval(lambda counts: counts[:, 0] * 1.0, items)
    with pytest.raises(DatasetError):
        verification_intervals([0.9, 0.1], [True, False], folds=[0, 0])
    with pytest.raises(DatasetError):
        verification_intervals([0.9, 0.1], [True, True])
