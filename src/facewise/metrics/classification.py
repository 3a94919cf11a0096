"""Closed-set classification: which of the people it knows is this, and who is taken for whom?

Ties are broken by one rule: of equally scored classes the one with the lower number comes first. So the
prediction is the first of the highest scores, top-1 is the share of right predictions, and top-5 follows on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError, SettingError
from facewise.metrics.checks import check_classes, check_names, check_numbers
from facewise.metrics.classification_result import ClassificationResult
from facewise.metrics.scores import Floats, Scores

Kind: TypeAlias = Literal["logits", "probabilities"]
_BLOCK = 2_000_000  # scores worked on at once: 16 MB, and a few temporaries of that size
_SUM_TOLERANCE = 1e-3  # a softmax in float32 over ten thousand classes stays well within this


class ClassificationAccumulator:
    """Classification metrics over batches, in memory for the photos' losses and ranks, not their scores.

    Examples:
        >>> seen = ClassificationAccumulator(classes=2, kind="probabilities")
        >>> seen.update([[0.75, 0.25], [0.5, 0.5]], [0, 1])
        >>> seen.compute().top1
        0.5
    """

    def __init__(self, classes: int, names: Sequence[str] | None = None, *, kind: Kind = "logits") -> None:
        """Begin.

        Args:
            classes: Number of classes, 1 or more.
            names: `(classes,)` what they are called; None is their numbers.
            kind: What the scores are: `"logits"` (softmax is taken), or `"probabilities"` (a row sums to 1).

        Raises:
            SettingError: An unknown kind.
            DatasetError: No classes, or names that do not fit.
        """
        if kind not in {"logits", "probabilities"}:
            raise SettingError(f'The kind of scores must be "logits" or "probabilities", not {kind!r}.')
        if classes < 1:
            raise DatasetError(f"Classification needs at least one class, not {classes}.")
        self._names = check_names(names, classes)
        self._kind: Kind = kind
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]] = []

    def update(self, scores: ArrayLike, labels: ArrayLike) -> None:
        """Take in a batch.

        Args:
            scores: `(N, C)` logits or probabilities.
            labels: `(N,)` integers, the true class of each.

        Raises:
            DatasetError: Malformed, empty, not finite, labels out of range, or probabilities that are none.
        """
        table = check_numbers(scores, "scores", ndim=2)
        if table.shape[1] != len(self._names):
            raise DatasetError(f"There are {len(self._names)} classes but {table.shape[1]} scores a photo.")
        true = check_classes(labels, len(table), table.shape[1])
        for rows in _blocks(*table.shape):
            block = table[rows].astype(np.float64)
            loss = _cross_entropy(block, true[rows], self._kind)
            self._parts.append((true[rows], block.argmax(axis=1), _ranks(block, true[rows]), loss))

    def compute(self) -> ClassificationResult:
        """The metrics of all batches so far.

        Raises:
            DatasetError: Nothing was taken in.
        """
        if not self._parts:
            raise DatasetError("There are no scores to measure; give at least one photo.")
        labels, predicted, ranks, losses = zip(*self._parts, strict=True)
        return ClassificationResult(
            names=self._names,
            labels=np.concatenate(labels),
            predicted=np.concatenate(predicted),
            ranks=np.concatenate(ranks),
            losses=np.concatenate(losses),
        )


def classify_metrics(
    scores: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    kind: Kind = "logits",
) -> ClassificationResult:
    """Every classification metric of one set of photos.

    Args:
        scores: `(N, C)` logits or probabilities, higher is more likely.
        labels: `(N,)` integers, the true class of each photo.
        names: `(C,)` what the classes are called; None is their numbers.
        kind: What the scores are: `"logits"` (softmax is taken) or `"probabilities"` (each row sums to 1).

    Raises:
        SettingError: An unknown kind.
        DatasetError: Malformed, empty, not finite, labels out of range, names that do not fit, or
            probabilities that are none.
    """
    table = check_numbers(scores, "scores", ndim=2)
    seen = ClassificationAccumulator(table.shape[1], names, kind=kind)
    seen.update(table, labels)
    return seen.compute()


def _blocks(rows: int, classes: int) -> Iterator[slice]:
    size = max(1, _BLOCK // classes)
    return (slice(start, start + size) for start in range(0, rows, size))


def _cross_entropy(scores: Floats, labels: NDArray[np.int64], kind: Kind) -> Floats:
    """`(N,)` minus the logarithm of the true class's probability, in nats.

    A probability of 0 counts as 2.2e-16, float64's step at 1, as in scikit-learn; logits need no such rule.
    """
    own = scores[np.arange(len(scores)), labels]
    if kind == "logits":
        top = scores.max(axis=1)
        with np.errstate(over="ignore"):  # logits 1e308 apart: the difference is -inf, whose exp is 0
            spread = np.log(np.exp(scores - top[:, np.newaxis]).sum(axis=1))
            return np.asarray(spread - (own - top), dtype=np.float64)
    if scores.min() < 0.0 or scores.max() > 1.0 + _SUM_TOLERANCE:
        raise DatasetError(
            'The scores are not probabilities between 0 and 1; say kind="logits" if they are logits.'
        )
    if np.abs(scores.sum(axis=1) - 1.0).max() > _SUM_TOLERANCE:
        raise DatasetError(
            'The probabilities of a photo must sum to 1; say kind="logits" if they are logits.'
        )
    step = float(np.finfo(np.float64).eps)
    return np.asarray(-np.log(np.clip(own, step, 1.0 - step)), dtype=np.float64)


def _ranks(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """`(N,)` the place of the true class, 1 is first; equal scores by class number."""
    own = scores[np.arange(len(scores)), labels][:, np.newaxis]
    before = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    ahead = np.count_nonzero(scores > own, axis=1) + np.count_nonzero((scores == own) & before, axis=1)
    return np.asarray(1 + ahead, dtype=np.int64)
