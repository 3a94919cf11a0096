"""Intervals of what is measured of pairs, and of what two models differ by on the same pairs.

The people are resampled (`facewise.metrics.identity_bootstrap`). Where nobody is named, photos that pairs of
one person tie together stand for a person, which is as much as the pairs themselves tell; where that does not
hold either, each pair stands alone. Which of the three it was is always said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import Pair
from facewise.errors import DatasetError
from facewise.evaluation.folds import units_of
from facewise.metrics import Interval
from facewise.metrics.identity_bootstrap import identity_intervals
from facewise.metrics.identity_pairs import IdentityPairs
from facewise.metrics.paired import Comparison, compare_verifiers

PEOPLE = "people, with all their pairs"
TIED = (
    "photos that pairs of one person tie together, as nobody is named: too narrow where one person is "
    "several of these"
)
ALONE = "pairs, as if independent: too narrow where they share people"

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Who:
    """Who is in each pair, as far as it is known.

    Attributes:
        first: (P,) who is in the first photo.
        second: (P,) who is in the second; the same in a same pair.
        resampled: What that makes the intervals resample, for people.
    """

    first: Ints
    second: Ints
    resampled: str


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """One model on pairs.

    Attributes:
        similarities: (P,).
        same: (P,).
        right: (P,) whether each pair is decided rightly at thresholds from other folds, or None.
        fmrs: Target false match rates.
        threshold: From elsewhere, or None.
    """

    similarities: NDArray[np.float64]
    same: NDArray[np.bool_]
    right: NDArray[np.bool_] | None
    fmrs: tuple[float, ...]
    threshold: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What another model does better or worse than the first, on the same pairs.

    Attributes:
        model: The other: `a` in the comparison.
        first: The first: `b`.
        comparison: By figure, the other's less the first's, with interval and p-value; `accuracy` is the one
            at thresholds from other folds, `decided_accuracy`, `fmr` and `fnmr` are those at each one's
            threshold from elsewhere.
        resampled: What was resampled, for people; both models are measured on the same resamples.
    """

    model: str
    first: str
    comparison: Comparison
    resampled: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "model": self.model,
            "less": self.first,
            **asdict(self.comparison),
            "intervals_resample": self.resampled,
        }


def who_is_in(pairs: Sequence[Pair], people: Sequence[tuple[str, str]] | None) -> Who:
    """The people named, or what stands for them.

    Args:
        pairs: At least one.
        people: The two people of each pair, or None where nobody is named.
    """
    same = np.array([pair.same for pair in pairs], np.bool_)
    first, second = units_of(pairs, people)
    try:
        IdentityPairs.of(same, first, second)
    except DatasetError:  # too few of them, or pairs that contradict each other across several
        alone = np.arange(len(same))
        return Who(alone, np.where(same, alone, alone + len(same)), ALONE)
    return Who(first, second, TIED if people is None else PEOPLE)


def pair_intervals(verified: Verified, who: Who) -> dict[str, Interval]:
    """95% intervals: `auc`, `eer`, `tar@fmr=…`, and where there is one `accuracy`.

    With a threshold from elsewhere also `decided_accuracy`, `fmr` and `fnmr`.

    Raises:
        DatasetError: Fewer than two same or two different pairs.
    """
    threshold = verified.threshold
    found = identity_intervals(
        verified.similarities,
        verified.same,
        who.first,
        who.second,
        right=verified.right,
        fmrs=verified.fmrs,
        thresholds=() if threshold is None else (threshold,),
    )
    plain = {f"{name}@{threshold!r}": name for name in ("fmr", "fnmr")}
    plain[f"accuracy@{threshold!r}"] = "decided_accuracy"
    return {plain.get(name, name): interval for name, interval in found.items()}


def pair_difference(first: tuple[str, Verified], other: tuple[str, Verified], who: Who) -> Difference:
    """The other's figures less the first's, on the same pairs.

    Args:
        first: Its name, and how it does.
        other: Likewise.
        who: Is in the pairs.
    """
    one, two = first[1], other[1]
    thresholds = right = None
    if one.threshold is not None and two.threshold is not None:
        thresholds = (two.threshold, one.threshold)
    if one.right is not None and two.right is not None:
        right = (two.right, one.right)
    comparison = compare_verifiers(
        two.similarities,
        one.similarities,
        one.same,
        who.first,
        who.second,
        fmrs=one.fmrs,
        thresholds=thresholds,
        right=right,
    )
    # Here "accuracy" is always that of the folds, and what is decided at one threshold says so.
    named = {"accuracy": "decided_accuracy", "decided accuracy": "accuracy"}
    figures = {named.get(name, name): figure for name, figure in comparison.differences.items()}
    figures = {name: figures[name] for name in sorted(figures, key="accuracy".__ne__)}
    return Difference(other[0], first[0], replace(comparison, differences=figures), who.resampled)
