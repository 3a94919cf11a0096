"""How well clusters agree with people, counted exactly on the non-empty cells of the contingency table.

Labels are opaque integers or strings. "Unclustered" is no label: give each such item a label of its own, or
they count as one cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError
from facewise.metrics.scores import Counts, Floats


@dataclass(frozen=True, slots=True)
class ClusterScore:
    """Precision, recall and their harmonic mean, each in [0, 1].

    Attributes:
        precision: How pure the clusters are.
        recall: How whole the people are.
        f1: 2 x precision x recall / (precision + recall); 0 where both are 0.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The non-empty cells of a contingency table.

    Attributes:
        cells: `(K,)` items in each cell.
        people: `(K,)` items of the person of each cell.
        clusters: `(K,)` items of the cluster of each cell.
        person_sizes: `(A,)` items of each person.
        cluster_sizes: `(B,)` items of each cluster.
        items: Number of items.
    """

    cells: Counts
    people: Counts
    clusters: Counts
    person_sizes: Counts
    cluster_sizes: Counts
    items: int


def pairwise_f(labels_true: ArrayLike, labels_pred: ArrayLike) -> ClusterScore:
    """Precision and recall over pairs of items: of the pairs put together, how many belong, and back.

    With no pair put together nothing wrong was claimed and precision is 1; with no pair that belongs together
    nothing was missed and recall is 1.

    Args:
        labels_true: `(N,)` the person of each item.
        labels_pred: `(N,)` the cluster of each item.

    Raises:
        DatasetError: Different shapes, empty, or labels that are neither integers nor strings.
    """
    table = _table(labels_true, labels_pred)
    both, claimed, wanted = map(_pairs, (table.cells, table.cluster_sizes, table.person_sizes))
    return _score(both / claimed if claimed else 1.0, both / wanted if wanted else 1.0)


def bcubed(labels_true: ArrayLike, labels_pred: ArrayLike) -> ClusterScore:
    """BCubed: precision and recall of the cluster each item finds itself in, averaged over items.

    Source: Amigo, Gonzalo, Artiles and Verdejo, "A comparison of extrinsic clustering evaluation metrics
    based on formal constraints", Information Retrieval 12 (2009). An item is counted with itself.

    Arguments and errors as `pairwise_f`.
    """
    table = _table(labels_true, labels_pred)
    squares = table.cells.astype(np.float64) ** 2
    precision = float((squares / table.clusters).sum() / table.items)
    recall = float((squares / table.people).sum() / table.items)
    return _score(precision, recall)


def nmi(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Normalised mutual information in [0, 1]: mutual information over the mean of the two entropies.

    1 where both labellings are a single group (nothing to tell, nothing told wrongly), as in scikit-learn.
    Arguments and errors as `pairwise_f`.
    """
    table = _table(labels_true, labels_pred)
    if len(table.person_sizes) == len(table.cluster_sizes) == 1:
        return 1.0
    share = table.cells / table.items
    independent = (table.people / table.items) * (table.clusters / table.items)
    information = float((share * np.log(share / independent)).sum())
    mean = (_entropy(table.person_sizes / table.items) + _entropy(table.cluster_sizes / table.items)) / 2
    return min(1.0, max(0.0, information / mean))


def _table(labels_true: ArrayLike, labels_pred: ArrayLike) -> _Table:
    true, pred = _codes(labels_true, "true"), _codes(labels_pred, "predicted")
    if true.shape != pred.shape:
        raise DatasetError(f"There are {len(true)} true labels but {len(pred)} predicted ones.")
    width = int(pred.max()) + 1
    keys, cells = np.unique(true * width + pred, return_counts=True)
    person_sizes, cluster_sizes = np.bincount(true), np.bincount(pred)
    return _Table(
        cells=cells.astype(np.int64),
        people=person_sizes[keys // width],
        clusters=cluster_sizes[keys % width],
        person_sizes=person_sizes,
        cluster_sizes=cluster_sizes,
        items=len(true),
    )


def _codes(labels: ArrayLike, name: str) -> Counts:
    """Labels as 0 ... K - 1."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise DatasetError(f"The {name} labels are ragged; give one label an item.") from error
    if array.ndim != 1 or not array.size:
        raise DatasetError(f"The {name} labels must be a non-empty list, not shape {array.shape}.")
    if array.dtype.kind not in "biuSUT":
        raise DatasetError(f"The {name} labels must be integers or strings, not {array.dtype}.")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _pairs(sizes: Counts) -> int:
    """How many pairs of items lie in groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())


def _entropy(shares: Floats) -> float:
    """In nats."""
    return float(-(shares * np.log(shares)).sum())


def _score(precision: float, recall: float) -> ClusterScore:
    total = precision + recall
    return ClusterScore(precision, recall, 2 * precision * recall / total if total else 0.0)
