"""Bootstrap intervals of the verification metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from facewise.metrics.bootstrap import Interval, check_level, percentile_interval, resample
from facewise.metrics.decisions import check_folds, kfold_accuracy
from facewise.metrics.operating_point import check_rate, tar_of_counts
from facewise.metrics.roc_curve import auc_of_counts, eer_of_counts
from facewise.metrics.scores import Bools, Counts, Floats, RankedPairs, Scores, accepts, check_pairs

FMRS = (1e-1, 1e-2, 1e-3)
"""False match rates reported by default: what the 3,000 impostor pairs of LFW View 2 can support."""


def verification_intervals(
    similarities: ArrayLike,
    same: ArrayLike,
    folds: ArrayLike | None = None,
    fmrs: Sequence[float] = FMRS,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals of a verifier's metrics, resampling pairs within same and different.

    Pairs are resampled as if independent. They share people and photos, so these intervals are too narrow
    where few identities make many pairs; resampling identities is another function's work. At an FMR with
    fewer than 1 / fmr impostors the threshold hangs on the largest impostor, and the interval with it
    (`OperatingPoint.supported`).

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        folds: `(N,)` integers, or None for no accuracy: a threshold chosen on the pairs it is judged on
            flatters.
        fmrs: Target false match rates in (0, 1].
        repeats: Number of resamples.
        seed: Of the random draws.
        level: In (0, 1).

    Returns:
        `"auc"`, `"eer"`, `"tar@fmr=0.001"` for each rate (the threshold set anew on each resample), and with
        folds `"accuracy"`: the share of pairs decided rightly at each fold's fixed threshold. Its estimate is
        `KFold.mean` where the folds are equally large.

    Raises:
        SettingError: A rate, the level, repeats or seed out of range.
        DatasetError: As `roc` and `kfold_accuracy`.
    """
    scores, labels = check_pairs(similarities, same)
    check_level(level)
    rates = [check_rate(fmr) for fmr in fmrs]
    pairs = RankedPairs.of(scores, labels)
    right = None if folds is None else decided_rightly(scores, labels, folds)

    def statistics(counts: Counts) -> Floats:
        genuine, impostors = pairs.cumulative(counts)
        columns = [auc_of_counts(genuine, impostors), eer_of_counts(genuine, impostors)]
        columns += [tar_of_counts(genuine, impostors, rate) for rate in rates]
        if right is not None:
            columns.append(counts[:, right].sum(axis=1) / len(right))
        return np.stack(columns, axis=1)

    names = ["auc", "eer", *(f"tar@fmr={rate!r}" for rate in rates)] + ["accuracy"] * (right is not None)
    estimates = statistics(np.ones((1, len(scores)), np.int64))[0]
    draws = resample(statistics, labels, repeats, seed)
    return {
        name: percentile_interval(float(estimate), column, level)
        for name, estimate, column in zip(names, estimates, draws.T, strict=True)
    }


def decided_rightly(scores: Scores, same: Bools, folds: ArrayLike) -> Bools:
    """`(N,)` whether each pair is decided rightly at the threshold of the folds it is not in."""
    parts = check_folds(folds, len(scores))
    result = kfold_accuracy(scores, same, parts)
    right = np.empty(len(scores), np.bool_)
    for fold, threshold in zip(result.folds, result.thresholds, strict=True):
        members = parts == fold
        right[members] = accepts(scores[members], float(threshold)) == same[members]
    return right
