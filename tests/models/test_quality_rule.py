"""What quality does to a decision: laws that hold for every rule, pair and rate."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import ModelError
from facewise.models import Calibration, ScoreMap, Threshold, choose_decision, judge, threshold_for
from facewise.models.quality import QualityRule
from facewise.types import Quality
from planted_quality import of_quality, planted_rule

RATES = {1e-2: 0.3, 1e-3: 0.36, 1e-4: 0.42}
MAP = ScoreMap(slope=30.0, offset=-9.0, low=-7.0, high=12.0, prior=0.5)
PLAIN = Calibration(
    "LFW", "all pairs", "0" * 64, 100, 100_000, True, "d", "1" * 64,
    tuple(Threshold(rate, value, rate, 0.01, (0.0, 0.1)) for rate, value in RATES.items()), MAP, 500, 124_750,
)  # fmt: skip
SIZE = 8
KNOWING = replace(PLAIN, quality=planted_rule(SIZE, RATES[1e-3]))

similarities = st.floats(-1, 1)
values = st.floats(0, 1)
rates = st.sampled_from(list(RATES))


def of(value: float | None, *reasons: str) -> Quality:
    return Quality(0.9, 40.0, 100.0, 0.0, 0.0, 0.0, value, reasons)


@st.composite
def rules(draw: st.DrawFn) -> QualityRule:
    """Any rule that makes sense, for the threshold at 1e-3."""
    starts = sorted(draw(st.lists(st.floats(0.02, 0.99), max_size=5, unique_by=lambda x: round(x, 2))))
    needed = sorted(draw(st.lists(st.floats(RATES[1e-3], 2.0), min_size=len(starts), max_size=len(starts))))
    return replace(
        KNOWING.quality,
        qualities=np.array([0.0, *starts], np.float32),
        thresholds=np.array([*reversed(needed), RATES[1e-3]], np.float32),
        ceiling=draw(st.floats(RATES[1e-3], 1.0)),
        least=draw(st.floats(0, 0.9)),
    )


@given(rules(), values, values, rates)
def test_never_below_the_plain_threshold_and_never_lower_for_worse_photos(rule, one, other, rate):
    knowing = replace(PLAIN, quality=rule)
    decision = choose_decision(knowing, fmr=rate)
    worse, better = sorted((threshold_for(q, decision, knowing) for q in (one, other)), reverse=True)
    assert better >= decision.threshold
    low, high = min(one, other), max(one, other)
    assert threshold_for(low, decision, knowing) == worse
    assert threshold_for(high, decision, knowing) == better
    assert threshold_for(1.0, decision, knowing) == decision.threshold


@given(rules(), values, rates, rates)
def test_a_stricter_rate_never_needs_less(rule, quality, one, other):
    knowing = replace(PLAIN, quality=rule)
    loose, strict = (
        threshold_for(quality, choose_decision(knowing, fmr=rate), knowing)
        for rate in (max(one, other), min(one, other))
    )
    assert strict >= loose or math.isinf(loose)


@given(rules(), similarities, values, values, rates)
def test_judging_is_symmetric_and_never_laxer_than_without(rule, similarity, one, other, rate):
    knowing = replace(PLAIN, quality=rule)
    decision = choose_decision(knowing, fmr=rate)
    verdict = judge(similarity, (of(one), of(other)), decision, knowing)
    assert judge(similarity, (of(other), of(one)), decision, knowing) == verdict
    plain = judge(similarity, (None, None), decision, PLAIN)
    if verdict.same:
        assert plain.same
    if verdict.same is None:
        assert (verdict.threshold, verdict.probability) == (None, None)
        assert verdict.note.startswith("no decision: ")
    else:
        assert verdict.threshold >= plain.threshold
        assert verdict.same == (similarity >= verdict.threshold)
        assert verdict.probability is None or verdict.probability <= plain.probability


@given(similarities, similarities, values, rates)
def test_more_alike_is_never_less_probable(one, other, quality, rate):
    decision = choose_decision(KNOWING, fmr=rate)
    low, high = (judge(s, (of(quality), of(quality)), decision, KNOWING) for s in sorted((one, other)))
    assert low.threshold == high.threshold
    if low.probability is not None:
        assert low.probability <= high.probability


def test_beyond_the_ceiling_there_is_no_decision():
    decision = choose_decision(KNOWING)
    ceiling = KNOWING.quality.ceiling
    assert judge(0.99, (of(0.8), of(0.6)), decision, KNOWING).threshold <= ceiling
    for pair in ((of(0.6), of(0.6)), (of(0.4), of(0.65))):  # 0.8 and 0.8 would be needed
        verdict = judge(0.99, pair, decision, KNOWING)
        assert (verdict.same, verdict.threshold, verdict.probability) == (None, None, None)
        assert "too poor" in verdict.note


def test_a_reason_against_either_photo_is_told():
    decision = choose_decision(KNOWING)
    told = judge(0.99, (of(0.95), of(0.95, "too dark", "blurred")), decision, KNOWING)
    assert told.same is None
    assert told.note == "no decision: the second face is too dark and blurred"
    both = judge(0.99, (of(0.2, "blurred"), of(0.2, "blurred")), decision, KNOWING)
    assert both.note == "no decision: both faces are blurred"


@given(similarities, values, values, rates)
def test_without_a_rule_or_with_ones_own_threshold_quality_decides_nothing(similarity, one, other, rate):
    pair = of(one, "too dark"), of(other)
    decision = choose_decision(PLAIN, fmr=rate)
    verdict = judge(similarity, pair, decision, PLAIN)
    assert verdict.same == (similarity >= RATES[rate])
    assert verdict.threshold == RATES[rate]
    assert verdict.probability == PLAIN.probability_at(similarity)
    own = judge(similarity, pair, choose_decision(KNOWING, threshold=0.25), KNOWING)
    assert own.same == (similarity >= 0.25)


@given(similarities, rates)
def test_good_photos_and_those_nobody_measured_are_decided_as_before(similarity, rate):
    decision = choose_decision(KNOWING, fmr=rate)
    for pair in ((of(1.0), of(0.5)), (None, None), (of(None), of(0.5)), (None, of(0.35))):
        verdict = judge(similarity, pair, decision, KNOWING)
        assert verdict == judge(similarity, pair, decision, PLAIN)


@given(st.integers(0, 2**31), values)
def test_json_there_and_back(seed, quality):
    rng = np.random.default_rng(seed)
    rule = KNOWING.quality
    layers = tuple((w + rng.normal(0, 0.1, w.shape).astype(np.float32), b) for w, b in rule.layers)
    rule = replace(rule, layers=layers, measured={"people": 3, "cells": [{"fmr": 0.1}]})
    once = QualityRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert once.to_dict() == QualityRule.from_dict(once.to_dict()).to_dict()
    vector = of_quality(rng.normal(size=SIZE), min(max(quality, 0.01), 0.99))
    assert np.allclose(once.of(vector[np.newaxis]), rule.of(vector[np.newaxis]), atol=5e-3)
    knowing = replace(PLAIN, quality=once)
    again = Calibration.from_dict(json.loads(json.dumps(knowing.to_dict())))
    assert again.quality.to_dict() == once.to_dict()
    assert replace(again, quality=None) == PLAIN


@pytest.mark.parametrize(
    "broken",
    [
        {"qualities": [0.1, 0.5, 0.7, 0.9]},
        {"qualities": [0.0, 0.7, 0.5, 0.9]},
        {"thresholds": [0.8, 0.95, 0.65, 0.36]},
        {"thresholds": [0.95, 0.8, 0.65]},
        {"thresholds": [0.95, 0.8, 0.65, float("nan")]},
        {"kinds": ["blurred"]},
        {"kinds": []},
        {"best": 1.0},
        {"fmr": 0.0},
        {"layers": []},
        {"layers": None},
        {"ceiling": "high"},
    ],
)
def test_a_rule_that_makes_no_sense_is_a_broken_model_file(broken):
    data = KNOWING.to_dict()
    data["quality"] = {**data["quality"], **broken}
    with pytest.raises(ModelError, match="calibration"):
        Calibration.from_dict(data)
    data["quality"] = {key: value for key, value in KNOWING.to_dict()["quality"].items() if key not in broken}
    with pytest.raises(ModelError, match="calibration"):
        Calibration.from_dict(data)


def test_quality_is_what_the_networks_say_on_average():
    rng = np.random.default_rng(0)
    rule = KNOWING.quality
    one, two = (
        replace(
            rule,
            layers=tuple((w + rng.normal(0, 0.2, w.shape).astype(np.float32), b) for w, b in rule.layers),
        )
        for _ in range(2)
    )
    both = replace(
        rule,
        layers=tuple(
            (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))
            for a, b in zip(one.layers, two.layers, strict=True)
        ),
    )
    vectors = rng.normal(size=(20, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.allclose(both.alike(vectors), (one.alike(vectors) + two.alike(vectors)) / 2, atol=1e-6)
    assert np.all((both.of(vectors) >= 0) & (both.of(vectors) <= 1))
    assert rule.kind(of_quality(np.ones(SIZE), 0.2)) in rule.kinds
