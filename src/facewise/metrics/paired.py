"""Two verifiers on the same pairs: is the difference more than chance?

Both models err on the same hard people, so the difference of two numbers is known far better than either, and
their separate intervals say little about it. Here both are measured on the same resamples of the people.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import incomplete_beta
from facewise.metrics.bootstrap import check_level
from facewise.metrics.identity_bootstrap import draw_people, standard_error, wanted_statistics
from facewise.metrics.identity_pairs import IdentityPairs, Variances
from facewise.metrics.intervals import FMRS
from facewise.metrics.pair_statistics import PairStatistics
from facewise.metrics.scores import Bools, Floats, accepts, check_pairs, check_same, check_scores
from facewise.metrics.student import student_quantile, student_tails

_NAMES = {"fmr": "fmr", "fnmr": "fnmr", "accuracy": "accuracy", "own accuracy": "decided accuracy"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two models on the same pairs.

    Attributes:
        a: The first model's.
        b: The second model's.
        difference: a - b.
        low: Lower end of the difference's interval; 0, as the high end, where no pair tells the models apart.
        high: Upper end.
        level: Of the interval.
        p_value: How likely a difference at least as large would be if the models were equally good; 1 where
            no pair tells them apart.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    level: float
    p_value: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """Decisions of two models at their thresholds, pair by pair.

    Attributes:
        only_a: Pairs that only the first model decides rightly.
        only_b: Pairs that only the second does.
        p_value: How likely so uneven a split would be if each were as likely: exact binomial, two-sided. It
            takes pairs as independent, so with many pairs a person it is too small.
    """

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two verifiers on the same pairs.

    Attributes:
        differences: By metric, named as in `identity_intervals`; at each model's own threshold `"fmr"`,
            `"fnmr"` and `"accuracy"`; of decisions made elsewhere `"decided accuracy"`.
        mcnemar: Of the decisions at the thresholds; None without.
        pairs: How many.
        people: How many are in them.
    """

    differences: dict[str, Difference]
    mcnemar: McNemar | None
    pairs: int
    people: int

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return asdict(self)


def compare_verifiers(
    similarities_a: ArrayLike,
    similarities_b: ArrayLike,
    same: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    thresholds: tuple[float, float] | None = None,
    right: tuple[ArrayLike, ArrayLike] | None = None,
    fmrs: Sequence[float] = FMRS,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """The differences between two models' metrics, over new people.

    Both are measured on the same resamples of the people, and the spread of the differences is scaled as in
    `identity_intervals`; intervals and p-values are Student's.

    Args:
        similarities_a: `(N,)` the first model's scores, higher is more alike.
        similarities_b: `(N,)` the second model's, of the same pairs; the scales need not be alike.
        same: `(N,)` True for two photos of one person.
        first: `(N,)` integers or strings, who is in the first photo of each pair.
        second: `(N,)` likewise of the second photo.
        thresholds: Each model's own, for FMR, FNMR, accuracy and McNemar's test; None leaves those out.
        right: For each model `(N,)` whether each pair is decided rightly by thresholds set elsewhere, say in
            other folds, for `"decided accuracy"`; None leaves it out. McNemar's test is then of these.
        fmrs: Target false match rates in (0, 1].
        repeats: Number of resamples, 2 or more.
        seed: Of the random draws.
        level: In (0, 1).

    Raises:
        SettingError: A rate, threshold, the level, repeats or seed out of range.
        DatasetError: As `identity_intervals`; or the models were not given the same pairs.
    """
    scores_a, labels = check_pairs(similarities_a, same)
    scores_b = check_scores(similarities_b, "second model's similarities")
    if len(scores_b) != len(scores_a):
        raise DatasetError(
            f"The models have {len(scores_a)} and {len(scores_b)} similarities; give both the same pairs."
        )
    check_level(level)
    people = IdentityPairs.of(labels, first, second)
    decisions: list[Bools | None] = [None, None]
    if right is not None:
        decisions = [check_same(one, len(labels)) for one in right]
    own = [() if thresholds is None else (threshold,) for threshold in thresholds or (0.0, 0.0)]
    models = [
        PairStatistics(scores, labels, wanted_statistics(fmrs, own_threshold, right is not None), decided)
        for scores, own_threshold, decided in zip((scores_a, scores_b), own, decisions, strict=True)
    ]
    draws = draw_people(models, people, repeats, seed)
    influence = models[0].influences(draws[0]) - models[1].influences(draws[1])
    differences = {}
    for place, item in enumerate(models[0].wanted):
        a, b = (float(model.estimates[place]) for model in models)
        spread = draws[0][:, place] - draws[1][:, place]
        name = _NAMES.get(item.measure, item.name)
        differences[name] = _difference(a, b, spread, people.variances(influence[place]), level)
    if right is None and thresholds is not None:
        decisions = [accepts(model.scores, t) == labels for model, t in zip(models, thresholds, strict=True)]
    return Comparison(differences, _discordant(*decisions), len(labels), people.people)


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """McNemar's test (1947), exact: of the pairs that one model alone decides rightly, is it one's too often?

    Args:
        only_a: Pairs only the first model decides rightly, 0 or more.
        only_b: Pairs only the second does.

    Raises:
        SettingError: A count is not an integer or is negative.
    """
    try:
        counts = operator.index(only_a), operator.index(only_b)
    except TypeError as error:
        raise SettingError(f"Counts must be integers, not {only_a!r} and {only_b!r}.") from error
    if min(counts) < 0:
        raise SettingError(f"Counts must be 0 or more, not {only_a} and {only_b}.")
    fewer, more = min(counts), max(counts)
    # P(X <= fewer) for X binomial of fewer + more with chance one half.
    tail = incomplete_beta(more, fewer + 1.0, 0.5) if more else 1.0
    return McNemar(*counts, p_value=min(1.0, 2.0 * tail))


def _difference(a: float, b: float, draws: Floats, variances: Variances, level: float) -> Difference:
    """One metric's, from its `(R,)` values on resamples of the people."""
    error = standard_error(draws, variances)
    half = student_quantile(level, variances.freedom) * error
    return Difference(
        a=a,
        b=b,
        difference=a - b,
        low=a - b - half,
        high=a - b + half,
        level=level,
        p_value=student_tails((a - b) / error, variances.freedom) if error > 0.0 else float(a == b),
    )


def _discordant(a: Bools | None, b: Bools | None) -> McNemar | None:
    """McNemar's test of whether each pair is decided rightly."""
    if a is None or b is None:
        return None
    return mcnemar(int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a)))
