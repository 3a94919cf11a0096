"""Verification metrics of millions of pairs: the numbers of `verify_metrics`, in less time and memory.

`verify_metrics` ranks all pairs together, for which it sorts indices; a metric and its bootstrap share that
ranking. Without a bootstrap it is enough to sort genuine and impostor scores apart, as values, and to look up
how many of either kind lie above a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from facewise.metrics.intervals import FMRS
from facewise.metrics.operating_point import OperatingPoint, allowed_errors, check_rate
from facewise.metrics.roc_curve import EqualErrorRate
from facewise.metrics.scores import Floats, Scores, check_pairs, just_above
from facewise.metrics.verification import VerificationResult


@dataclass(frozen=True, slots=True, eq=False)
class SortedPairs:
    """Scores of genuine and of impostor pairs, each rising.

    Attributes:
        genuine: (G,) scores of pairs of one person.
        impostors: (M,) scores of pairs of two people.
    """

    genuine: Scores
    impostors: Scores

    @classmethod
    def of(cls, similarities: ArrayLike, same: ArrayLike) -> Self:
        """Sort pairs.

        Args:
            similarities: (N,) scores, higher is more alike.
            same: (N,) True for two photos of one person.

        Raises:
            DatasetError: Malformed, empty, not finite, or only one kind of pair.
        """
        scores, labels = check_pairs(similarities, same)
        genuine, impostors = scores[labels], scores[~labels]
        genuine.sort()
        impostors.sort()
        return cls(genuine, impostors)

    def tar_at_fmr(self, fmr: float) -> OperatingPoint:
        """See `facewise.metrics.tar_at_fmr`."""
        target = check_rate(fmr)
        genuine, impostors = len(self.genuine), len(self.impostors)
        allowed = int(allowed_errors(target, np.array([impostors]))[0])
        if allowed == impostors:
            threshold = float(self.impostors[0])
        else:
            threshold = just_above(self.impostors[impostors - 1 - allowed])
        accepted = _at_or_above(self.genuine, threshold)
        return OperatingPoint(
            fmr_target=target,
            threshold=threshold,
            fmr=_at_or_above(self.impostors, threshold) / impostors,
            tar=accepted / genuine,
            fnmr=(genuine - accepted) / genuine,
            genuine=genuine,
            impostors=impostors,
            supported=1 / impostors <= target,
        )

    def tar_at_fmrs(self, fmrs: Sequence[float] | Floats) -> Floats:
        """(F,) true accept rates at target false match rates: the ROC, as far as a plot can show it."""
        return np.array([self.tar_at_fmr(float(fmr)).tar for fmr in fmrs])

    def auc(self) -> float:
        """See `facewise.metrics.auc`."""
        # For each genuine score the impostors below it count whole, those that tie half.
        below = np.searchsorted(self.impostors, self.genuine, "left").astype(np.int64)
        up_to = np.searchsorted(self.impostors, self.genuine, "right").astype(np.int64)
        return float(int((below + up_to).sum()) / (2 * len(self.genuine) * len(self.impostors)))

    def eer(self) -> EqualErrorRate:
        """See `facewise.metrics.eer`."""
        after = max(self._highest_crossed(self.genuine), self._highest_crossed(self.impostors))
        gap_after, fmr_after = self._gap(after), self._fmr(after)
        higher = [
            side[place]
            for side in (self.genuine, self.impostors)
            if (place := int(np.searchsorted(side, after, "right"))) < len(side)
        ]
        # Above the highest score lies the ROC's start: FMR 0, FNMR 1.
        gap_before, fmr_before = -len(self.genuine) * len(self.impostors), 0.0
        threshold = after
        if higher:
            before = min(higher)
            gap_before, fmr_before = self._gap(before), self._fmr(before)
            threshold = before if abs(gap_before) <= abs(gap_after) else after
        weight = -gap_before / (gap_after - gap_before)
        return EqualErrorRate(fmr_before + weight * (fmr_after - fmr_before), float(threshold))

    def _highest_crossed(self, side: Scores) -> Any:
        """The highest score of a side at which FMR >= FNMR, as it is at the lowest."""
        low, high = 0, len(side)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._gap(side[middle]) >= 0 else (low, middle)
        return side[low]

    def _gap(self, score: Any) -> int:
        """FMR - FNMR at a threshold, times genuine x impostors: an exact integer, falling with the score."""
        genuine, impostors = len(self.genuine), len(self.impostors)
        accepted = _at_or_above(self.genuine, float(score))
        return _at_or_above(self.impostors, float(score)) * genuine - (genuine - accepted) * impostors

    def _fmr(self, score: Any) -> float:
        return _at_or_above(self.impostors, float(score)) / len(self.impostors)


def verify_large(
    similarities: ArrayLike, same: ArrayLike, fmrs: Sequence[float] = FMRS
) -> VerificationResult:
    """`verify_metrics(similarities, same, fmrs=fmrs, repeats=0)` for millions of pairs.

    Arguments and errors as there.
    """
    return verify_sorted(SortedPairs.of(similarities, same), fmrs)


def verify_sorted(pairs: SortedPairs, fmrs: Sequence[float] = FMRS) -> VerificationResult:
    """`verify_large` of pairs sorted already."""
    equal = pairs.eer()
    return VerificationResult(
        pairs=len(pairs.genuine) + len(pairs.impostors),
        genuine=len(pairs.genuine),
        impostors=len(pairs.impostors),
        kfold=None,
        operating_points=tuple(pairs.tar_at_fmr(fmr) for fmr in fmrs),
        eer=equal.rate,
        eer_threshold=equal.threshold,
        auc=pairs.auc(),
        intervals={},
    )


def _at_or_above(rising: Scores, threshold: float) -> int:
    # Compared in the scores' precision, which has the threshold: it is one of them or just above one.
    # A search with a float64 would copy the scores.
    return len(rising) - int(np.searchsorted(rising, rising.dtype.type(threshold), "left"))
