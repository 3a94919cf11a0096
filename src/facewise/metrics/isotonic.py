"""Pool adjacent violators: the best non-decreasing fit of how often a pair is genuine, score by score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facewise.metrics.scores import Counts, Floats, Scores, check_pairs


@dataclass(frozen=True, slots=True, eq=False)
class IsotonicFit:
    """A step function of the score, one step a pool.

    Attributes:
        lowest: `(K,)` the least score of each pool, rising.
        highest: `(K,)` the greatest score of each pool.
        genuine: `(K,)` genuine pairs in each pool.
        pairs: `(K,)` pairs in each pool.
    """

    lowest: Scores
    highest: Scores
    genuine: Counts
    pairs: Counts

    @property
    def rates(self) -> Floats:
        """`(K,)` share of genuine pairs in each pool, rising strictly."""
        return np.asarray(self.genuine / self.pairs, dtype=np.float64)


def isotonic_fit(similarities: ArrayLike, same: ArrayLike) -> IsotonicFit:
    """The non-decreasing function of the score that is closest to the labels, in squares and in likelihood.

    Pool adjacent violators (Ayer, Brunk, Ewing, Reid and Silverman 1955), in integers: equal scores are one
    place, and neighbouring pools are joined while the right one's rate is not above the left one's.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.

    Raises:
        DatasetError: Malformed, empty or not finite.
    """
    scores, labels = check_pairs(similarities, same, both=False)
    distinct, place = np.unique(scores, return_inverse=True)
    pairs = np.bincount(place)
    genuine = np.bincount(place[labels], minlength=len(distinct))
    starts: list[int] = []
    pools: list[tuple[int, int]] = []
    for start, (hits, of) in enumerate(zip(genuine.tolist(), pairs.tolist(), strict=True)):
        first, pool_hits, pool_of = start, hits, of
        while pools and pools[-1][0] * pool_of >= pool_hits * pools[-1][1]:
            left_hits, left_of = pools.pop()
            first = starts.pop()
            pool_hits, pool_of = pool_hits + left_hits, pool_of + left_of
        starts.append(first)
        pools.append((pool_hits, pool_of))
    counts = np.array(pools, dtype=np.int64)
    ends = np.array([*starts[1:], len(distinct)]) - 1
    return IsotonicFit(distinct[starts], distinct[ends], counts[:, 0], counts[:, 1])
