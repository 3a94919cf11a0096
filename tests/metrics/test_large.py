"""Metrics of millions of pairs are those of `verify_metrics`, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import DatasetError, SettingError
from facewise.metrics import eer, roc, tar_at_fmr, verify_metrics
from facewise.metrics.large import SortedPairs, verify_large

FMRS = (1e-6, 1e-3, 0.01, 0.1, 1 / 3, 0.5, 1.0)


@given(
    genuine=st.integers(1, 60),
    impostors=st.integers(1, 120),
    levels=st.sampled_from([1, 2, 5, 40, 10**6]),
    shift=st.sampled_from([-0.5, 0.0, 0.3, 2.0]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_same_numbers_as_for_few_pairs(genuine, impostors, levels, shift, dtype, seed) -> None:
    rng = np.random.default_rng(seed)
    same = rng.permutation(np.repeat([True, False], [genuine, impostors]))
    # Few levels make many ties, within a kind of pair and across.
    scores = (np.rint((rng.uniform(-0.5, 0.5, len(same)) + shift * same) * levels) / levels).astype(dtype)
    expected = verify_metrics(scores, same, fmrs=FMRS, repeats=0)
    assert verify_large(scores, same, FMRS).to_dict() == expected.to_dict()
    curve = SortedPairs.of(scores, same).tar_at_fmrs(FMRS)
    assert curve.tolist() == [point.tar for point in expected.operating_points]


@pytest.mark.parametrize(
    ("scores", "same"),
    [
        ([0.1, 0.9], [False, True]),
        ([0.9, 0.1], [False, True]),
        ([0.5, 0.5], [False, True]),
        ([3, 1, 2, 2], [1, 0, 0, 1]),
        ([0.2, 0.2, 0.2, 0.7], [True, True, False, False]),
        (np.nextafter(np.float32(0.5), np.float32([0, 1, 1])), [True, False, True]),
    ],
)
def test_small_and_extreme(scores, same) -> None:
    assert (
        verify_large(scores, same, FMRS).to_dict()
        == verify_metrics(scores, same, fmrs=FMRS, repeats=0).to_dict()
    )


def test_many_pairs_against_the_whole_roc() -> None:
    rng = np.random.default_rng(4)
    same = rng.random(200_000) < 0.01
    scores = (rng.standard_normal(200_000) * 0.1 + 0.4 * same).astype(np.float32)
    curve = roc(scores, same)
    told = verify_large(scores, same, (1e-4, 1e-2))
    for point in told.operating_points:
        assert point == tar_at_fmr(scores, same, point.fmr_target)
        assert point.tar == curve.tar[curve.fmr <= point.fmr_target].max()
    assert (told.eer, told.eer_threshold) == tuple(eer(scores, same))


@pytest.mark.parametrize(
    ("scores", "same", "told"),
    [
        ([], [], "no similarities"),
        ([0.1, 0.2], [True, True], "no pair of different people"),
        ([0.1, 0.2], [False, False], "no pair of the same person"),
        ([0.1, np.nan], [True, False], "NaN"),
        ([0.1, np.inf], [True, False], "infinity"),
        ([0.1, 0.2], [True], "labels"),
    ],
)
def test_what_is_refused(scores, same, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        verify_large(scores, same)


def test_a_rate_out_of_range() -> None:
    with pytest.raises(SettingError, match="false match rate"):
        verify_large([0.1, 0.2], [False, True], (0.0,))
