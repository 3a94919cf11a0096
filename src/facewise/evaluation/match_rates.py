"""Error rates at thresholds, and their intervals over people, of as many pairs as there are.

Pairs that share a person are dependent. The variance is the dyadic cluster-robust one (Aronow, Samii and
Assenova 2015), the interval Wilson's with as many trials as that variance is worth, which Fogliato, Patil and
Perona 2023 found to cover for 1:1 matching: the method of `facewise.metrics.identity_bootstrap` in closed
form, as a bootstrap of 10⁸ pairs is out of reach. What a person contributes is the change when they are left
out (the jackknife, CV3 of MacKinnon, Nielsen and Webb 2023), as somebody with many pairs draws the rate
towards themselves: with 25 people of LFW that covers 91 to 92 times in 100, and 83 without.

A threshold set on the same pairs has the same interval to first order: where the sample's rate lies too low
at a threshold, the one chosen lies too low by as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.evaluation.comparisons import Comparisons, Ints, meeting_keys
from facewise.metrics.identity_bootstrap import wilson
from facewise.metrics.prediction import prediction_limits
from facewise.metrics.student import student_quantile

LEVEL = 0.95

_MUCH = 1e9
"""Degrees of freedom with which Student's distribution is the normal one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured error rate.

    Attributes:
        value: Share of the pairs.
        errors: How many.
        pairs: Of how many.
        trials: How many independent pairs the measurement is worth.
        quantile: Of Student's distribution, for `LEVEL`.
    """

    value: float
    errors: int
    pairs: int
    trials: float
    quantile: float

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate lies: that of everybody of the kind measured."""
        return wilson(self.value, 0.0, self.trials, self.quantile)

    @property
    def elsewhere(self) -> tuple[float, float]:
        """Where the rate measured on another such group of as many people will lie."""
        return prediction_limits(self.value, self.trials, self.trials, self.quantile)


@dataclass(frozen=True, slots=True)
class Rates:
    """At one threshold.

    Attributes:
        threshold: Pairs match from this similarity on.
        fmr: False match rate.
        fnmr: False non-match rate.
    """

    threshold: float
    fmr: Rate
    fnmr: Rate


def rates_at(compared: Comparisons, thresholds: Sequence[float]) -> list[Rates]:
    """Both error rates at each threshold, in one pass over the pairs.

    Args:
        compared: Pairs of both kinds.
        thresholds: One or more, in any order.
    """
    people = compared.people
    missed = np.zeros((len(thresholds), people), np.int64)
    matched: list[list[tuple[Ints, Ints]]] = [[] for _ in thresholds]
    least = min(thresholds)
    for block in compared.blocks():
        scores = block.similarities.astype(np.float64)
        same = block.first == block.second
        who, genuine = block.first[same], scores[same]
        near = np.flatnonzero((scores >= least) & ~same)
        keys, near_scores = meeting_keys(block.first[near], block.second[near], people), scores[near]
        for place, threshold in enumerate(thresholds):
            missed[place] += np.bincount(who[genuine < threshold], minlength=people)
            found = np.unique(keys[near_scores >= threshold], return_counts=True)
            matched[place].append((found[0], found[1].astype(np.int64)))
    return [
        Rates(threshold, _fmr(compared, *_merged(parts)), _fnmr(compared, row))
        for threshold, parts, row in zip(thresholds, matched, missed, strict=True)
    ]


def _merged(parts: Sequence[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Pairs of people, by their keys, and how many false matches each has, added over blocks."""
    keys, place = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([counts for _, counts in parts]), len(keys))
    return keys, counts.astype(np.int64)


def _fmr(compared: Comparisons, keys: Ints, matches: Ints) -> Rate:
    pairs, errors = int(compared.impostor_pairs.sum()) // 2, int(matches.sum())
    first, second = keys // compared.people, keys % compared.people
    both = np.bincount(first, matches, compared.people) + np.bincount(second, matches, compared.people)
    rate = errors / pairs
    seen = compared.impostor_pairs > 0
    changes = _changes(both[seen], compared.impostor_pairs[seen], errors, pairs)
    between = compared.pairs_between(first, second)
    # The sum over all pairs of people, most of whom have no false match, of (matches - rate × pairs)².
    own = float((matches.astype(np.float64) ** 2).sum()) - 2.0 * rate * float(matches @ between)
    own = (own + rate**2 * compared.meeting_squares) / pairs**2
    return _rate(errors, pairs, changes, own, compared.meetings)


def _fnmr(compared: Comparisons, missed: Ints) -> Rate:
    seen = compared.genuine_pairs > 0
    pairs, errors = int(compared.genuine_pairs.sum()), int(missed.sum())
    changes = _changes(missed[seen], compared.genuine_pairs[seen], errors, pairs)
    return _rate(errors, pairs, changes, 0.0, int(seen.sum()))


def _changes(mine: NDArray[np.float64] | Ints, of: Ints, errors: int, pairs: int) -> Floats:
    """(M,) by how much the rate is higher with each person than without.

    Args:
        mine: (M,) errors in each person's pairs.
        of: (M,) how many pairs those are, 1 or more.
        errors: In all pairs.
        pairs: All.
    """
    without = (pairs - of).astype(np.float64)
    shares = mine - errors / pairs * of
    # Without somebody who is in all pairs there is no rate, and they say nothing of how it varies.
    return np.divide(shares, without, out=np.zeros_like(without), where=without > 0.0)


def _rate(errors: int, pairs: int, changes: Floats, own: float, units: int) -> Rate:
    """A rate with what it is worth.

    Args:
        errors: How many.
        pairs: Of how many.
        changes: (M,) by how much each person changes the rate.
        own: The sum of squares that pairs of two people count in both.
        units: People, or pairs of two: as many trials there are where no error tells how they hang together.
    """
    value, people = errors / pairs, len(changes)
    squares = changes**2
    total, fourth = float(squares.sum()), float((squares**2).sum())
    alone = value * (1.0 - value) / pairs
    variance = max((people - 1) / people * total - own, alone)
    if alone <= 0.0:
        return Rate(value, errors, pairs, float(units), student_quantile(LEVEL, _MUCH))
    spread = fourth - total**2 / people
    freedom = 2.0 * total**2 / spread if spread > 0.0 else _MUCH
    active = int(np.count_nonzero(squares))
    quantile = student_quantile(LEVEL, min(freedom, max(1, active - 1)))
    return Rate(value, errors, pairs, value * (1.0 - value) / variance, quantile)
