"""Intervals of pair statistics by resampling the people, not the pairs.

Pairs that share a person are dependent, and an interval that takes them as independent is too narrow: in
simulations it holds the truth 41 to 92 times in 100 where it says 95 (`benchmarks/coverage.py`). Drawing
people with replacement (the vertex bootstrap of Snijders and Borgatti 1999) respects the dependence, but
counts what is an impostor pair's own three times over, so its plain percentiles are too wide where people
are in few pairs each. Here the spread of the resamples is therefore scaled to the dyadic cluster-robust
variance, and turned into a Wilson score interval, which Fogliato, Patil and Perona 2023 ("Confidence
intervals for error rates in 1:1 matching tasks") found to cover as it should where errors are rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError, SettingError
from facewise.metrics.bootstrap import Interval, check_level, resample
from facewise.metrics.identity_pairs import IdentityPairs, Variances
from facewise.metrics.intervals import FMRS, decided_rightly
from facewise.metrics.operating_point import check_rate
from facewise.metrics.pair_statistics import PairStatistics, Wanted
from facewise.metrics.scores import Counts, Floats, Scores, check_pairs, check_same
from facewise.metrics.student import student_quantile

_BATCH = 2_000_000  # pair counts held at once: 16 MB, and a few temporaries of that size
_EASY = 20  # errors from which the dependence between them is measured where a rate has none of its own


def identity_intervals(
    similarities: ArrayLike,
    same: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    folds: ArrayLike | None = None,
    right: ArrayLike | None = None,
    fmrs: Sequence[float] = FMRS,
    thresholds: Sequence[float] = (),
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of a verifier's metrics over new people, from resamples of the people.

    They say where the metrics would lie on other people of the same kind, photographed and paired likewise.
    They need people: in simulations they held the truth 93 to 98 times in 100 with 150 people or more, 91 to
    97 times with 80, and 90 to 95 times with 25, the least where errors are rare.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        first: `(N,)` integers or strings, who is in the first photo of each pair.
        second: `(N,)` likewise of the second photo; equal to the first in a genuine pair.
        folds: `(N,)` integers for the cross-validated accuracy, or None.
        right: `(N,)` instead of folds, whether each pair is decided rightly by thresholds set elsewhere.
        fmrs: Target false match rates in (0, 1].
        thresholds: Finite; a pair matches when its similarity >= threshold.
        repeats: Number of resamples, 2 or more.
        seed: Of the random draws; the same seed gives the same intervals.
        level: In (0, 1).

    Returns:
        `"auc"`, `"eer"`; `"tar@fmr=0.001"` for each rate, the threshold set anew on each resample;
        `"fmr@0.3"`, `"fnmr@0.3"` and `"accuracy@0.3"` for each threshold; and with folds or decisions
        `"accuracy"`, each fold's threshold held fixed. Accuracies weigh genuine and impostor pairs as they
        are in the data.

    Raises:
        SettingError: A rate, threshold, the level, repeats or seed out of range; or both folds and decisions.
        DatasetError: As `roc` and `kfold_accuracy`; or people that are malformed, at odds with `same`, or
            fewer than two in genuine and three in impostor pairs.
    """
    scores, labels = check_pairs(similarities, same)
    check_level(level)
    if folds is not None and right is not None:
        raise SettingError("Give folds or decisions, not both: each says which pairs are decided rightly.")
    decided = None if right is None else check_same(right, len(labels))
    if folds is not None:
        decided = decided_rightly(scores, labels, folds)
    wanted = wanted_statistics(fmrs, thresholds, decided is not None)
    people = IdentityPairs.of(labels, first, second)
    statistics = PairStatistics(scores, labels, wanted, decided)
    draws = draw_people([statistics], people, repeats, seed)[0]
    influences = statistics.influences(draws)
    found = {}
    for place, item in enumerate(wanted):
        estimate = float(statistics.estimates[place])
        low, high = confidence_limits(statistics, people, place, draws[:, place], influences[place], level)
        found[item.name] = Interval(estimate=estimate, low=low, high=high, level=level)
    return found


def wanted_statistics(
    fmrs: Sequence[float], thresholds: Sequence[float], decided: bool
) -> tuple[Wanted, ...]:
    """What to measure, by name.

    Raises:
        SettingError: A rate is not in (0, 1], or a threshold is not finite.
    """
    wanted = [Wanted("auc", "auc"), Wanted("eer", "eer")]
    wanted += [Wanted(f"tar@fmr={check_rate(fmr)!r}", "tar@fmr", float(fmr)) for fmr in fmrs]
    for threshold in map(float, thresholds):
        if not math.isfinite(threshold):
            raise SettingError(f"A threshold must be a finite number, not {threshold}.")
        wanted += [
            Wanted(f"fmr@{threshold!r}", "fmr", threshold),
            Wanted(f"fnmr@{threshold!r}", "fnmr", threshold),
            Wanted(f"accuracy@{threshold!r}", "accuracy", threshold),
        ]
    return (*wanted, Wanted("accuracy", "own accuracy")) if decided else tuple(wanted)


def draw_people(
    statistics: Sequence[PairStatistics], people: IdentityPairs, repeats: int, seed: int
) -> list[Floats]:
    """For each of several models on the same pairs, `(R, 3 S)` values on the same resamples of the people.

    Resamples without a genuine or an impostor pair, likely with few people, tell nothing and are left out.

    Raises:
        SettingError: Repeats or seed out of range.
        DatasetError: Fewer than two resamples can be used.
    """
    if repeats < 2:
        raise SettingError(f"The bootstrap needs at least two resamples, not {repeats}.")
    size = max(1, _BATCH // len(people.same))

    def values(drawn: Counts) -> Floats:
        return np.concatenate([block(drawn[start : start + size]) for start in range(0, len(drawn), size)])

    def block(drawn: Counts) -> Floats:
        counts = people.counts(drawn)
        # A resample without one kind of pair divides by 0: it comes out as NaN and is sorted out below.
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.concatenate([one(counts) for one in statistics], axis=1)

    draws = resample(values, people.people, repeats, seed)
    draws = draws[~np.isnan(draws).any(axis=1)]
    if len(draws) < 2:
        raise DatasetError("Too few people make pairs for a bootstrap by identity; add people.")
    ends = np.cumsum([3 * len(one.wanted) for one in statistics])
    return np.split(draws, ends[:-1], axis=1)


def confidence_limits(
    statistics: PairStatistics,
    people: IdentityPairs,
    place: int,
    draws: Floats,
    influence: Floats,
    level: float,
) -> tuple[float, float]:
    """The ends of one statistic's interval.

    Args:
        statistics: Of the data as they are.
        people: Of the same pairs.
        place: Which statistic.
        draws: `(R,)` its values on resamples of the people.
        influence: `(N,)` what each pair contributes to it.
        level: In (0, 1).
    """
    estimate = float(statistics.estimates[place])
    variances = people.variances(influence)
    error = standard_error(draws, variances)
    trials = None
    if not 0.0 < estimate < 1.0 or error == 0.0:
        trials = effective_pairs(statistics.wanted[place], statistics.scores, people)
    return wilson(estimate, error, trials, student_quantile(level, variances.freedom))


def standard_error(draws: Floats, variances: Variances) -> float:
    """The spread of the resamples, scaled to what the dependence between pairs warrants.

    The scale is the ratio of two variances of the same linear approximation: the dyadic cluster-robust one
    and the one resampling people has. So the resamples say how the statistic bends, and the ratio mends what
    they count too often. Sharing people is taken never to make a statistic steadier than independent pairs.

    Args:
        draws: `(R,)` the statistic on each resample.
        variances: Of its influence.
    """
    if variances.drawn <= 0.0:
        return 0.0
    people = max(variances.people, variances.pairs)
    return float(draws.std(ddof=1)) * math.sqrt(people / variances.drawn)


def wilson(estimate: float, error: float, trials: float | None, quantile: float) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927).

    Args:
        estimate: In [0, 1].
        error: Its standard error, which says how many independent trials it is worth: e (1 - e) / error².
        trials: That number where the error does not say it; above 0, not necessarily whole.
        quantile: Of the standard normal or Student's distribution, 1.96 for 95%.
    """
    square = quantile**2 / trials if trials else (quantile * error) ** 2 / (estimate * (1.0 - estimate))
    centre = (estimate + square / 2.0) / (1.0 + square)
    half = math.sqrt(square * (estimate * (1.0 - estimate) + square / 4.0)) / (1.0 + square)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    # At 0 and 1 the score interval begins at the estimate itself, but for rounding.
    return min(low, estimate), max(high, estimate)


def effective_pairs(item: Wanted, scores: Scores, people: IdentityPairs) -> float:
    """How many independent pairs a statistic without a single error is worth.

    Errors that were not seen do not show how they hang together. So the pairs are divided by the design
    effect of the nearest to an error there is: the twenty least alike genuine pairs, or most alike impostors.
    """
    worth = {}
    for kind, sign in (("genuine", 1.0), ("impostors", -1.0)):
        members = people.same if kind == "genuine" else ~people.same
        ranked = sign * scores[members]
        number = min(_EASY, len(ranked) // 2)
        errors = np.zeros(len(scores))
        errors[members] = ranked <= np.sort(ranked)[max(0, number - 1)]
        errors[members] -= errors[members].mean()
        variances = people.variances(errors)
        effect = variances.people / variances.pairs if variances.pairs > 0.0 else 1.0
        worth[kind] = len(ranked) / max(1.0, effect)
    if item.measure in {"fnmr", "tar@fmr"}:
        return worth["genuine"]
    return worth["impostors"] if item.measure == "fmr" else min(worth.values())
