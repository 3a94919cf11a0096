"""Thresholds set by a false match rate, and what they let through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import SettingError
from facewise.metrics.scores import (
    Counts,
    Floats,
    Scores,
    accepts,
    check_pairs,
    check_scores,
    just_above,
)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A verifier at the threshold set for one false match rate (a share, never percent).

    Attributes:
        fmr_target: The false match rate asked for.
        threshold: A pair matches when its similarity >= this.
        fmr: Measured share of impostor pairs that match; never above the target.
        tar: Share of genuine pairs that match.
        fnmr: Share of genuine pairs that do not, 1 - tar.
        genuine: Number of genuine pairs.
        impostors: Number of impostor pairs.
        supported: False where there are fewer than 1 / fmr_target impostors: then not one false match is
            allowed, and the threshold says more about the single worst impostor than about the rate.
    """

    fmr_target: float
    threshold: float
    fmr: float
    tar: float
    fnmr: float
    genuine: int
    impostors: int
    supported: bool


def check_rate(rate: float, name: str = "false match rate") -> float:
    """A target rate in (0, 1].

    Raises:
        SettingError: Out of range or NaN.
    """
    if not 0.0 < rate <= 1.0:
        raise SettingError(f"The {name} must be above 0 and at most 1 (a share, not percent), not {rate}.")
    return float(rate)


def allowed_errors(rate: float, trials: Counts) -> Counts:
    """The largest number of errors k with k / trials <= rate, for each number of trials.

    `floor(rate * trials)` alone is off by one where the product rounds: 29 of 100 is 0.29, but 0.29 * 100
    is below 29.
    """
    guess: Counts = np.floor(rate * trials).astype(np.int64)
    guess -= guess / trials > rate
    guess += (guess + 1) / trials <= rate
    return guess


def threshold_at_fmr(impostors: ArrayLike, fmr: float) -> float:
    """The smallest threshold whose false match rate on these impostors does not exceed the target.

    It lies just above the highest impostor score that cannot be accepted, in the precision of the scores, so
    tied impostors are rejected together. With fewer than 1 / fmr impostors that is just above the largest of
    them (`tar_at_fmr` then says `supported=False`). At fmr = 1 it is the least impostor score.

    Args:
        impostors: `(M,)` similarities of pairs of different people.
        fmr: Target false match rate in (0, 1], a share: 1e-3 is one false match in a thousand.

    Raises:
        SettingError: The target is not in (0, 1].
        DatasetError: The scores are malformed, empty or not finite.
    """
    return threshold_of(check_scores(impostors, "impostor similarities"), check_rate(fmr))


def threshold_of(impostors: Scores, fmr: float) -> float:
    """`threshold_at_fmr` of checked arguments."""
    allowed = int(allowed_errors(fmr, np.array([len(impostors)]))[0])
    if allowed == len(impostors):
        return float(impostors.min())
    rejected = len(impostors) - 1 - allowed
    return just_above(np.partition(impostors, rejected)[rejected])


def tar_at_fmr(similarities: ArrayLike, same: ArrayLike, fmr: float) -> OperatingPoint:
    """The true accept rate at the threshold set for a false match rate on the same pairs.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        fmr: Target false match rate in (0, 1].

    Raises:
        SettingError: The target is not in (0, 1].
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    scores, labels = check_pairs(similarities, same)
    target = check_rate(fmr)
    genuine, impostors = scores[labels], scores[~labels]
    threshold = threshold_of(impostors, target)
    accepted = int(np.count_nonzero(accepts(genuine, threshold)))
    return OperatingPoint(
        fmr_target=target,
        threshold=threshold,
        fmr=float(accepts(impostors, threshold).mean()),
        tar=accepted / len(genuine),
        fnmr=(len(genuine) - accepted) / len(genuine),
        genuine=len(genuine),
        impostors=len(impostors),
        supported=1 / len(impostors) <= target,
    )


def tar_of_counts(genuine: Counts, impostors: Counts, fmr: float) -> Floats:
    """`(R,)` TAR of R resamples, the threshold set anew on each one's impostors.

    Args:
        genuine: `(R, K)` cumulative counts by falling score (see `RankedPairs.cumulative`).
        impostors: `(R, K)` likewise.
        fmr: Target false match rate in (0, 1].
    """
    totals = impostors[:, -1]
    allowed = allowed_errors(fmr, totals)
    accepted = np.empty(len(genuine), np.int64)
    for row, (counts, most, total) in enumerate(zip(impostors, allowed, totals, strict=True)):
        if most == total:  # all are allowed: the threshold lies on the least score that an impostor has
            accepted[row] = np.searchsorted(counts, total, "left") + 1
        else:  # just above the first score whose impostors overstep what is allowed
            accepted[row] = np.searchsorted(counts, most, "right")
    rows = np.arange(len(genuine))
    matched = np.where(accepted > 0, genuine[rows, accepted - 1], 0)
    return np.asarray(matched / genuine[:, -1], dtype=np.float64)
