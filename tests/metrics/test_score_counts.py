"""Counted scores give the numbers of the scores themselves, to the width of a cell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from facewise.errors import DatasetError, SettingError
from facewise.metrics import verify_metrics
from facewise.metrics.score_counts import CELLS, ScoreCounts, cell_of, edge_of

FMRS = (1.0, 0.3, 0.1, 1e-2, 1e-3)


def counted(scores: np.ndarray, same: np.ndarray, pieces: int = 1) -> ScoreCounts:
    seen = ScoreCounts()
    for part, kind in zip(np.array_split(scores, pieces), np.array_split(same, pieces), strict=True):
        seen.update(part[kind], part[~kind])
    return seen


def scores_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    same = rng.random(count) < 0.3
    return np.clip(rng.normal(0.1 + 0.5 * same, 0.2), -1, 1), same


@pytest.mark.parametrize("grid", [4, 64, CELLS])
@pytest.mark.parametrize("seed", range(3))
def test_scores_on_the_grid_give_the_same_numbers(grid: int, seed: int) -> None:
    """With few steps there are many ties."""
    scores, same = scores_of(np.random.default_rng(seed), 3000)
    scores = np.floor(scores * grid) / grid
    got, expected = counted(scores, same, 7).compute(FMRS), verify_metrics(scores, same, fmrs=FMRS, repeats=0)
    assert got.auc == pytest.approx(expected.auc, abs=1e-12)
    assert got.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    assert got.eer == pytest.approx(expected.eer, abs=1e-12)
    assert got.eer_threshold == expected.eer_threshold
    for one, other in zip(got.operating_points, expected.operating_points, strict=True):
        assert (one.fmr, one.tar, one.fnmr, one.supported) == (
            other.fmr, other.tar, other.fnmr, other.supported
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_scores_to_the_width_of_a_cell(dtype: type) -> None:
    scores, same = scores_of(np.random.default_rng(5), 5000)
    scores = scores.astype(dtype)
    got, expected = counted(scores, same).compute(FMRS), verify_metrics(scores, same, fmrs=FMRS, repeats=0)
    assert abs(got.auc - expected.auc) <= got.auc_error + 1e-15 < 1e-5
    for one, other in zip(got.operating_points, expected.operating_points, strict=True):
        # The rates are those of the scores themselves at the threshold told.
        assert one.fmr == (scores[~same].astype(float) >= one.threshold).mean()
        assert one.tar == (scores[same].astype(float) >= one.threshold).mean()
        assert one.fmr <= one.fmr_target
        # At most a cell above the smallest threshold, but for FMR 1, where any at or below the least will do.
        assert abs(one.threshold - other.threshold) <= 1 / CELLS


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=60)
def test_rates_never_exceed_their_targets(pairs: list[tuple[float, bool]]) -> None:
    scores, same = np.array([s for s, _ in pairs]), np.array([k for _, k in pairs])
    if same.all() or not same.any():
        with pytest.raises(DatasetError, match="no pair of"):
            counted(scores, same).compute()
        return
    for point in counted(scores, same).compute(FMRS).operating_points:
        assert point.fmr == (scores[~same] >= point.threshold).mean() <= point.fmr_target
        assert point.tar == (scores[same] >= point.threshold).mean()
        if point.threshold > -1 and point.fmr_target < 1:
            # A cell lower one impostor too many would match.
            assert (scores[~same] >= point.threshold - 1 / CELLS).mean() > point.fmr_target


@given(st.floats(-1, 1, width=32))
def test_a_score_is_in_its_cell(score: float) -> None:
    for dtype in (np.float32, np.float64):
        cell = int(cell_of(np.array([score], dtype))[0])
        assert edge_of(cell) <= score < edge_of(cell + 1)


def test_large_and_small_batches_count_alike() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, 500_000).astype(np.float32)
    whole, parts = ScoreCounts(), ScoreCounts()
    whole.update(scores[:100], scores)
    for part in np.array_split(scores, 9):
        parts.update([], part)
    parts.update(scores[:100], [])
    assert whole.compute().to_dict() == parts.compute().to_dict()
    below = whole.impostors_below()
    assert below[cell_of(scores[:100])].mean() == pytest.approx(whole.compute().auc, abs=1e-12)
    assert json.dumps(whole.compute().to_dict(), allow_nan=False)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [1.1], [-1.0001], [[0.1]], ["a"]])
def test_scores_that_are_none(bad: list) -> None:
    seen = ScoreCounts()
    with pytest.raises(DatasetError):
        seen.update(bad, [0.1])
    with pytest.raises(DatasetError):
        seen.update([0.1], bad)


def test_what_there_is_nothing_to_say_of() -> None:
    with pytest.raises(DatasetError, match="one person"):
        ScoreCounts().compute()
    with pytest.raises(DatasetError, match="different people"):
        ScoreCounts().impostors_below()
    seen = ScoreCounts()
    seen.update([0.5], [0.1])
    with pytest.raises(SettingError):
        seen.compute((0.0,))
