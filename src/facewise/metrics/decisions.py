"""Decisions at a threshold: accuracy, precision and recall, and the cross-validated accuracy of LFW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.metrics.scores import (
    Bools,
    Floats,
    RankedPairs,
    Scores,
    accepts,
    check_pairs,
    just_above,
)


@dataclass(frozen=True, slots=True)
class BinaryReport:
    """What came of the decisions at one threshold; "positive" is a declared match.

    Attributes:
        tp: Genuine pairs that match.
        fp: Impostor pairs that match.
        tn: Impostor pairs that do not.
        fn: Genuine pairs that do not.
        accuracy: Share of right decisions.
        precision: tp / (tp + fp); 0 where nothing matches.
        recall: tp / (tp + fn); 0 where there is no genuine pair.
        f1: Harmonic mean of precision and recall; 0 where there is no true positive.
    """

    tp: int
    fp: int
    tn: int
    fn: int
    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, eq=False)
class KFold:
    """Accuracy, plain or balanced, cross-validated over folds.

    Attributes:
        folds: `(F,)` the fold numbers, rising.
        accuracies: `(F,)` (balanced) accuracy on each fold, at the threshold chosen on the other folds.
        thresholds: `(F,)` those thresholds.
        mean: Mean of the accuracies.
        standard_error: Their standard deviation (F - 1 in the denominator) over the root of F.
    """

    folds: NDArray[np.int64]
    accuracies: Floats
    thresholds: Floats
    mean: float
    standard_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "folds": self.folds.tolist(),
            "accuracies": self.accuracies.tolist(),
            "thresholds": self.thresholds.tolist(),
            "mean": self.mean,
            "standard_error": self.standard_error,
        }


def accuracy(similarities: ArrayLike, same: ArrayLike, threshold: float) -> float:
    """Share of pairs decided rightly when a pair matches at similarity >= threshold.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        threshold: Compared in float64.

    Raises:
        DatasetError: Malformed, empty or not finite.
        SettingError: The threshold is NaN.
    """
    scores, labels = check_pairs(similarities, same, both=False)
    return float((accepts(scores, threshold) == labels).mean())


def balanced_accuracy(similarities: ArrayLike, same: ArrayLike, threshold: float) -> float:
    """Mean of the true accept and the true reject rate, so that neither kind of pair outweighs the other.

    It is the accuracy there would be with as many genuine as impostor pairs (Brodersen et al. 2010, "The
    balanced accuracy and its posterior distribution").

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        threshold: Compared in float64.

    Raises:
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
        SettingError: The threshold is NaN.
    """
    return _share_right(*check_pairs(similarities, same), threshold, balanced=True)


def binary_report(similarities: ArrayLike, same: ArrayLike, threshold: float) -> BinaryReport:
    """Counts, precision, recall and F1 at a threshold; a ratio over nothing is 0, as in scikit-learn.

    Arguments and errors as `accuracy`.
    """
    scores, labels = check_pairs(similarities, same, both=False)
    matched = accepts(scores, threshold)
    tp = int(np.count_nonzero(matched & labels))
    fp = int(np.count_nonzero(matched)) - tp
    fn = int(np.count_nonzero(labels)) - tp
    tn = len(labels) - tp - fp - fn
    return BinaryReport(
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        accuracy=(tp + tn) / len(labels),
        precision=tp / (tp + fp) if tp + fp else 0.0,
        recall=tp / (tp + fn) if tp + fn else 0.0,
        f1=2 * tp / (2 * tp + fp + fn) if tp else 0.0,
    )


def best_threshold(similarities: ArrayLike, same: ArrayLike, *, balanced: bool = False) -> float:
    """The threshold with the highest accuracy on these pairs, over all there are.

    It lies midway between two neighbouring distinct scores. Of several equally accurate places the widest gap
    is taken, and of equally wide gaps the highest. Only if no gap is as accurate does it accept every pair
    (the least score) or none (just above the greatest).

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        balanced: Maximise the balanced accuracy instead; with as many genuine as impostor pairs it is the
            same threshold.

    Raises:
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    return _best_threshold(*check_pairs(similarities, same), balanced=balanced)


def kfold_accuracy(
    similarities: ArrayLike, same: ArrayLike, folds: ArrayLike, *, balanced: bool = False
) -> KFold:
    """Accuracy on each fold at the `best_threshold` of the other folds, as LFW is reported.

    Source: Huang et al., "Labeled Faces in the Wild", UMass TR 07-49 (2007): View 2, ten folds.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.
        folds: `(N,)` integers, the fold of each pair.
        balanced: Balanced accuracy, and thresholds that maximise it.

    Raises:
        DatasetError: Malformed, empty or not finite; fewer than two folds; or only one kind of pair is left
            when a fold is held out, or, for the balanced accuracy, in a fold.
    """
    scores, labels = check_pairs(similarities, same)
    parts = check_folds(folds, len(scores))
    names = np.unique(parts)
    thresholds, accuracies = np.empty(len(names)), np.empty(len(names))
    for place, name in enumerate(names):
        held_out = parts == name
        rest, judged = labels[~held_out], labels[held_out]
        if rest.all() or not rest.any():
            raise DatasetError(f"Without fold {name} only one kind of pair is left to set a threshold on.")
        if balanced and (judged.all() or not judged.any()):
            raise DatasetError(f"Fold {name} has one kind of pair, but balanced accuracy needs both.")
        threshold = _best_threshold(scores[~held_out], rest, balanced=balanced)
        thresholds[place] = threshold
        accuracies[place] = _share_right(scores[held_out], judged, threshold, balanced=balanced)
    return KFold(
        folds=names,
        accuracies=accuracies,
        thresholds=thresholds,
        mean=float(accuracies.mean()),
        standard_error=float(accuracies.std(ddof=1) / np.sqrt(len(names))),
    )


def check_folds(folds: ArrayLike, pairs: int) -> NDArray[np.int64]:
    """The fold of each of `pairs` pairs.

    Raises:
        DatasetError: Wrong shape, not integers, or fewer than two folds.
    """
    parts = np.asarray(folds)
    if parts.shape != (pairs,):
        raise DatasetError(f"There are {pairs} similarities but the folds have shape {parts.shape}.")
    if parts.dtype.kind not in "iu":
        raise DatasetError(f"The folds must be integers, not {parts.dtype}.")
    if bool((parts == parts[0]).all()):
        raise DatasetError("All pairs are in one fold; cross-validation needs at least two.")
    return parts.astype(np.int64)


def _share_right(scores: Scores, same: Bools, threshold: float, *, balanced: bool) -> float:
    right = accepts(scores, threshold) == same
    if balanced:
        return float(right[same].mean() + right[~same].mean()) / 2
    return float(right.mean())


def _best_threshold(scores: Scores, same: Bools, *, balanced: bool) -> float:
    pairs = RankedPairs.of(scores, same)
    genuine, impostors = (row[0] for row in pairs.cumulative())
    # Balanced, each kind weighs as much as there is of the other; in integers, so that ties are exact.
    weights = (int(impostors[-1]), int(genuine[-1])) if balanced else (1, 1)
    # Cut i accepts the i highest distinct scores.
    right = np.append(0, genuine * weights[0] - impostors * weights[1])
    with np.errstate(over="ignore"):
        gaps = -np.diff(pairs.distinct.astype(np.float64))
    widths = np.concatenate([[0.0], gaps, [0.0]])
    cut = int(np.argmax(np.where(right == right.max(), widths, -1.0)))
    if cut == 0:
        return just_above(pairs.distinct[0])
    if cut == len(pairs.distinct):
        return float(pairs.distinct[-1])
    higher, lower = pairs.distinct[cut - 1], pairs.distinct[cut]
    middle = type(higher)(float(higher) / 2 + float(lower) / 2)
    # Between neighbouring floats the middle rounds to one of them: it must not be the lower.
    return float(middle if lower < middle <= higher else higher)
