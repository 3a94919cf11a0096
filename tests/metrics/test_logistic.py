"""The logistic map from similarity to log-likelihood ratio, and where a rate will lie when measured again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression

from facewise.errors import DatasetError, SettingError
from facewise.metrics.identity_bootstrap import wilson
from facewise.metrics.logistic import fit_logistic
from facewise.metrics.prediction import prediction_limits


def pairs(seed: int, genuine: int = 300, impostors: int = 900) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0.5, 0.15, genuine), rng.normal(0.1, 0.1, impostors)])
    return scores, np.repeat([True, False], [genuine, impostors])


def fitted(scores, same, prior=0.5, worth=(1e12, 1e12)):
    return fit_logistic(
        scores, same.astype(int), (~same).astype(int), genuine_worth=worth[0], impostors_worth=worth[1],
        prior=prior,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("prior", [0.5, 0.1, 0.9])
def test_it_is_scikit_learns_weighted_logistic_regression(seed, prior):
    scores, same = pairs(seed)
    weights = np.where(same, prior / same.sum(), (1 - prior) / (~same).sum()) * len(same)
    oracle = LogisticRegression(C=1e10, tol=1e-12, max_iter=5000)
    oracle.fit(scores[:, None], same, sample_weight=weights)
    found = fitted(scores, same, prior)
    assert found.slope == pytest.approx(oracle.coef_[0, 0], rel=2e-4)
    assert found.offset + math.log(prior / (1 - prior)) == pytest.approx(oracle.intercept_[0], rel=2e-4)


def test_the_targets_are_those_of_platt():
    """One more pair of either kind on the wrong side, spread over all: scikit-learn with both labels."""
    scores, same = pairs(5, 20, 40)
    aims = np.where(same, 21 / 22, 1 / 42)
    weights = np.where(same, 0.5 / 20, 0.5 / 40)
    oracle = LogisticRegression(C=1e10, tol=1e-12, max_iter=5000).fit(
        np.tile(scores, 2)[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=1e3 * np.concatenate([weights * aims, weights * (1 - aims)]),
    )
    found = fitted(scores, same, worth=(20, 40))
    assert (found.slope, found.offset) == pytest.approx((oracle.coef_[0, 0], oracle.intercept_[0]), rel=2e-4)


def test_counts_are_pairs_of_equal_score():
    scores, same = pairs(2)
    scores = scores.round(2)
    distinct, place = np.unique(scores, return_inverse=True)
    whole = fitted(scores, same, worth=(300, 900))
    counted = fit_logistic(
        distinct, np.bincount(place[same], minlength=len(distinct)),
        np.bincount(place[~same], minlength=len(distinct)), genuine_worth=300, impostors_worth=900,
    )  # fmt: skip
    assert (counted.slope, counted.offset) == pytest.approx((whole.slope, whole.offset), rel=1e-9)


def test_two_normal_distributions_of_one_width_have_this_ratio():
    """LLR = (μ₁ - μ₀) / σ² · (s - (μ₀ + μ₁) / 2), whatever the shares of the two kinds."""
    rng = np.random.default_rng(0)
    same = np.repeat([True, False], [20_000, 80_000])
    found = fitted(np.where(same, 0.5, 0.1) + rng.normal(0, 0.15, len(same)), same)
    assert found.slope == pytest.approx(0.4 / 0.15**2, rel=0.03)
    assert -found.offset / found.slope == pytest.approx(0.3, abs=0.003)


def test_data_that_a_threshold_separates_give_a_finite_map_and_more_data_a_steeper_one():
    scores = np.concatenate([np.linspace(0.6, 0.9, 50), np.linspace(-0.1, 0.2, 50)])
    same = np.repeat([True, False], 50)
    few, many = fitted(scores, same, worth=(5, 5)), fitted(scores, same, worth=(5000, 5000))
    assert 0 < few.slope < many.slope < 1e4
    assert abs(few.offset + few.slope * 0.9) < 10


def test_scores_that_tell_nothing_or_the_wrong_way_round():
    scores, same = pairs(1)
    assert fitted(-scores, same).slope < 0
    with pytest.raises(DatasetError, match="equally alike"):
        fitted(np.full(10, 0.3), np.arange(10) < 5)


@given(
    scores=st.lists(st.floats(-1, 1), min_size=4, max_size=30, unique=True),
    data=st.data(),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
@settings(max_examples=60)
def test_a_change_of_scale_changes_nothing_else(scores, data, scale):
    array = np.array(scores)
    if np.ptp(array) < 1e-3:
        return
    flags = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    same = np.array(flags)
    if same.all() or not same.any():
        return
    one, other = fitted(array, same, worth=(3, 3)), fitted(array * scale + 1, same, worth=(3, 3))
    ratios = one.offset + one.slope * array
    assert np.isfinite(ratios).all()
    np.testing.assert_allclose(other.offset + other.slope * (array * scale + 1), ratios, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"similarities": [0.1, np.nan]}, DatasetError),
        ({"similarities": []}, DatasetError),
        ({"genuine": [0, 0]}, DatasetError),
        ({"impostors": [0, 0]}, DatasetError),
        ({"genuine": [1]}, DatasetError),
        ({"genuine": [-1, 2]}, DatasetError),
        ({"impostors": [1, np.inf]}, DatasetError),
        ({"prior": 0.0}, SettingError),
        ({"prior": float("nan")}, SettingError),
        ({"genuine_worth": 0}, SettingError),
    ],
)
def test_errors(change, error):
    good = {"similarities": [0.1, 0.9], "genuine": [0, 1], "impostors": [1, 0], "genuine_worth": 1,
            "impostors_worth": 1}  # fmt: skip
    fit_logistic(**good)
    with pytest.raises(error):
        fit_logistic(**good | change)


@given(
    errors=st.integers(0, 200),
    trials=st.floats(1, 1e7),
    again=st.floats(1, 1e7),
    quantile=st.floats(0.5, 5),
)
@settings(max_examples=100)
def test_prediction_limits_solve_their_equation(errors, trials, again, quantile):
    estimate = min(1.0, errors / trials)
    low, high = prediction_limits(estimate, trials, again, quantile)
    assert 0 <= low <= estimate <= high <= 1

    def beyond(share: float) -> float:
        both = (trials * estimate + again * share) / (trials + again)
        return (share - estimate) ** 2 - quantile**2 * both * (1 - both) * (1 / trials + 1 / again)

    for end, outer in ((low, 0.0), (high, 1.0)):
        if beyond(outer) > 0 and beyond(estimate) < 0:
            assert end == pytest.approx(
                brentq(beyond, estimate, outer, xtol=1e-15, rtol=1e-13), rel=1e-5, abs=1e-9
            )
        elif beyond(outer) <= 0:
            assert end == pytest.approx(outer, abs=1e-9)


def test_a_prediction_of_endless_data_is_the_interval_of_the_true_rate():
    for estimate, trials in ((0.0, 30.0), (0.01, 1000.0), (0.5, 12.0)):
        expected = wilson(estimate, 0.0, trials, 1.96)
        assert prediction_limits(estimate, trials, 1e15, 1.96) == pytest.approx(expected, abs=1e-9)


def test_a_prediction_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = []
    for old, new in rng.binomial(2000, 0.01, (4000, 2)) / 2000:
        low, high = prediction_limits(old, 2000, 2000, 1.96)
        inside.append(low <= new <= high)
    assert 0.94 <= np.mean(inside) <= 0.965


def test_a_prediction_refuses_nonsense():
    for wrong in ((1.5, 1, 1), (0.5, 0, 1), (0.5, 1, float("nan"))):
        with pytest.raises(SettingError):
            prediction_limits(*wrong, 1.96)
