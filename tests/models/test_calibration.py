"""What a model file says of its similarities: thresholds, probabilities, decisions in a search."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import ModelError, SettingError
from facewise.models import (
    DEFAULT_FPIR,
    Calibration,
    ScoreMap,
    Threshold,
    choose_decision,
    fmr_for,
    fpir_of,
    no_decision,
    search_decision,
)

MAP = ScoreMap(slope=30.0, offset=-9.0, low=-7.0, high=12.0, prior=0.5)
POINTS = tuple(
    Threshold(10.0**-k, 0.1 * k, 10.0**-k, 0.01 * k, (0.0, 0.1), (0.5 * 10.0**-k, 2 * 10.0**-k), (0.0, 1.0))
    for k in range(1, 6)
)
WHOLE = Calibration(
    "LFW", "all pairs", "0" * 64, 100, 100_000, True, "d", "1" * 64, POINTS, MAP, 500, 124_750
)  # fmt: skip
OLD = {
    "dataset": "LFW", "protocol": "View 2", "data_hash": "00", "genuine": 3000, "impostors": 3000,
    "flip": False, "detector": "d", "detector_fingerprint": "11",
    "thresholds": [{"fmr": 0.001, "threshold": 0.3, "measured_fmr": 0.001, "fnmr": 0.01,
                    "fnmr_interval": [0.0, 0.02]}],
}  # fmt: skip
"""As files of before there were probabilities have it."""

similarities = st.floats(-1, 1)
priors = st.floats(1e-6, 1 - 1e-6)


def test_json_there_and_back():
    assert Calibration.from_dict(json.loads(json.dumps(WHOLE.to_dict()))) == WHOLE


def test_an_old_calibration_still_decides_and_has_no_probability():
    old = Calibration.from_dict(OLD)
    assert old.decision().threshold == 0.3
    assert (old.score_map, old.probability_at(0.5), old.people) == (None, None, None)
    assert old.thresholds[0].fmr_interval is None
    assert Calibration.from_dict(json.loads(json.dumps(old.to_dict()))) == old


@pytest.mark.parametrize(
    "broken",
    [
        {"score_map": 7},
        {"score_map": []},
        {"score_map": {"slope": 1.0}},
        {"score_map": MAP.to_dict() | {"slope": -1.0}},
        {"score_map": MAP.to_dict() | {"slope": float("nan")}},
        {"score_map": MAP.to_dict() | {"offset": float("inf")}},
        {"score_map": MAP.to_dict() | {"prior": 1.0}},
        {"score_map": MAP.to_dict() | {"low": 3.0}},
        {"score_map": MAP.to_dict() | {"high": "much"}},
        {"people": "many"},
        {"thresholds": [OLD["thresholds"][0] | {"fmr_interval": [0.1]}]},
        {"thresholds": [OLD["thresholds"][0] | {"fmr_interval": 3}]},
        {"thresholds": ["none"]},
        {"thresholds": None},
    ],
)
def test_malformed_json_is_refused(broken):
    with pytest.raises(ModelError, match="calibration"):
        Calibration.from_dict(OLD | broken)


@given(a=similarities, b=similarities, prior=priors)
def test_probabilities_rise_and_stay_within_bounds(a, b, prior):
    low, high = sorted((a, b))
    one, other = (MAP.probability(score, prior) for score in (low, high))
    assert 0 <= one <= other <= 1
    np.testing.assert_allclose(MAP.probabilities([low, high], prior), [one, other], rtol=1e-12)
    assert MAP.low <= MAP.log_ratio(a) <= MAP.high


@given(score=similarities, prior=priors)
def test_another_prior_is_bayes(score, prior):
    odds = math.exp(MAP.log_ratio(score)) * prior / (1 - prior)
    assert MAP.probability(score, prior) == pytest.approx(odds / (1 + odds), rel=1e-9)


def test_the_maps_own_prior_is_the_default():
    at_even = replace(MAP, prior=0.2)
    assert at_even.probability(0.3) == at_even.probability(0.3, 0.2) == pytest.approx(0.2)
    assert WHOLE.probability_at(0.3) == pytest.approx(0.5)
    assert WHOLE.probability_at(0.3, 0.01) == pytest.approx(0.01)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="prior"):
            MAP.probability(0.3, wrong)


def test_a_rate_between_measured_ones_is_refused_not_guessed():
    with pytest.raises(SettingError, match=r"only at 0\.1, 0\.01, 0\.001, 0\.0001, 1e-05"):
        choose_decision(WHOLE, fmr=0.005)


@given(fpir=st.floats(1e-9, 0.999), comparisons=st.integers(1, 10**7))
def test_fpir_and_fmr_are_each_others_inverse(fpir, comparisons):
    fmr = fmr_for(fpir, comparisons)
    assert 0 < fmr <= fpir * (1 + 1e-12)
    assert fpir_of(fmr, comparisons) == pytest.approx(fpir, rel=1e-9)


def test_a_thousand_comparisons():
    assert fpir_of(1e-3, 1000) == pytest.approx(0.632, abs=1e-3)
    assert fmr_for(0.01, 1000) == pytest.approx(1.005e-5, rel=1e-3)
    assert (fpir_of(0.3, 0), fpir_of(1.0, 5), fpir_of(1.0, 0)) == (0.0, 1.0, 0.0)


@given(fpir=st.floats(1e-4, 0.99), comparisons=st.integers(0, 200_000))
def test_the_nearest_stricter_rate_is_taken(fpir, comparisons):
    needed = fmr_for(fpir, comparisons)
    if needed < 1e-5:
        with pytest.raises(SettingError, match=f"FPIR {fpir:g} in {comparisons} comparisons needs"):
            search_decision(WHOLE, comparisons, fpir=fpir)
        return
    decision = search_decision(WHOLE, comparisons, fpir=fpir)
    assert decision.fmr <= needed * (1 + 1e-9)
    assert all(rate > needed for rate in WHOLE.rates() if rate > decision.fmr * 1.01)
    assert decision.fpir == pytest.approx(fpir_of(decision.fmr, comparisons))
    assert decision.fpir <= fpir * (1 + 1e-9)


def test_without_a_rate_the_threshold_follows_the_size_of_the_gallery():
    rates = [search_decision(WHOLE, number).fmr for number in (0, 1, 100, 106, 1_000, 10_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])
    assert all(search_decision(WHOLE, n).fpir <= DEFAULT_FPIR for n in (1, 100, 106, 1_000, 10_000))
    # As strict as there is where nothing is strict enough, and it says what that means.
    assert search_decision(WHOLE, 100_000).fmr == pytest.approx(1e-5)
    assert search_decision(WHOLE, 100_000).fpir == pytest.approx(1 - math.exp(-1), abs=1e-3)
    assert search_decision(Calibration.from_dict(OLD), 100_000).fmr == 1e-3
    assert search_decision(replace(WHOLE, thresholds=POINTS[:2]), 5) is None


def test_what_a_search_is_refused():
    for both in ({"fpir": 0.1, "fmr": 0.1}, {"fpir": 0.1, "threshold": 0.5}, {"fmr": 0.1, "threshold": 0.5}):
        with pytest.raises(SettingError):
            search_decision(WHOLE, 5, **both)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="false positive identification rate"):
            search_decision(WHOLE, 5, fpir=wrong)
    with pytest.raises(SettingError, match="1,000,000 pairs of different people"):
        search_decision(WHOLE, 1_000, fpir=1e-3)
    with pytest.raises(SettingError, match="no threshold is set below FMR 1e-06"):
        search_decision(WHOLE, 1_000, fpir=1e-6)
    assert search_decision(None, 5) is None
    assert search_decision(None, 5, fpir=0.1) is None
    own = search_decision(WHOLE, 1_000, threshold=0.25)
    assert (own.threshold, own.fmr, own.fpir) == (0.25, None, None)
    assert search_decision(WHOLE, 1_000, fmr=1e-3).fpir == pytest.approx(0.632, abs=1e-3)


def test_why_there_is_no_decision():
    assert "facewise calibrate MODEL --on DATA" in no_decision(None)
    assert "ask for one of 0.1, 0.01" in no_decision(replace(WHOLE, thresholds=POINTS[:2]))
