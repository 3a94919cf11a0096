"""Metrics, in plain numpy: verification (1:1), identification (1:N) and clustering.

Rates are shares in [0, 1], never percent; a threshold set for a rate never
exceeds it on the data it was set on.
"""

from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.clustering import ClusterScore, bcubed, nmi, pairwise_f
from facewise.metrics.decisions import (
    BinaryReport,
    KFold,
    accuracy,
    balanced_accuracy,
    best_threshold,
    binary_report,
    kfold_accuracy,
)
from facewise.metrics.identification import (
    IdentificationAccumulator,
    IdentificationResult,
    OpenSetPoint,
    cmc,
    open_set,
    rank_k,
)
from facewise.metrics.intervals import verification_intervals
from facewise.metrics.operating_point import OperatingPoint, tar_at_fmr, threshold_at_fmr
from facewise.metrics.roc_curve import EqualErrorRate, Roc, auc, eer, roc
from facewise.metrics.verification import VerificationResult, verify_metrics

__all__ = [
    "BinaryReport",
    "ClusterScore",
    "EqualErrorRate",
    "IdentificationAccumulator",
    "IdentificationResult",
    "Interval",
    "KFold",
    "OpenSetPoint",
    "OperatingPoint",
    "Roc",
    "VerificationResult",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "bcubed",
    "best_threshold",
    "binary_report",
    "bootstrap_interval",
    "cmc",
    "eer",
    "kfold_accuracy",
    "nmi",
    "open_set",
    "pairwise_f",
    "rank_k",
    "roc",
    "tar_at_fmr",
    "threshold_at_fmr",
    "verification_intervals",
    "verify_metrics",
]
