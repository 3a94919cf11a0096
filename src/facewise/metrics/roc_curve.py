"""The ROC of a verifier and the two numbers read off it: the area under it and the equal error rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from facewise.metrics.scores import Counts, Floats, RankedPairs, check_pairs


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """False match rate against true accept rate, from rejecting every pair to accepting every pair.

    Attributes:
        thresholds: `(K + 1,)` float64, falling: +inf, then each distinct score.
        fmr: `(K + 1,)` share of impostor pairs at or above each threshold, rising from 0 to 1.
        tar: `(K + 1,)` share of genuine pairs at or above each threshold, rising from 0 to 1.
    """

    thresholds: Floats
    fmr: Floats
    tar: Floats

    @property
    def fnmr(self) -> Floats:
        """`(K + 1,)` share of genuine pairs below each threshold."""
        return 1.0 - self.tar


class EqualErrorRate(NamedTuple):
    """Where false matches and false non-matches are equally frequent.

    Attributes:
        rate: In [0, 1].
        threshold: The observed score at which the two rates lie closest.
    """

    rate: float
    threshold: float


def roc(similarities: ArrayLike, same: ArrayLike) -> Roc:
    """The empirical ROC; tied scores are one step, as no threshold parts them.

    Args:
        similarities: `(N,)` scores, higher is more alike; a pair matches when its score >= threshold.
        same: `(N,)` True for two photos of one person.

    Raises:
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    pairs = RankedPairs.of(*check_pairs(similarities, same))
    genuine, impostors = (np.append(0, row[0]) for row in pairs.cumulative())
    return Roc(
        thresholds=np.append(np.inf, pairs.distinct.astype(np.float64)),
        fmr=impostors / impostors[-1],
        tar=genuine / genuine[-1],
    )


def auc(similarities: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC: the chance that a genuine pair outscores an impostor pair, a tie counting one half.

    The Mann-Whitney U statistic over (genuine x impostors) (Hanley and McNeil 1982), counted in integers.
    Arguments and errors as `roc`.
    """
    return float(auc_of_counts(*RankedPairs.of(*check_pairs(similarities, same)).cumulative())[0])


def eer(similarities: ArrayLike, same: ArrayLike) -> EqualErrorRate:
    """The equal error rate: where the ROC crosses the line FMR = FNMR.

    Neighbouring ROC points are joined by straight lines, and the crossing is taken on the joined curve:
    between the last point with FMR < FNMR and the first with FMR >= FNMR. The threshold is the observed score
    of whichever of the two has the smaller |FMR - FNMR|, the higher score if they are equal.
    Arguments and errors as `roc`.
    """
    pairs = RankedPairs.of(*check_pairs(similarities, same))
    genuine, impostors = pairs.cumulative()
    gaps = _gaps(genuine, impostors)[0]
    after = int(np.searchsorted(gaps, 0))
    place = after - 1 if after and abs(gaps[after - 1]) <= abs(gaps[after]) else after
    return EqualErrorRate(float(eer_of_counts(genuine, impostors)[0]), float(pairs.distinct[place]))


def auc_of_counts(genuine: Counts, impostors: Counts) -> Floats:
    """`(R,)` AUC of R resamples from their cumulative counts `(R, K)` (see `RankedPairs.cumulative`)."""
    above = np.concatenate([np.zeros_like(genuine[:, :1]), genuine[:, :-1]], axis=1)
    here = np.diff(impostors, axis=1, prepend=0)
    doubled = np.einsum("rk,rk->r", here, above + genuine)
    return np.asarray(doubled / (2 * genuine[:, -1] * impostors[:, -1]), dtype=np.float64)


def eer_of_counts(genuine: Counts, impostors: Counts) -> Floats:
    """`(R,)` equal error rates of R resamples from their cumulative counts `(R, K)`."""
    gaps = _gaps(genuine, impostors)
    after = np.count_nonzero(gaps < 0, axis=1)
    rows = np.arange(len(gaps))
    before = after - 1
    totals = genuine[:, -1] * impostors[:, -1]
    # Before the first score lies the ROC's start: FMR 0, FNMR 1.
    gap_before = np.where(after > 0, gaps[rows, before], -totals)
    fmr_before = np.where(after > 0, impostors[rows, before], 0) / impostors[:, -1]
    fmr_after = impostors[rows, after] / impostors[:, -1]
    weight = -gap_before / (gaps[rows, after] - gap_before)
    return np.asarray(fmr_before + weight * (fmr_after - fmr_before), dtype=np.float64)


def _gaps(genuine: Counts, impostors: Counts) -> Counts:
    """`(R, K)` FMR - FNMR times genuine x impostors: an exact integer, rising along each row."""
    all_genuine, all_impostors = genuine[:, -1:], impostors[:, -1:]
    gaps: Counts = impostors * all_genuine + genuine * all_impostors - all_genuine * all_impostors
    return gaps
