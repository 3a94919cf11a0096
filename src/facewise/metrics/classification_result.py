"""What came of classifying a test set: figures, classes by name, and who is taken for whom."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.scores import Counts, Floats


@dataclass(frozen=True, slots=True)
class ClassReport:
    """One class of a closed set.

    Attributes:
        name: What it is called.
        support: Photos of it.
        predicted: Photos taken for it.
        correct: Photos of it taken for it.
        precision: correct / predicted; 0 where it is never predicted, as in scikit-learn.
        recall: correct / support; 0 where there is no photo of it.
        f1: Harmonic mean of the two; 0 where both are 0.
    """

    name: str
    support: int
    predicted: int
    correct: int
    precision: float
    recall: float
    f1: float

    def recall_interval(self, level: float = 0.95) -> Interval | None:
        """The exact binomial interval of the recall; None where there is no photo of the class."""
        return binomial_interval(self.correct, self.support, level) if self.support else None


@dataclass(frozen=True, slots=True)
class Average:
    """Precision, recall and F1 averaged over classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Photos of one person taken for another.

    Attributes:
        true: Who is in the photos.
        predicted: Who they were taken for.
        count: How many.
        share: Of the photos of `true`.
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """How well photos are given the name of one of C people.

    Attributes:
        names: `(C,)` what the classes are called.
        labels: `(N,)` the true class of each photo.
        predicted: `(N,)` the class with the highest score.
        ranks: `(N,)` the place of the true class among the scores, 1 is first.
        losses: `(N,)` cross-entropy of each photo, in nats.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    ranks: NDArray[np.int64]
    losses: Floats

    @property
    def photos(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self.losses.mean())

    @property
    def top1(self) -> float:
        """Share of photos given the right name: the accuracy."""
        return self.top_k(1)

    @property
    def top5(self) -> float:
        """Share of photos whose right name is among the five highest scores; 1 with five classes or fewer."""
        return self.top_k(5)

    def top_k(self, k: int) -> float:
        """Share of photos whose right name is among the k highest scores.

        Raises:
            SettingError: k below 1.
        """
        if k < 1:
            raise SettingError(f"k must be 1 or more, not {k}.")
        return float((self.ranks <= k).mean())

    @cached_property
    def classes(self) -> tuple[ClassReport, ...]:
        """Every class, in the order of the scores' columns."""
        support, predicted, correct = (counts.tolist() for counts in self._counts())
        return tuple(_report(*row) for row in zip(self.names, support, predicted, correct, strict=True))

    @property
    def macro(self) -> Average:
        """Plain mean over the classes that are in the labels or the predictions, as in scikit-learn."""
        rows = [row for row in self.classes if row.support or row.predicted]
        return _average(rows, [1.0] * len(rows))

    @property
    def weighted(self) -> Average:
        """Mean over the classes, each weighing as many photos as there are of it."""
        return _average(list(self.classes), [float(row.support) for row in self.classes])

    @property
    def confusion(self) -> Counts:
        """`(C, C)` photos of class i (row) taken for class j (column); built anew at each call."""
        size = len(self.names)
        matrix = np.zeros((size, size), np.int64)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def most_confused(self, n: int = 10) -> list[Confusion]:
        """The n wrong names given most often: by count, then share of the person's photos, then name."""
        rows = [
            Confusion(self.names[i], self.names[j], count, count / self.classes[i].support)
            for i, j, count in self._cells()
            if i != j
        ]
        return sorted(rows, key=lambda row: (-row.count, -row.share, row.true, row.predicted))[: max(0, n)]

    def worst(self, n: int = 10) -> list[ClassReport]:
        """The n classes with photos of the lowest F1; of equals, the lower recall, then more photos."""
        rows = [row for row in self.classes if row.support]
        return sorted(rows, key=lambda row: (row.f1, row.recall, -row.support, row.name))[: max(0, n)]

    def intervals(self, level: float = 0.95, repeats: int = 1000, seed: int = 0) -> dict[str, Interval]:
        """Intervals over new photos of the same people.

        `"top1"` and `"top5"` are exact binomial, `"loss"` is the percentile bootstrap over photos. Photos
        count as independent; near-duplicates of one another make the intervals too narrow.

        Raises:
            SettingError: Level, repeats or seed out of range.
        """
        found = {
            f"top{k}": binomial_interval(int(np.count_nonzero(self.ranks <= k)), self.photos, level)
            for k in (1, 5)
        }
        found["loss"] = bootstrap_interval(
            lambda counts: counts @ self.losses / self.photos, self.photos, repeats, seed, level
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON; the confusion matrix as its non-empty cells [true, predicted, count]."""
        return {
            "photos": self.photos,
            "loss": self.loss,
            "top1": self.top1,
            "top5": self.top5,
            "macro": asdict(self.macro),
            "weighted": asdict(self.weighted),
            "intervals": {name: asdict(interval) for name, interval in self.intervals().items()},
            "classes": [asdict(row) for row in self.classes],
            "confusion": [list(cell) for cell in self._cells()],
        }

    def _cells(self) -> list[tuple[int, int, int]]:
        """The non-empty cells of the confusion matrix: true class, predicted class, count."""
        size = len(self.names)
        keys, counts = np.unique(self.labels * size + self.predicted, return_counts=True)
        return list(zip((keys // size).tolist(), (keys % size).tolist(), counts.tolist(), strict=True))

    def _counts(self) -> tuple[Counts, Counts, Counts]:
        """`(C,)` photos of each class, photos taken for it, and both."""
        size = len(self.names)
        right = self.labels[self.labels == self.predicted]
        support, predicted, correct = (
            np.bincount(part, minlength=size) for part in (self.labels, self.predicted, right)
        )
        return support, predicted, correct


def _report(name: str, support: int, predicted: int, correct: int) -> ClassReport:
    return ClassReport(
        name=name,
        support=support,
        predicted=predicted,
        correct=correct,
        precision=correct / predicted if predicted else 0.0,
        recall=correct / support if support else 0.0,
        f1=2 * correct / (support + predicted) if correct else 0.0,
    )


def _average(rows: list[ClassReport], weights: list[float]) -> Average:
    means = (
        float(np.average([getattr(row, name) for row in rows], weights=weights))
        for name in ("precision", "recall", "f1")
    )
    return Average(*means)
