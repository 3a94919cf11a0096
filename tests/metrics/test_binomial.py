"""The exact binomial interval against scipy, its definition, and its coverage."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import binomial_interval, exact_ends, incomplete_beta

LEVELS = (0.5, 0.8, 0.95, 0.99, 0.999999)


def of_scipy(count, of, level):
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else stats.beta.ppf(tail, count, of - count + 1)
    high = 1.0 if count == of else stats.beta.isf(tail, count + 1, of - count)
    return low, high


@pytest.mark.parametrize("level", LEVELS)
def test_all_counts_of_few_trials(level):
    for of in range(1, 26):
        for count in range(of + 1):
            found = binomial_interval(count, of, level)
            assert (found.low, found.high) == pytest.approx(of_scipy(count, of, level), rel=1e-11, abs=1e-15)
            assert found.estimate == count / of
            assert found.level == level


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("of", [1_000, 3_000, 1_000_000, 15_658_489, 100_000_000])
def test_many_trials(of, level):
    for count in (0, 1, 2, 3, 30, of // 1000, of // 10, of // 2, of // 2 + 1, of - 30, of - 1, of):
        found = binomial_interval(count, of, level)
        expected = of_scipy(count, of, level)
        assert (found.low, found.high) == pytest.approx(expected, rel=0, abs=1e-10)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-7, abs=1e-15)


def test_it_is_the_interval_of_binomtest():
    found = stats.binomtest(7, 50).proportion_ci(0.9, method="exact")
    ours = binomial_interval(7, 50, 0.9)
    assert (ours.low, ours.high) == pytest.approx((found.low, found.high), abs=1e-9)


def test_nothing_seen_is_not_never():
    # The rule of three: none in 3,000 leaves up to 3.7 / 3,000 (at a two-sided 95%).
    found = binomial_interval(0, 3000)
    assert (found.estimate, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(-math.log(0.025) / 3000, rel=1e-3)
    assert binomial_interval(3000, 3000).high == 1.0


@settings(max_examples=50)
@given(st.integers(1, 10**6), st.floats(0, 1), st.sampled_from(LEVELS))
def test_invariants(of, share, level):
    count = round(share * of)
    found, mirrored = binomial_interval(count, of, level), binomial_interval(of - count, of, level)
    assert 0.0 <= found.low <= count / of <= found.high <= 1.0
    # SciPy's quantiles: 5e-15 off at 500,000 of 1,000,000 and level 0.8, within 1e-16 elsewhere.
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-13)
    wider = binomial_interval(count, of, 0.9999999)
    assert wider.low <= found.low
    assert wider.high >= found.high
    if count < of:
        more = binomial_interval(count + 1, of, level)
        assert more.low > found.low or found.low == more.low == 0.0
        assert more.high > found.high


def test_it_covers_at_least_as_often_as_it_says():
    of = 60
    intervals = [binomial_interval(count, of) for count in range(of + 1)]
    for rate in np.linspace(0.001, 0.999, 401):
        held = [found.low <= rate <= found.high for found in intervals]
        assert stats.binom.pmf(np.arange(of + 1), of, rate)[held].sum() >= 0.95


@given(st.floats(0.05, 1e5), st.floats(0.05, 1e5), st.floats(0, 1))
def test_the_incomplete_beta_function_is_that_of_scipy(a, b, x):
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), abs=1e-10)
    # I_(1 - x)(a, b) = 1 - I_x(b, a), without rounding 1 - x.
    assert incomplete_beta(a, b, x, complement=True) == pytest.approx(special.betaincc(b, a, x), abs=1e-10)


def test_an_effective_number_of_trials_need_not_be_whole():
    low, high = exact_ends(2.5, 31.25, 0.025)
    assert low == pytest.approx(stats.beta.ppf(0.025, 2.5, 29.75), rel=1e-11)
    assert high == pytest.approx(stats.beta.ppf(0.975, 3.5, 28.75), rel=1e-11)


def test_millions_of_trials_take_no_time():
    start = time.process_time()
    for count in range(0, 15_658_489, 1_565_848):
        binomial_interval(count, 15_658_489)
    assert time.process_time() - start < 2


def test_numpy_counts_are_counts():
    assert binomial_interval(np.int64(3), np.int32(10)) == binomial_interval(3, 10)


@pytest.mark.parametrize(
    ("count", "of"), [(0, 0), (1, -1), (-1, 5), (6, 5), (1.0, 5), (1, 5.0), (math.nan, 5), ("1", 5)]
)
def test_bad_counts(count, of):
    with pytest.raises(DatasetError):
        binomial_interval(count, of)


@pytest.mark.parametrize("level", [0.0, 1.0, -1, 95, math.nan])
def test_bad_levels(level):
    with pytest.raises(SettingError):
        binomial_interval(1, 5, level)
