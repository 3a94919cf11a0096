"""The paired test of two verifiers: against scipy, against its own invariances, and in simulation."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from facewise.errors import DatasetError, SettingError
from facewise.metrics import auc, tar_at_fmr
from facewise.metrics.identity_bootstrap import identity_intervals
from facewise.metrics.paired import compare_verifiers, mcnemar


def two_models(seed=0, people=60, photos=4, impostors=900, better=0.0):
    """Two models that find the same people hard, and differ by noise of their own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), photos)
    a, b = np.triu_indices(len(who), 1)
    genuine = who[a] == who[b]
    chosen = np.append(
        np.flatnonzero(genuine), rng.choice(np.flatnonzero(~genuine), impostors, replace=False)
    )
    first, second = who[a[chosen]], who[b[chosen]]
    same = first == second
    hard = rng.normal(size=people)
    shared = 0.7 * rng.normal(size=len(same)) + np.where(same, 2.2 + hard[first], 0.0)
    models = []
    for shift in (better, 0.0):
        own = 0.5 * rng.normal(size=people)
        models.append(shared + 0.7 * rng.normal(size=len(same)) + np.where(same, own[first] + shift, 0.0))
    return (*models, same, first, second)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    found = mcnemar(only_a, only_b)
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert mcnemar(only_b, only_a).p_value == found.p_value


def test_many_discordant_pairs():
    assert mcnemar(10_200, 9_800).p_value == pytest.approx(stats.binomtest(9_800, 20_000).pvalue, rel=1e-8)
    assert mcnemar(2000, 0).p_value == pytest.approx(0.0, abs=1e-300)


def test_differences_are_those_of_the_metrics():
    a, b, same, first, second = two_models(better=0.5)
    found = compare_verifiers(a, b, same, first, second, thresholds=(1.2, 1.0), fmrs=(0.1, 0.01))
    assert list(found.differences) == ["auc", "eer", "tar@fmr=0.1", "tar@fmr=0.01", "fmr", "fnmr", "accuracy"]
    assert found.differences["auc"].difference == pytest.approx(auc(a, same) - auc(b, same))
    tar = found.differences["tar@fmr=0.01"]
    assert (tar.a, tar.b) == (tar_at_fmr(a, same, 0.01).tar, tar_at_fmr(b, same, 0.01).tar)
    right_a, right_b = (a >= 1.2) == same, (b >= 1.0) == same
    assert found.differences["accuracy"].difference == pytest.approx(right_a.mean() - right_b.mean())
    assert found.mcnemar.only_a == (right_a & ~right_b).sum()
    assert found.mcnemar.only_b == (right_b & ~right_a).sum()
    assert (found.pairs, found.people) == (len(same), 60)
    for row in found.differences.values():
        assert row.low < row.difference < row.high
        assert (row.p_value < 0.05) == (row.low > 0 or row.high < 0)
    json.dumps(found.to_dict(), allow_nan=False)
    assert compare_verifiers(a, b, same, first, second).mcnemar is None


def test_decisions_made_elsewhere():
    a, b, same, first, second = two_models(better=0.5)
    right = (a >= 1.2) == same, (b >= 1.0) == same
    found = compare_verifiers(a, b, same, first, second, right=right)
    at_thresholds = compare_verifiers(a, b, same, first, second, thresholds=(1.2, 1.0))
    assert found.mcnemar == at_thresholds.mcnemar
    decided, expected = found.differences["decided accuracy"], at_thresholds.differences["accuracy"]
    assert (decided.low, decided.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    with pytest.raises(DatasetError):
        compare_verifiers(a, b, same, first, second, right=(right[0], right[1][1:]))


def test_the_other_way_round():
    a, b, same, first, second = two_models(better=0.3)
    forth = compare_verifiers(a, b, same, first, second, thresholds=(1.2, 1.0))
    back = compare_verifiers(b, a, same, first, second, thresholds=(1.0, 1.2))
    for name, row in forth.differences.items():
        other = back.differences[name]
        assert (row.difference, row.low) == pytest.approx((-other.difference, -other.high), abs=1e-12)
        assert row.p_value == pytest.approx(other.p_value, abs=1e-9)
    # The second model's scale does not matter.
    scaled = compare_verifiers(a, np.exp(b), same, first, second, thresholds=(1.2, math.exp(1.0)))
    for name, row in forth.differences.items():
        assert row.p_value == pytest.approx(scaled.differences[name].p_value, abs=1e-9)


def test_the_same_model_twice():
    a, _, same, first, second = two_models()
    found = compare_verifiers(a, a, same, first, second, thresholds=(1.0, 1.0), repeats=50)
    for row in found.differences.values():
        assert (row.difference, row.low, row.high, row.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert found.mcnemar.p_value == 1.0


def test_a_difference_is_known_better_than_either():
    a, b, same, first, second = two_models()
    found = compare_verifiers(a, b, same, first, second).differences
    alone = identity_intervals(a, same, first, second)
    for name in ("auc", "tar@fmr=0.1"):
        assert found[name].high - found[name].low < 1.2 * (alone[name].high - alone[name].low)


def test_equal_models_differ_rarely_and_a_better_one_is_found():
    runs, names = 100, ("auc", "tar@fmr=0.1", "eer")
    alarms, found = dict.fromkeys(names, 0), 0
    for seed in range(runs):
        equal = compare_verifiers(*two_models(seed), fmrs=(0.1,), repeats=100)
        for name in names:
            alarms[name] += equal.differences[name].p_value < 0.05
    for seed in range(20):
        better = compare_verifiers(*two_models(seed, better=1.0), fmrs=(0.1,), repeats=100)
        found += better.differences["auc"].p_value < 0.05
    # 5 of 100 are expected, +- 2.2.
    assert all(count <= 12 for count in alarms.values()), alarms
    assert found >= 18


def test_bad_data_and_settings():
    a, b, same, first, second = two_models()
    with pytest.raises(DatasetError, match="same pairs"):
        compare_verifiers(a, b[1:], same, first, second)
    with pytest.raises(DatasetError):
        compare_verifiers(a, np.where(b > 3, np.nan, b), same, first, second)
    for extra in ({"repeats": 1}, {"level": 0.0}, {"fmrs": (2.0,)}, {"thresholds": (math.nan, 0.5)}):
        with pytest.raises(SettingError):
            compare_verifiers(a, b, same, first, second, **extra)
    for counts in ((-1, 3), (1.5, 2), ("1", 2)):
        with pytest.raises(SettingError):
            mcnemar(*counts)
