"""Thresholds and probabilities from compared pairs, as far as the people in them can support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.evaluation.comparisons import Comparisons
from facewise.evaluation.match_rates import Rates, rates_at
from facewise.metrics import ScoreCounts
from facewise.metrics.logistic import fit_logistic
from facewise.models import ScoreMap, Threshold
from facewise.models.calibration import LOWEST_FMR

FMRS = tuple(float(f"1e-{power}") for power in range(1, 1 - round(math.log10(LOWEST_FMR))))
"""Rates that thresholds are set for, where the data can support them."""

PRIOR = 0.5
"""Share of same pairs that probabilities are fitted at and told for, unless another is asked for."""

_CELLS = 2**11
"""Cells a unit of similarity that pairs are gathered in for the map: each stands at the mean of its pairs."""


@dataclass(frozen=True, slots=True)
class Unset:
    """A rate that no threshold could be set for.

    Attributes:
        fmr: The rate.
        reason: Why, and what it would take; a clause.
    """

    fmr: float
    reason: str


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What pairs of photos say of an embedder's similarities.

    Attributes:
        people: How many people are in the pairs.
        with_two: How many of them are in same pairs.
        meetings: How many different pairs of two people were compared.
        genuine: Same pairs.
        impostors: Pairs of two people.
        thresholds: One a supported rate.
        rates: What was measured at each, in the same order.
        unset: The other rates.
        score_map: Probabilities.
    """

    people: int
    with_two: int
    meetings: int
    genuine: int
    impostors: int
    thresholds: tuple[Threshold, ...]
    rates: tuple[Rates, ...]
    unset: tuple[Unset, ...]
    score_map: ScoreMap


def calibrate(compared: Comparisons) -> Calibrated:
    """Set thresholds and fit probabilities.

    A rate is supported by 1 / FMR different pairs of two people. Photos do not count: however many there are
    of three people, they show three ways of being alike.

    Args:
        compared: Pairs of photos, those without a face left out.

    Raises:
        DatasetError: There are too few people, or the same person's photos are not the more alike.
    """
    with_two = int(np.count_nonzero(compared.genuine_pairs))
    supported = [fmr for fmr in FMRS if _enough(compared.meetings, fmr)]
    if with_two < 2 or not supported:
        raise DatasetError(
            f"There are {compared.meetings} different pairs of two people and {with_two} people in same "
            f"pairs; a calibration needs at least {_needed(FMRS[0]):,} and two."
        )
    counts, histogram = ScoreCounts(), _Histogram()
    for block in compared.blocks():
        same = block.first == block.second
        genuine, impostors = block.similarities[same], block.similarities[~same]
        counts.update(genuine, impostors)
        histogram.update(genuine, impostors)
    points = counts.compute(supported).operating_points
    score_map = histogram.fit()
    good = [point for point in points if point.threshold <= 1.0]
    if not good:
        raise DatasetError(
            f"More than one in {1 / FMRS[0]:g} pairs of two people are exactly alike: the same photos lie "
            "under several names."
        )
    rates = rates_at(compared, [point.threshold for point in good])
    unset = [Unset(point.fmr_target, _ALIKE) for point in points if point.threshold > 1.0]
    unset += [Unset(fmr, lacking(fmr, compared.meetings)) for fmr in FMRS if fmr not in supported]
    return Calibrated(
        people=int(np.count_nonzero(compared.genuine_pairs + compared.impostor_pairs)),
        with_two=with_two,
        meetings=compared.meetings,
        genuine=int(compared.genuine_pairs.sum()),
        impostors=int(compared.impostor_pairs.sum()) // 2,
        thresholds=tuple(_threshold(p.fmr_target, rate) for p, rate in zip(good, rates, strict=True)),
        rates=tuple(rates),
        unset=tuple(unset),
        score_map=score_map,
    )


_ALIKE = "more pairs of two people than that are exactly alike: the same photos lie under several names"


def lacking(fmr: float, meetings: int) -> str:
    """Why a rate is not supported, and what it would take."""
    needed = _needed(fmr)
    people = math.ceil((1.0 + math.sqrt(1.0 + 8.0 * needed)) / 2.0)
    return (
        f"it takes {needed:,} different pairs of two people (all pairs of {people:,} people), "
        f"and there are {meetings:,}"
    )


def fit_score_map(
    similarities: NDArray[np.float64],
    genuine: NDArray[np.float64] | NDArray[np.int64],
    impostors: NDArray[np.float64] | NDArray[np.int64],
) -> ScoreMap:
    """Similarity to probability, by logistic regression at `PRIOR`, bounded by what the data can support.

    Each pair counts as an observation: with people counted instead, probabilities fitted on 25 people of LFW
    were too timid by far on others (Cllr 0.090 instead of 0.033 bits, ECE 0.050 instead of 0.014).

    Args:
        similarities: (K,) distinct, or one a pair.
        genuine: (K,) how many same pairs there are of each.
        impostors: (K,) how many pairs of two people.

    Raises:
        DatasetError: One kind of pair is missing, or same pairs are not the more alike.
    """
    same, different = float(genuine.sum()), float(impostors.sum())
    fit = fit_logistic(
        similarities, genuine, impostors, genuine_worth=same, impostors_worth=different, prior=PRIOR
    )
    if fit.slope <= 0.0:
        raise DatasetError(
            "Photos of one person are no more alike than those of two here, so there is nothing to "
            "calibrate: check the data's people, or use another model."
        )
    low, high = -math.log(same + 1.0), math.log(different + 1.0)
    return ScoreMap(fit.slope, fit.offset, low, high, PRIOR)


class _Histogram:
    """How many pairs of either kind there are by similarity, and each cell's mean similarity."""

    def __init__(self) -> None:
        self._pairs = np.zeros((2, 2 * _CELLS + 1), np.int64)
        self._sums = np.zeros((2, 2 * _CELLS + 1))

    def update(self, *kinds: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Add the similarities of same and of different pairs."""
        for row, scores in enumerate(kinds):
            cells = np.floor((scores + 1.0) * _CELLS).astype(np.int64)
            self._pairs[row] += np.bincount(cells, minlength=2 * _CELLS + 1)
            self._sums[row] += np.bincount(cells, scores, 2 * _CELLS + 1)

    def fit(self) -> ScoreMap:
        """See `fit_score_map`."""
        rows, cells = np.nonzero(self._pairs)
        pairs = self._pairs[rows, cells]
        return fit_score_map(
            self._sums[rows, cells] / pairs,
            np.where(rows == 0, pairs, 0),
            np.where(rows == 1, pairs, 0),
        )


def _threshold(fmr: float, rates: Rates) -> Threshold:
    return Threshold(
        fmr=fmr,
        threshold=rates.threshold,
        measured_fmr=rates.fmr.value,
        fnmr=rates.fnmr.value,
        fnmr_interval=rates.fnmr.interval,
        fmr_interval=rates.fmr.interval,
        fmr_elsewhere=rates.fmr.elsewhere,
    )


def _enough(meetings: int, fmr: float) -> bool:
    return meetings >= _needed(fmr)


def _needed(fmr: float) -> int:
    return round(1.0 / fmr)


def spread_evenly(labels: Sequence[int] | NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Positions of at most so many photos a person, evenly spread over those there are, in order.

    Somebody with 530 photos is in 140,185 same pairs, more than 1,600 people with two or three; with ten
    photos it is 45, and the rates are those of many people.

    Args:
        labels: (N,) who is in each photo.
        most: 1 or more.
    """
    numbers = np.asarray(labels)
    order = np.argsort(numbers, kind="stable")
    kept = []
    for photos in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(photos) > most:
            kept.append(photos[np.linspace(0, len(photos) - 1, most).round().astype(np.int64)])
        else:
            kept.append(photos)
    return np.sort(np.concatenate(kept))
