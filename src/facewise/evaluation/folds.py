"""Folds for pairs that come without, so that a threshold is never judged on whom it was chosen on.

A *unit* is what must not be on both sides: a person, or, where nobody is named, the photos that pairs of one
person tie together. Where the pairs fall into enough separate clusters of units, each cluster goes to one of
ten folds and the accuracy is LFW's. Most lists of pairs are not like that: pairs of different people tie
everybody to everybody. Then the units go to ten folds, and a pair of folds f and g is judged at the threshold
chosen on the pairs that touch neither f nor g. Every pair is judged once, at a threshold from other people.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import Pair
from facewise.metrics import KFold, best_threshold, kfold_accuracy

FOLDS = 10
_LARGEST = 2.0
"""How many times its tenth of the pairs a cluster may hold and still be a fold."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which folds each pair is of.

    Attributes:
        first: (P,) fold of one side of each pair.
        second: (P,) fold of the other; differs from `first` only where units had to be parted.
        how: Where they come from, for people.
    """

    first: Ints
    second: Ints
    how: str

    @property
    def crossed(self) -> bool:
        """Whether some pairs are of two folds."""
        return bool((self.first != self.second).any())


@dataclass(frozen=True, slots=True, eq=False)
class FoldedAccuracy:
    """Accuracy of pairs, each judged at a threshold from other folds.

    Attributes:
        accuracy: Mean of the folds' accuracies; where pairs are of two folds, the share decided rightly.
        balanced: Mean of the shares of same and of different pairs decided rightly, at thresholds that
            maximise it; None where that is not to be had.
        right: (P,) whether each pair is decided rightly.
        kfold: By fold, or None where pairs are of two folds.
        thresholds: The thresholds used, lowest and highest.
        how: Where the folds come from, for people.
    """

    accuracy: float
    balanced: float | None
    right: Bools
    kfold: KFold | None
    thresholds: tuple[float, float]
    how: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "accuracy": self.accuracy,
            "standard_error": None if self.kfold is None else self.kfold.standard_error,
            "balanced_accuracy": self.balanced,
            "folds": self.how,
            "kfold": None if self.kfold is None else self.kfold.to_dict(),
            "lowest_threshold": self.thresholds[0],
            "highest_threshold": self.thresholds[1],
        }


def given_folds(folds: Sequence[int] | Ints, how: str) -> Folds:
    """The folds of a protocol: (P,) integers."""
    parts = np.asarray(folds, np.int64)
    return Folds(parts, parts, how)


def make_folds(
    pairs: Sequence[Pair], people: Sequence[tuple[str, str]] | None = None, count: int = FOLDS
) -> Folds | None:
    """Ten folds such that no unit is on both sides of a decision; the same for the same pairs.

    Args:
        pairs: Their own folds do not matter.
        people: The two people of each pair, or None where nobody is named.
        count: How many folds, fewer where there are fewer units.

    Returns:
        None where there are too few units for any.
    """
    same = np.array([pair.same for pair in pairs], np.bool_)
    first, second = units_of(pairs, people)
    what = "photo or person" if people is not None else "photo"
    units = int(max(first.max(), second.max())) + 1
    # Each kind of pair weighs the same, however many there are of it.
    weight = np.where(same, 0.5 / max(1, same.sum()), 0.5 / max(1, (~same).sum()))
    cluster = _components(zip(first.tolist(), second.tolist(), strict=True), units)
    weights = np.bincount(cluster[first], weight).astype(np.float64)
    if len(weights) >= count and weights.max() <= _LARGEST / count:
        fold = _packed(weights, count)[cluster[first]]
        kinds = [np.bincount(fold[kind], minlength=count) for kind in (same, ~same)]
        if min(kind.min() for kind in kinds) > 0:
            return Folds(fold, fold, f"{count} made so that no {what} is in two")
    count = min(count, units)
    if count < 3:
        return None
    touching = np.bincount(np.append(first, second), np.append(weight, weight), units)
    of_unit = _packed(touching.astype(np.float64), count)
    how = f"{count} of {'people' if people is not None else 'photos'}, pairs across them judged at"
    how += " thresholds from neither of the two, so that no " + what + " is on both sides"
    return Folds(of_unit[first], of_unit[second], how)


def folded_accuracy(similarities: Floats, same: Bools, folds: Folds) -> FoldedAccuracy | None:
    """Accuracy over folds; None where the pairs outside of a fold leave no choice of a threshold.

    That is so where they are all equally alike: a threshold could but say "the same" of all or of none, and
    which of them is right more often says how many pairs of each kind there are, and nothing of the model. It
    is so as well where pairs cross folds and one kind of them is not left to choose on.

    Args:
        similarities: (P,).
        same: (P,).
        folds: Of the pairs.

    Raises:
        DatasetError: Folds that do not part anybody, and one kind of pair without one of them.
    """
    if any(len(np.unique(similarities[rest])) < 2 for _, rest in _blocks(folds)):
        return None
    if not folds.crossed:
        kfold = kfold_accuracy(similarities, same, folds.first)
        at = kfold.thresholds[np.searchsorted(kfold.folds, folds.first)]
        span = float(kfold.thresholds.min()), float(kfold.thresholds.max())
        balanced = _balanced_kfold(similarities, same, folds.first)
        return FoldedAccuracy(kfold.mean, balanced, (similarities >= at) == same, kfold, span, folds.how)
    plain = _crossed(similarities, same, folds, best_threshold)
    weighed = _crossed(similarities, same, folds, lambda s, k: best_threshold(s, k, balanced=True))
    if plain is None or weighed is None:
        return None
    right, weighed_right = (similarities >= plain) == same, (similarities >= weighed) == same
    balanced = float(weighed_right[same].mean() + weighed_right[~same].mean()) / 2
    span = float(plain.min()), float(plain.max())
    return FoldedAccuracy(float(right.mean()), balanced, right, None, span, folds.how)


def accuracy_as_insightface(similarities: Floats, same: Bools, folds: Ints) -> float:
    """The figure InsightFace prints: thresholds only on a grid of squared distances, the lowest of the best.

    `recognition/arcface_torch/eval/verification.py`: d = |a − b|² = 2 − 2·cos of unit vectors; a pair matches
    where d < t; t of 0, 0.01 … 3.99 is chosen on the other folds. A few pairs may fall otherwise than at
    `best_threshold`, which looks at all thresholds there are.

    Args:
        similarities: (P,) cosines.
        same: (P,).
        folds: (P,).
    """
    grid, distances = np.arange(0, 4, 0.01), 2 - 2 * similarities
    accuracies = []
    for fold in np.unique(folds):
        rest = folds != fold
        below = [np.searchsorted(np.sort(distances[rest & kind]), grid) for kind in (same, ~same)]
        best = grid[int(np.argmax(below[0] - below[1]))]
        accuracies.append(float(((distances[~rest] < best) == same[~rest]).mean()))
    return float(np.mean(accuracies))


def _balanced_kfold(similarities: Floats, same: Bools, folds: Ints) -> float | None:
    if not np.array_equal(np.unique(folds[same]), np.unique(folds[~same])):
        return None
    return kfold_accuracy(similarities, same, folds, balanced=True).mean


def _crossed(
    similarities: Floats, same: Bools, folds: Folds, choose: Callable[[Floats, Bools], float]
) -> Floats | None:
    """(P,) the threshold each pair is judged at."""
    thresholds = np.empty(len(same))
    for judged, rest in _blocks(folds):
        if len(np.unique(same[rest])) < 2:
            return None
        thresholds[judged] = choose(similarities[rest], same[rest])
    return thresholds


def _blocks(folds: Folds) -> Iterator[tuple[Bools, Bools]]:
    """The pairs of each two folds, and the pairs that touch neither of the two."""
    low, high = np.minimum(folds.first, folds.second), np.maximum(folds.first, folds.second)
    for f, g in np.unique(np.stack([low, high]), axis=1).T:
        touching = (low == f) | (high == f) | (low == g) | (high == g)
        yield (low == f) & (high == g), ~touching


def units_of(pairs: Sequence[Pair], people: Sequence[tuple[str, str]] | None) -> tuple[Ints, Ints]:
    """The unit of each side of each pair.

    Args:
        pairs: At least one.
        people: The two people of each pair, or None where nobody is named.

    Returns:
        Two (P,) arrays.
    """
    if people is not None:
        return _numbers(people)
    sides = _numbers([(pair.a, pair.b) for pair in pairs])
    tied = [(a, b) for pair, a, b in zip(pairs, *map(np.ndarray.tolist, sides), strict=True) if pair.same]
    unit = _components(tied, int(max(sides[0].max(), sides[1].max())) + 1)
    return unit[sides[0]], unit[sides[1]]


def _numbers(two: Sequence[tuple[Hashable, Hashable]]) -> tuple[Ints, Ints]:
    number: dict[Hashable, int] = {}
    sides = [[number.setdefault(one[side], len(number)) for one in two] for side in (0, 1)]
    return np.array(sides[0], np.int64), np.array(sides[1], np.int64)


def _components(edges: Iterable[tuple[int, int]], nodes: int) -> Ints:
    """(nodes,) which connected component each node is in, numbered by their first nodes."""
    parent = list(range(nodes))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for a, b in edges:
        parent[root(a)] = root(b)
    return np.unique([root(node) for node in range(nodes)], return_inverse=True)[1].astype(np.int64)


def _packed(weights: Floats, count: int) -> Ints:
    """The fold of each item, the heaviest first into the lightest fold (Graham 1969)."""
    loads, fold = np.zeros(count), np.empty(len(weights), np.int64)
    for item in np.argsort(-weights, kind="stable"):
        fold[item] = int(np.argmin(loads))
        loads[fold[item]] += weights[item]
    return fold
