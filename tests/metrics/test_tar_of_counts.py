"""TAR of many resamples at once is the TAR of each by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facewise.metrics import tar_at_fmr
from facewise.metrics.operating_point import tar_of_counts
from facewise.metrics.scores import RankedPairs

rates = st.sampled_from([1.0, 0.5, 1 / 3, 0.29, 0.1, 0.01, 1e-6])


@given(st.integers(2, 40), st.integers(1, 4), st.integers(2, 12), rates, st.integers(0, 2**32))
def test_as_each_resample_by_itself(pairs: int, resamples: int, values: int, fmr: float, seed: int) -> None:
    """Few distinct scores, so that there are ties of all kinds."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, pairs) / values
    same = rng.random(pairs) < 0.5
    same[:2] = True, False
    counts = rng.integers(0, 3, (resamples, pairs))
    counts[:, :2] += 1  # both kinds in every resample
    found = tar_of_counts(*RankedPairs.of(scores, same).cumulative(counts), fmr)
    drawn = [(np.repeat(scores, row), np.repeat(same, row)) for row in counts]
    assert found.tolist() == [tar_at_fmr(s, k, fmr).tar for s, k in drawn]
