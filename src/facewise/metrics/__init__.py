"""Metrics, in plain numpy.

Verification (1:1), identification (1:N), classification, clustering, embedding space, calibration of
probabilities, rates by group. Rates are shares in [0, 1], never percent; a threshold set for a rate never
exceeds it on the data it was set on.
"""

from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.classification import ClassificationAccumulator, classify_metrics
from facewise.metrics.classification_result import ClassificationResult
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
from facewise.metrics.groups import GroupResult, rates_by_group
from facewise.metrics.identification import (
    IdentificationAccumulator,
    IdentificationResult,
    OpenSetPoint,
    cmc,
    open_set,
    rank_k,
)
from facewise.metrics.identity_bootstrap import identity_intervals
from facewise.metrics.intervals import verification_intervals
from facewise.metrics.isotonic import isotonic_fit
from facewise.metrics.large import SortedPairs, verify_large
from facewise.metrics.operating_point import OperatingPoint, tar_at_fmr, threshold_at_fmr
from facewise.metrics.paired import Comparison, McNemar, compare_verifiers, mcnemar
from facewise.metrics.probability import (
    brier,
    cllr,
    expected_calibration_error,
    log_loss,
    log_ratios,
    min_cllr,
    reliability,
)
from facewise.metrics.roc_curve import EqualErrorRate, Roc, auc, eer, roc
from facewise.metrics.score_counts import ScoreCounts, ScoreCountsResult
from facewise.metrics.space import embedding_space
from facewise.metrics.space_result import SpaceResult
from facewise.metrics.verification import VerificationResult, verify_metrics

__all__ = [
    "BinaryReport",
    "ClassificationAccumulator",
    "ClassificationResult",
    "ClusterScore",
    "Comparison",
    "EqualErrorRate",
    "GroupResult",
    "IdentificationAccumulator",
    "IdentificationResult",
    "Interval",
    "KFold",
    "McNemar",
    "OpenSetPoint",
    "OperatingPoint",
    "Roc",
    "ScoreCounts",
    "ScoreCountsResult",
    "SortedPairs",
    "SpaceResult",
    "VerificationResult",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "bcubed",
    "best_threshold",
    "binary_report",
    "binomial_interval",
    "bootstrap_interval",
    "brier",
    "classify_metrics",
    "cllr",
    "cmc",
    "compare_verifiers",
    "eer",
    "embedding_space",
    "expected_calibration_error",
    "identity_intervals",
    "isotonic_fit",
    "kfold_accuracy",
    "log_loss",
    "log_ratios",
    "mcnemar",
    "min_cllr",
    "nmi",
    "open_set",
    "pairwise_f",
    "rank_k",
    "rates_by_group",
    "reliability",
    "roc",
    "tar_at_fmr",
    "threshold_at_fmr",
    "verification_intervals",
    "verify_large",
    "verify_metrics",
]
