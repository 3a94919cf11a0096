"""Errors of liveness: the threshold against a search through all, the interval against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import DatasetError, SettingError
from facewise.metrics.presentation import attack_threshold, rate_by_subject

scores = st.lists(st.integers(0, 30).map(lambda n: n / 30), min_size=1, max_size=25)


@given(scores, scores, scores, st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_no_other_threshold_within_the_target_lets_more_live_faces_pass(
    live, prints, screens, target
) -> None:
    threshold = attack_threshold(live, {"print": prints, "screen": screens}, target)

    def apcer(at: float) -> float:
        return max(np.mean(np.array(kind) >= at) for kind in (prints, screens))

    def bpcer(at: float) -> float:
        return float(np.mean(np.array(live) < at))

    assert apcer(threshold) <= target
    tried = [*np.unique([*live, *prints, *screens]), 2.0]
    allowed = [at for at in tried if apcer(at) <= target]
    assert bpcer(threshold) == min(bpcer(at) for at in allowed)


def test_the_threshold_lies_in_the_middle_of_what_parts_them() -> None:
    assert attack_threshold([0.5, 0.9], {"print": [0.0, 0.1]}, 0.0) == pytest.approx(0.3)
    # That more may pass is no reason to let them where no live face is gained by it.
    assert attack_threshold([0.5, 0.9], {"print": [0.0, 0.1]}, 0.5) == pytest.approx(0.3)
    assert attack_threshold([0.05, 0.9], {"print": [0.0, 0.1]}, 0.5) == pytest.approx(0.025)
    assert attack_threshold([0.1], {"print": [0.9]}, 0.0) > 0.9


@pytest.mark.parametrize(
    ("live", "attacks"), [([], {"a": [1.0]}), ([1.0], {}), ([1.0], {"a": []}), ([np.nan], {"a": [1.0]})]
)
def test_nothing_to_set_a_threshold_on(live, attacks) -> None:
    with pytest.raises(DatasetError):
        attack_threshold(live, attacks, 0.05)


@pytest.mark.parametrize("target", [-0.1, 1.0, np.nan])
def test_targets_that_make_no_sense(target: float) -> None:
    with pytest.raises(SettingError, match="APCER"):
        attack_threshold([1.0], {"a": [0.0]}, target)


def test_intervals_are_over_subjects() -> None:
    subjects = ["a"] * 50 + ["b"] * 50 + ["c"] * 50 + ["d"] * 50
    wrong = [True] * 50 + [False] * 150
    found = rate_by_subject(wrong, subjects)
    assert found.estimate == 0.25
    assert found.low == 0.0  # the one subject may be missing from a resample
    assert found.high >= 0.5


def test_no_error_among_a_few_subjects_does_not_mean_that_there_are_none() -> None:
    none = rate_by_subject([False] * 300, [1, 2, 3] * 100)
    assert (none.estimate, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 3))  # three trials, Clopper and Pearson
    every = rate_by_subject([True] * 4, [1, 2, 3, 4])
    assert (every.estimate, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(0.025 ** (1 / 4))
    with pytest.raises(DatasetError):
        rate_by_subject([True], [1, 2])
