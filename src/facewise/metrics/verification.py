"""One-to-one verification, the whole report: are two photos of the same person?

Everywhere `similarities` are `(N,)` scores, higher is more alike, and `same` is `(N,)`, True for two photos
of one person; a pair is declared a match when its similarity >= threshold. Each idea has a file of its own
(`roc_curve`, `operating_point`, `decisions`, `intervals`); this one bundles them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from facewise.errors import SettingError
from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.decisions import (
    BinaryReport,
    KFold,
    accuracy,
    best_threshold,
    binary_report,
    kfold_accuracy,
)
from facewise.metrics.intervals import FMRS, verification_intervals
from facewise.metrics.operating_point import OperatingPoint, tar_at_fmr, threshold_at_fmr
from facewise.metrics.roc_curve import EqualErrorRate, Roc, auc, eer, roc
from facewise.metrics.scores import check_pairs

__all__ = [
    "FMRS",
    "BinaryReport",
    "EqualErrorRate",
    "Interval",
    "KFold",
    "OperatingPoint",
    "Roc",
    "VerificationResult",
    "accuracy",
    "auc",
    "best_threshold",
    "binary_report",
    "bootstrap_interval",
    "eer",
    "kfold_accuracy",
    "roc",
    "tar_at_fmr",
    "threshold_at_fmr",
    "verification_intervals",
    "verify_metrics",
]


@dataclass(frozen=True, slots=True, eq=False)
class VerificationResult:
    """How well a verifier tells same from different.

    Attributes:
        pairs: Number of pairs.
        genuine: Pairs of one person.
        impostors: Pairs of two people.
        kfold: Cross-validated accuracy, or None without folds.
        operating_points: One a target false match rate, in the order asked for.
        eer: Equal error rate in [0, 1].
        eer_threshold: The observed score where FMR and FNMR lie closest.
        auc: Area under the ROC.
        intervals: By metric name (see `verification_intervals`); empty where none were asked for.
    """

    pairs: int
    genuine: int
    impostors: int
    kfold: KFold | None
    operating_points: tuple[OperatingPoint, ...]
    eer: float
    eer_threshold: float
    auc: float
    intervals: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python, ready for `json.dumps(..., allow_nan=False)`."""
        kfold = None
        if self.kfold is not None:
            kfold = {
                "folds": self.kfold.folds.tolist(),
                "accuracies": self.kfold.accuracies.tolist(),
                "thresholds": self.kfold.thresholds.tolist(),
                "mean": self.kfold.mean,
                "standard_error": self.kfold.standard_error,
            }
        return {
            "pairs": self.pairs,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "kfold": kfold,
            "operating_points": [asdict(point) for point in self.operating_points],
            "eer": self.eer,
            "eer_threshold": self.eer_threshold,
            "auc": self.auc,
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
        }


def verify_metrics(
    similarities: ArrayLike,
    same: ArrayLike,
    folds: ArrayLike | None = None,
    fmrs: Sequence[float] = FMRS,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> VerificationResult:
    """Every verification metric of one set of pairs.

    Args:
        similarities: `(N,)` scores, higher is more alike; a pair with a missing face is scored -1.0.
        same: `(N,)` True for two photos of one person.
        folds: `(N,)` integers for cross-validated accuracy, or None.
        fmrs: Target false match rates in (0, 1].
        repeats: Bootstrap resamples; 0 leaves the intervals out (they take O(N x repeats)).
        seed: Of the bootstrap.
        level: Of the intervals, in (0, 1).

    Raises:
        SettingError: A rate, the level, repeats or seed out of range.
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    scores, labels = check_pairs(similarities, same)
    if repeats < 0:
        raise SettingError(f"The number of bootstrap resamples must be 0 or more, not {repeats}.")
    equal = eer(scores, labels)
    return VerificationResult(
        pairs=len(scores),
        genuine=int(labels.sum()),
        impostors=int((~labels).sum()),
        kfold=None if folds is None else kfold_accuracy(scores, labels, folds),
        operating_points=tuple(tar_at_fmr(scores, labels, fmr) for fmr in fmrs),
        eer=equal.rate,
        eer_threshold=equal.threshold,
        auc=auc(scores, labels),
        intervals=verification_intervals(scores, labels, folds, fmrs, repeats, seed, level)
        if repeats
        else {},
    )
