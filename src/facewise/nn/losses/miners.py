"""Miners: which pairs and triplets of a batch a loss learns from. Pure functions of distances and labels.

Indices are int64 and point into the batch; no gradient flows through a choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Triplets = tuple[Tensor, Tensor, Tensor]
"""Anchors, positives and negatives, (T,) each."""


def positive_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """All ordered pairs of two samples of one person: anchors and positives, (P,) each."""
    same = labels[:, None] == labels
    same.fill_diagonal_(False)
    anchors, positives = same.nonzero(as_tuple=True)
    return anchors, positives


def all_triplets(labels: Tensor) -> Triplets:
    """Every triplet: each ordered positive pair with each negative of the anchor."""
    anchors, positives = positive_pairs(labels)
    pair, negatives = (labels[anchors][:, None] != labels).nonzero(as_tuple=True)
    return anchors[pair], positives[pair], negatives


@torch.no_grad()
def semi_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """FaceNet's semi-hard negatives: 1503.03832, sec. 3.2 and eq. 4.

    For each ordered positive pair (a, p) the nearest negative that is farther from a than p is. The nearest
    of all would collapse the network early in training. Where every negative is nearer than p, the farthest
    one is taken: the easiest of the hard.

    Args:
        distances: (N, N); squared or not makes no difference.
        labels: (N,).

    Returns:
        One triplet a positive pair; none where the batch holds one person.
    """
    anchors, positives = positive_pairs(labels)
    negative = labels[anchors][:, None] != labels
    some = negative.any(dim=1)
    anchors, positives, negative = anchors[some], positives[some], negative[some]
    if len(anchors) == 0:
        return anchors, positives, anchors.clone()
    row = distances[anchors]
    farther = negative & (row > distances[anchors, positives][:, None])
    nearest_farther = row.masked_fill(~farther, math.inf).argmin(dim=1)
    farthest = row.masked_fill(~negative, -math.inf).argmax(dim=1)
    return anchors, positives, torch.where(farther.any(dim=1), nearest_farther, farthest)


@torch.no_grad()
def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """Batch-hard triplets: Hermans et al. 2017, 1703.07737, eq. 5.

    For each anchor its farthest positive and its nearest negative; anchors that lack either have no triplet.

    Args:
        distances: (N, N); squared or not makes no difference.
        labels: (N,).

    Returns:
        At most one triplet an anchor, T ≤ N.
    """
    same = labels[:, None] == labels
    negative = ~same
    same.fill_diagonal_(False)
    anchors = (same.any(dim=1) & negative.any(dim=1)).nonzero().squeeze(1)
    if len(anchors) == 0:
        return anchors, anchors.clone(), anchors.clone()
    row = distances[anchors]
    positives = row.masked_fill(~same[anchors], -math.inf).argmax(dim=1)
    negatives = row.masked_fill(negative[anchors].logical_not(), math.inf).argmin(dim=1)
    return anchors, positives, negatives


@torch.no_grad()
def hard_negative_pairs(distances: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` nearest pairs of two people, or all where there are fewer; each pair once, i < j.

    Args:
        distances: (N, N); squared or not makes no difference.
        labels: (N,).
        count: How many.

    Returns:
        The samples i and j of the pairs, nearest first.
    """
    i, j = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
    negative = labels[i] != labels[j]
    i, j = i[negative], j[negative]
    nearest = distances[i, j].topk(min(count, len(i)), largest=False).indices
    return i[nearest], j[nearest]
