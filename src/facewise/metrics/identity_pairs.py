"""Which people each pair joins, and what that does to the variance of a statistic of pairs.

Pairs that share a person are dependent: somebody who is hard to recognise fails in all of their pairs. So the
people are what is drawn at random, not the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.metrics.scores import Bools, Counts, Floats


@dataclass(frozen=True, slots=True)
class Variances:
    """Variances of one statistic, from what each pair contributes to it.

    Attributes:
        pairs: As if all pairs were independent.
        people: With the dependence of pairs that share a person: the dyadic cluster-robust variance (Aronow,
            Samii and Assenova 2015, equation 2; for matching tasks Fogliato, Patil and Perona 2023).
        drawn: What drawing people with replacement gives on average. An impostor pair is drawn w_i w_j times,
            whose variance is 3 where w_i and w_j have 1, so what is a pair's own is counted thrice.
        freedom: Degrees of freedom of `people` (Satterthwaite): few, where few people make up most of it.
    """

    pairs: float
    people: float
    drawn: float
    freedom: float


@dataclass(frozen=True, slots=True, eq=False)
class IdentityPairs:
    """The people of each pair as numbers 0 ... M - 1.

    Attributes:
        first: `(N,)` the person of each pair's first photo.
        second: `(N,)` of the second; equal to `first` in a genuine pair.
        same: `(N,)` True for a genuine pair.
        people: M.
        dyad: `(N,)` number of the (unordered) two people of an impostor pair; 0 in a genuine one.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: Bools
    people: int
    dyad: NDArray[np.int64]

    @classmethod
    def of(cls, same: Bools, first: ArrayLike, second: ArrayLike) -> Self:
        """Number the people of checked pairs.

        Args:
            same: `(N,)` True for a genuine pair.
            first: `(N,)` integers or strings, who is in the first photo of each pair.
            second: `(N,)` likewise of the second.

        Raises:
            DatasetError: Wrong shape, neither integers nor strings, against the labels, or too few people.
        """
        ends = [_labels(values, len(same), place) for values, place in ((first, "first"), (second, "second"))]
        if ends[0].dtype.kind in "iu" and ends[1].dtype.kind not in "iu":
            raise DatasetError("The people of the first photos are numbers but those of the second are not.")
        names, codes = np.unique(np.concatenate(ends), return_inverse=True)
        one, other = codes[: len(same)].astype(np.int64), codes[len(same) :].astype(np.int64)
        wrong = np.flatnonzero((one == other) != same)
        if len(wrong):
            place = int(wrong[0])
            kind = "one person" if same[place] else "two people"
            raise DatasetError(
                f"Pair {place} is labelled as of {kind}, but its photos are said to show "
                f"{ends[0][place]} and {ends[1][place]}; mend the labels or the names."
            )
        if len(np.unique(one[same])) < 2 or len(np.unique(np.append(one[~same], other[~same]))) < 3:
            raise DatasetError(
                "Intervals by identity need genuine pairs of two people and impostor pairs of three at least."
            )
        keys = np.where(same, -1, np.minimum(one, other) * len(names) + np.maximum(one, other))
        return cls(one, other, same, len(names), np.unique(keys, return_inverse=True)[1].astype(np.int64))

    def counts(self, drawn: Counts) -> Counts:
        """`(R, N)` how often each pair is in a resample in which the people are drawn `(R, M)` times.

        A genuine pair w_i times and an impostor pair w_i w_j times. Two copies of one person are never paired
        with each other: their photos would make pairs nobody scored, and impostors of themselves.
        """
        found = drawn[:, self.first]
        impostors = ~self.same
        found[:, impostors] *= drawn[:, self.second[impostors]]
        return found

    def variances(self, influence: Floats) -> Variances:
        """The variances of a statistic that is `sum(influence)` away from its true value.

        Args:
            influence: `(N,)` what each pair contributes, adding up to 0.
        """
        impostors = ~self.same
        shares = np.bincount(self.first, influence, self.people)
        shares += np.bincount(self.second[impostors], influence[impostors], self.people)
        squares = shares**2
        total, fourth = float(squares.sum()), float((squares**2).sum())
        between = float((np.bincount(self.dyad[impostors], influence[impostors]) ** 2).sum())
        correction = self.people / (self.people - 1)
        spread = fourth - total**2 / self.people
        freedom = 2.0 * total**2 / spread if spread > 0.0 else np.inf
        active = int(np.count_nonzero(squares)) or self.people
        return Variances(
            pairs=float((influence**2).sum()),
            people=correction * (total - between),
            drawn=total + between,
            freedom=float(min(freedom, max(1, active - 1))),
        )


def _labels(values: ArrayLike, pairs: int, place: str) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.shape != (pairs,):
        raise DatasetError(
            f"There are {pairs} pairs but the people of the {place} photos have shape {array.shape}."
        )
    if array.dtype.kind not in "iuSUT":
        raise DatasetError(
            f"The people of the {place} photos must be integers or strings, not {array.dtype}."
        )
    return array
