"""Labelled similarities: what is allowed in, and how they are ranked and compared.

Every verification metric is a function of how many genuine and impostor pairs lie above each distinct score.
`RankedPairs` sorts once and counts for many resamples at a time, so a metric and its bootstrap share one
formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError, SettingError

Scores: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


def check_scores(values: ArrayLike, name: str = "similarities", ndim: int = 1) -> Scores:
    """An array of finite scores in the precision it came in (integers become float64).

    The precision is kept because a threshold "just above" a float32 score must still be above it in float32.
    A photo without a face is scored -1.0 by the caller, the least similarity; NaN and infinity are refused.

    Raises:
        DatasetError: Not numbers, not `ndim`-dimensional, empty, or not finite.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DatasetError(f"The {name} are ragged; give a plain array of numbers.") from error
    if array.dtype.kind not in "fiu":
        raise DatasetError(f"The {name} must be numbers, not {array.dtype}.")
    if array.ndim != ndim:
        raise DatasetError(f"The {name} must have {ndim} dimension(s), not shape {array.shape}.")
    if array.size == 0:
        raise DatasetError(f"There are no {name} to measure; give at least one.")
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and high < np.finfo(array.dtype).max):
        raise DatasetError(f"The {name} hold NaN or infinity; score a missing face as -1.0.")
    return array


def check_same(values: ArrayLike, pairs: int) -> Bools:
    """The labels of `pairs` pairs as booleans: True is the same person.

    Raises:
        DatasetError: Wrong shape, or anything but booleans (or the integers 0 and 1).
    """
    array = np.asarray(values)
    if array.shape != (pairs,):
        raise DatasetError(f"There are {pairs} similarities but the labels have shape {array.shape}.")
    if array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise DatasetError(f"The labels must be True (same person) or False, not {array.dtype}.")
    return array


def check_pairs(similarities: ArrayLike, same: ArrayLike, *, both: bool = True) -> tuple[Scores, Bools]:
    """Checked `(N,)` scores and labels; with `both`, at least one pair of each kind.

    Raises:
        DatasetError: See `check_scores` and `check_same`; or only one kind of pair where both are needed.
    """
    scores = check_scores(similarities)
    labels = check_same(same, len(scores))
    if both and (labels.all() or not labels.any()):
        kind = "different people" if labels.all() else "the same person"
        raise DatasetError(f"There is no pair of {kind}; this metric needs both kinds of pair.")
    return scores, labels


def accepts(scores: Scores, threshold: float) -> Bools:
    """Which scores are declared a match: score >= threshold, compared in float64 whatever the scores are in.

    Raises:
        SettingError: The threshold is NaN.
    """
    if np.isnan(threshold):
        raise SettingError("The threshold is NaN; give a number.")
    return np.asarray(scores.astype(np.float64, copy=False) >= float(threshold), dtype=np.bool_)


def just_above(score: np.floating[Any]) -> float:
    """The smallest number above `score` in the score's own precision."""
    return float(np.nextafter(score, type(score)(np.inf)))


@dataclass(frozen=True, slots=True, eq=False)
class RankedPairs:
    """Pairs sorted by falling score, tied scores together.

    Attributes:
        distinct: `(K,)` distinct scores, falling.
        order: `(N,)` the pairs, most alike first.
        ends: `(K,)` for each distinct score, the place in `order` of the last pair that has it.
        same: `(N,)` labels in that order.
    """

    distinct: Scores
    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    same: Bools

    @classmethod
    def of(cls, scores: Scores, same: Bools) -> Self:
        """Rank checked scores (see `check_pairs`)."""
        order = np.argsort(scores)[::-1]
        ranked = scores[order]
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        return cls(distinct=ranked[ends], order=order, ends=ends, same=same[order])

    def cumulative(self, counts: Counts | None = None) -> tuple[Counts, Counts]:
        """How many genuine and how many impostor pairs score at or above each distinct score.

        Args:
            counts: `(R, N)` how often each pair, in the order given to `of`, was drawn in each of R
                resamples; None is one resample with every pair once.

        Returns:
            Two `(R, K)` arrays, genuine and impostor; their last columns are the totals.
        """
        ranked = np.ones((1, len(self.order)), np.int64) if counts is None else counts[:, self.order]
        genuine = np.cumsum(np.where(self.same, ranked, 0), axis=1)
        impostors = np.cumsum(ranked, axis=1) - genuine
        if len(self.ends) < len(self.order):
            genuine, impostors = genuine[:, self.ends], impostors[:, self.ends]
        return genuine, impostors
