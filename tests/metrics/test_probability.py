"""Calibration metrics against scikit-learn and loops."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.isotonic import isotonic_fit
from facewise.metrics.probability import (
    brier,
    cllr,
    expected_calibration_error,
    log_loss,
    log_ratios,
    min_cllr,
    reliability,
)

pairs = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.2, 1.0]), st.booleans()), min_size=1)
scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40)


def split(rows):
    values, same = zip(*rows, strict=True)
    return np.array(values, np.float64), np.array(same)


def case(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    stated = rng.beta(0.4, 0.4, n)
    return stated, rng.random(n) < stated**1.5


def naive_ece(stated, same, bins):
    total = 0.0
    for k in range(bins):
        last = k == bins - 1
        inside = [
            (p, y)
            for p, y in zip(stated, same, strict=True)
            if k / bins <= p and (p < (k + 1) / bins or last)
        ]
        if inside:
            p, y = map(np.array, zip(*inside, strict=True))
            total += len(inside) * abs(y.mean() - p.mean())
    return total / len(stated)


@given(pairs)
def test_brier_and_log_loss_are_those_of_scikit_learn(rows):
    stated, same = split(rows)
    assert brier(stated, same) == pytest.approx(sk.brier_score_loss(same, stated, pos_label=True), abs=1e-12)
    expected = sk.log_loss(same, stated, labels=[False, True])
    assert log_loss(stated, same) == pytest.approx(expected, abs=1e-12)


@given(pairs, st.integers(1, 20))
def test_calibration_error_is_that_of_a_loop(rows, bins):
    stated, same = split(rows)
    found = expected_calibration_error(stated, same, bins)
    assert found == pytest.approx(naive_ece(stated, same, bins), abs=1e-12)
    diagram = reliability(stated, same, bins)
    assert diagram.pairs == len(rows)
    assert found <= diagram.greatest_error + 1e-12
    order = np.random.default_rng(0).permutation(len(rows))
    assert expected_calibration_error(stated[order], same[order], bins) == pytest.approx(found, abs=1e-12)
    # One bin: the distance of the two means; more bins cannot hide more.
    assert abs(stated.mean() - same.mean()) <= found + 1e-12


def test_the_diagram_is_that_of_scikit_learn():
    stated, same = case()
    diagram = reliability(stated, same, bins=10)
    frequency, probability = calibration_curve(same, stated, n_bins=10)
    assert [row.frequency.estimate for row in diagram.bins] == pytest.approx(frequency, abs=1e-12)
    assert [row.probability for row in diagram.bins] == pytest.approx(probability, abs=1e-12)
    for row in diagram.bins:
        assert row.frequency == binomial_interval(row.genuine, row.pairs)
        assert row.low <= row.probability <= row.high
        assert row.high - row.low == pytest.approx(0.1)
    json.dumps(diagram.to_dict(), allow_nan=False)


def test_bins_of_equal_mass():
    stated, same = case()
    diagram = reliability(stated, same, bins=8, equal="mass")
    assert [row.pairs for row in diagram.bins] == [250] * 8
    frequency, probability = calibration_curve(same, stated, n_bins=8, strategy="quantile")
    assert [row.frequency.estimate for row in diagram.bins] == pytest.approx(frequency, abs=0.01)
    assert [row.probability for row in diagram.bins] == pytest.approx(probability, abs=0.01)
    lows, highs = zip(*((row.low, row.high) for row in diagram.bins), strict=True)
    assert all(high < low for high, low in zip(highs[:-1], lows[1:], strict=True))


@given(pairs, st.integers(1, 9))
def test_equal_probabilities_share_a_bin(rows, bins):
    stated, same = split(rows)
    diagram = reliability(stated, same, bins, "mass")
    assert diagram.pairs == len(rows)
    assert len(diagram.bins) <= bins
    for row, following in zip(diagram.bins[:-1], diagram.bins[1:], strict=True):
        assert row.high < following.low


def test_true_probabilities_are_calibrated():
    rng = np.random.default_rng(1)
    stated = rng.random(200_000)
    same = rng.random(200_000) < stated
    assert expected_calibration_error(stated, same) < 0.005
    assert expected_calibration_error(stated, same, equal="mass") < 0.005
    assert expected_calibration_error(stated**2, same) > 0.1
    held = [
        row.frequency.low <= row.probability <= row.frequency.high for row in reliability(stated, same).bins
    ]
    assert sum(held) >= 13
    assert brier(stated, same) == pytest.approx(1 / 6, abs=0.003)


@given(scored)
def test_isotonic_fit_is_that_of_scikit_learn(rows):
    scores, same = split(rows)
    fit = isotonic_fit(scores, same)
    expected = IsotonicRegression(out_of_bounds="clip").fit(scores, same).predict(scores)
    place = np.searchsorted(fit.lowest, scores, side="right") - 1
    assert fit.rates[place] == pytest.approx(expected, abs=1e-12)
    assert (np.diff(fit.rates) > 0).all()
    assert (scores <= fit.highest[place]).all()
    assert (fit.pairs.sum(), fit.genuine.sum()) == (len(rows), same.sum())


@given(scored)
def test_min_cllr_is_cllr_after_scikit_learn_s_isotonic(rows):
    scores, same = split(rows)
    assume(same.any() and not same.all())
    rates = IsotonicRegression().fit(scores, same).predict(scores)
    prior = same.mean()
    with np.errstate(divide="ignore"):
        ratios = np.log(rates) - np.log1p(-rates) - np.log(prior / (1 - prior))
    expected = (
        0.5 * np.log2(1 + np.exp(-ratios[same])).mean() + 0.5 * np.log2(1 + np.exp(ratios[~same])).mean()
    )
    found = min_cllr(scores, same)
    assert found == pytest.approx(expected, abs=1e-9)
    assert -1e-12 <= found <= 1.0 + 1e-12
    # No rising function of the scores does better, and the scores' scale does not matter.
    for ratios in (scores, 0.3 * scores - 1, np.tanh(scores)):
        assert found <= cllr(ratios, same) + 1e-12
    assert min_cllr(np.exp(scores) / 7, same) == pytest.approx(found, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2))
def test_cllr_is_its_definition(rows):
    ratios, same = split(rows)
    assume(same.any() and not same.all())
    genuine = [math.log2(1 + math.exp(-r)) for r, one in rows if one]
    impostors = [math.log2(1 + math.exp(r)) for r, one in rows if not one]
    assert cllr(ratios, same) == pytest.approx((np.mean(genuine) + np.mean(impostors)) / 2, abs=1e-12)
    assert cllr(-ratios, ~same) == pytest.approx(cllr(ratios, same), abs=1e-12)
    # More pairs of one kind change nothing.
    more = np.concatenate([ratios, ratios[same]]), np.concatenate([same, same[same]])
    assert cllr(*more) == pytest.approx(cllr(ratios, same), abs=1e-12)


def test_the_ends_of_cllr():
    same = np.array([True, True, False])
    assert cllr([0, 0, 0], same) == pytest.approx(1.0)
    assert cllr([800, 900, -800], same) == 0.0
    assert cllr([-800, -800, 800], same) == pytest.approx(800 / math.log(2))
    assert min_cllr([3, 2, 1], same) == 0.0
    assert min_cllr([1, 1, 1], same) == pytest.approx(1.0)
    assert min_cllr([1, 2, 3], same) == pytest.approx(1.0)


def test_log_ratios_take_the_prior_out():
    stated, same = case()
    prior = same.mean()
    found = log_ratios(stated, prior)
    assert found == pytest.approx(np.log(stated / (1 - stated)) - np.log(prior / (1 - prior)), abs=1e-9)
    assert log_ratios([prior], prior) == pytest.approx([0.0], abs=1e-12)
    assert log_ratios([0.0, 1.0], 0.5).tolist() == [-math.inf, math.inf]
    with pytest.raises(DatasetError, match="infinity"):
        cllr(log_ratios([0.0, 1.0], 0.5), [False, True])


def test_a_million_scores():
    rng = np.random.default_rng(0)
    same = rng.random(200_000) < 0.3
    assert 0.3 < min_cllr(rng.normal(size=200_000) + 2 * same, same) < 0.6


@pytest.mark.parametrize("metric", [brier, log_loss, expected_calibration_error, reliability])
def test_bad_probabilities(metric):
    for stated, same in (
        ([], []),
        ([math.nan], [True]),
        ([math.inf], [True]),
        ([1.1], [True]),
        ([-0.1], [True]),
        ([0.5, 0.5], [True]),
        ([0.5], [2]),
        ([[0.5]], [True]),
        (["0.5"], [True]),
    ):
        with pytest.raises(DatasetError):
            metric(stated, same)
    assert metric([0.5], [True]) is not None  # one kind of pair is enough


def test_bad_settings():
    for extra in ({"bins": 0}, {"equal": "area"}, {"level": 1.0}):
        with pytest.raises(SettingError):
            reliability([0.5], [True], **extra)
    for prior in (0.0, 1.0, math.nan):
        with pytest.raises(SettingError):
            log_ratios([0.5], prior)
    for metric in (cllr, min_cllr):
        for values, same in (([0.5, 0.2], [True, True]), ([math.nan, 0.1], [True, False]), ([], [])):
            with pytest.raises(DatasetError):
                metric(values, same)
    with pytest.raises(DatasetError):
        isotonic_fit([], [])
