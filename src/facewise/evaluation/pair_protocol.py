"""What is measured of any pairs, wherever they come from: a CSV, or InsightFace's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facewise.errors import DatasetError
from facewise.evaluation.folds import FoldedAccuracy, Folds, folded_accuracy
from facewise.evaluation.groups_file import PairGroups
from facewise.evaluation.pair_intervals import (
    Difference,
    Verified,
    Who,
    pair_difference,
    pair_intervals,
    who_is_in,
)
from facewise.evaluation.pairs import ScoredPairs
from facewise.evaluation.thresholds import fmrs_of_two_faces
from facewise.evaluation.view1 import decided_intervals
from facewise.metrics import BinaryReport, Interval, VerificationResult, binary_report, verify_metrics
from facewise.metrics.decisions import balanced_accuracy
from facewise.metrics.groups import GroupResult, rates_by_group

BY_PEOPLE = ("accuracy", "fmr", "fnmr")
"""What of the decisions at a threshold has intervals that resample people; the others resample pairs."""


_DECIDED = ("decided_accuracy", "fmr", "fnmr")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold that was not chosen on the pairs it is used on.

    Attributes:
        value: Pairs match from this similarity on.
        source: Where it comes from, for people.
    """

    value: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions at a threshold from elsewhere.

    Attributes:
        chosen: The threshold.
        report: What came of it.
        balanced: Balanced accuracy.
        fmr_of_two_faces: See `ScoredPairs.fmr_of_two_faces`.
        intervals: Of `BY_PEOPLE` as the result's others are; of balanced_accuracy, precision, recall and f1
            pairs are resampled, as if independent.
    """

    chosen: Chosen
    report: BinaryReport
    balanced: float
    fmr_of_two_faces: float | None
    intervals: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "threshold": self.chosen.value,
            "threshold_source": self.chosen.source,
            **asdict(self.report),
            "balanced_accuracy": self.balanced,
            "fmr": self.intervals["fmr"].estimate,
            "fmr_of_two_faces": self.fmr_of_two_faces,
            "fnmr": self.intervals["fnmr"].estimate,
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "intervals_resample_pairs_for": [name for name in self.intervals if name not in BY_PEOPLE],
        }


@dataclass(frozen=True, slots=True, eq=False)
class RatesBy:
    """Error rates of the pairs within each group, all at one threshold.

    Attributes:
        groups: Which pairs are of which group.
        rates: By group.
        threshold: The one they are all judged at, and where it comes from.
    """

    groups: PairGroups
    rates: GroupResult
    threshold: Chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "by": self.groups.by,
            "threshold": self.threshold.value,
            "threshold_source": self.threshold.source,
            "pairs_of_two_groups": self.groups.across,
            "pairs_of_unknown_group": self.groups.unknown,
            **self.rates.to_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class PairsResult:
    """How one model does on pairs.

    Attributes:
        scored: The pairs and how alike they are found.
        metrics: TAR at FMR, EER, AUC, and their intervals with that of the accuracy.
        folded: Accuracy at thresholds from other folds, or None where no folds could be made.
        verified: What the intervals are of.
        who: Whom they resample.
        decided: At a threshold from elsewhere, or None where there is none.
        groups: One an attribute.
    """

    scored: ScoredPairs
    metrics: VerificationResult
    folded: FoldedAccuracy | None
    verified: Verified
    who: Who
    decided: Decided | None
    groups: tuple[RatesBy, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON, pairs and similarities left out."""
        folded: dict[str, Any] = {"accuracy": None, "balanced_accuracy": None, "folds": None}
        return {
            **(folded if self.folded is None else self.folded.to_dict()),
            **{key: value for key, value in self.metrics.to_dict().items() if key != "kfold"},
            "fmr_of_two_faces": fmrs_of_two_faces(self.scored, self.metrics),
            "intervals_resample": self.who.resampled,
            **self.scored.to_dict(),
            "decided": None if self.decided is None else self.decided.to_dict(),
            "groups": [rates.to_dict() for rates in self.groups],
        }


def measure_pairs(
    scored: ScoredPairs,
    *,
    folds: Folds | None,
    people: Sequence[tuple[str, str]] | None = None,
    threshold: Chosen | None = None,
    groups: Sequence[PairGroups] = (),
) -> PairsResult:
    """Everything that is measured of scored pairs.

    Args:
        scored: The pairs.
        folds: Of the pairs, or None for no accuracy.
        people: The two people of each pair, or None where nobody is named.
        threshold: From elsewhere, or None.
        groups: Of the pairs.

    Raises:
        DatasetError: All pairs are of one kind, or the folds given leave one kind out.
    """
    similarities, same = scored.similarities, scored.same
    for kind, count in (("one person", same.sum()), ("different people", (~same).sum())):
        if count < 2:
            raise DatasetError(
                f"There are {count} pairs of {kind}; at least two of one person and two of different people "
                "are needed."
            )
    fmrs = supported_fmrs(int((~same).sum()))
    folded = None if folds is None else folded_accuracy(similarities, same, folds)
    plain = verify_metrics(similarities, same, fmrs=fmrs, repeats=0)
    verified = Verified(
        similarities,
        same,
        right=None if folded is None else folded.right,
        fmrs=fmrs,
        threshold=None if threshold is None else threshold.value,
    )
    who = who_is_in(scored.pairs, people)
    intervals = pair_intervals(verified, who)
    metrics = VerificationResult(
        pairs=plain.pairs,
        genuine=plain.genuine,
        impostors=plain.impostors,
        kfold=None if folded is None else folded.kfold,
        operating_points=plain.operating_points,
        eer=plain.eer,
        eer_threshold=plain.eer_threshold,
        auc=plain.auc,
        intervals={name: one for name, one in intervals.items() if name not in _DECIDED},
    )
    return PairsResult(
        scored=scored,
        metrics=metrics,
        folded=folded,
        verified=verified,
        who=who,
        decided=None if threshold is None else _decide(scored, threshold, intervals),
        groups=tuple(_by_group(scored, one, threshold or _own(metrics)) for one in groups),
    )


def differences(results: Sequence[PairsResult], names: Sequence[str]) -> list[Difference]:
    """What every model but the first does better than the first, on the same pairs.

    Args:
        results: One a model, of the same pairs.
        names: Of the models.

    Raises:
        DatasetError: A photo could be read for one model and not for another, as where it changes meanwhile.
    """
    for name, result in zip(names[1:], results[1:], strict=True):
        if result.scored.pairs != results[0].scored.pairs:
            raise DatasetError(
                f"{names[0]} and {name} could not read the same photos, so they are not compared: measure "
                "them one by one."
            )
    first = (names[0], results[0].verified)
    return [
        pair_difference(first, (name, result.verified), results[0].who)
        for name, result in zip(names[1:], results[1:], strict=True)
    ]


def supported_fmrs(impostors: int) -> tuple[float, ...]:
    """1e-1, 1e-2 … as low as there are 1 / FMR impostor pairs, at least the first, at most 1e-6."""
    powers = [k for k in range(1, 7) if impostors >= 10**k]
    return tuple(float(f"1e-{k}") for k in powers or [1])


def _decide(scored: ScoredPairs, threshold: Chosen, intervals: Mapping[str, Interval]) -> Decided:
    """`intervals` have those that resample people."""
    value, by_pairs = threshold.value, decided_intervals(scored, threshold.value)
    by_people = {name: intervals[f"decided_{name}" if name == "accuracy" else name] for name in BY_PEOPLE}
    return Decided(
        chosen=threshold,
        report=binary_report(scored.similarities, scored.same, value),
        balanced=balanced_accuracy(scored.similarities, scored.same, value),
        fmr_of_two_faces=scored.fmr_of_two_faces(value),
        intervals=by_pairs | by_people,
    )


def _own(metrics: VerificationResult) -> Chosen:
    """Where none is from elsewhere, the groups are compared at the threshold all pairs together give."""
    point = next((p for p in metrics.operating_points if p.fmr_target == 1e-3), metrics.operating_points[-1])
    return Chosen(point.threshold, f"FMR {point.fmr_target:g} on all these pairs together")


def _by_group(scored: ScoredPairs, groups: PairGroups, threshold: Chosen) -> RatesBy:
    within = np.array([bool(label) for label in groups.labels])
    if not within.any():
        raise DatasetError(f"No pair is of one and the same {groups.by}, so there are no groups to compare.")
    labels = [label for label in groups.labels if label]
    rates = rates_by_group(scored.similarities[within], scored.same[within], labels, threshold.value)
    return RatesBy(groups, rates, threshold)
