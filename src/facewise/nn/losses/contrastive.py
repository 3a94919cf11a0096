"""Contrastive loss (Hadsell et al. 2006, "Dimensionality Reduction by Learning an Invariant Mapping")."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from facewise.errors import SettingError
from facewise.nn.losses import miners
from facewise.nn.losses.base import PairHead, require, unit
from facewise.nn.losses.distances import roots, squared_distances
from facewise.nn.losses.registry import LOSSES

Negatives = Literal["all", "hard", "balanced", "given"]


@LOSSES.register("contrastive")
class Contrastive(PairHead):
    """Mean of y·d² + (1 − y)·[m − d]₊² over pairs of the batch, on unit vectors: eq. 4, without its ½.

    y is 1 for two photos of one person. Each pair counts once. 0, with gradient 0, where there is
    no pair.
    """

    def __init__(
        self, embedding_size: int, classes: int, margin: float = 1.0, negatives: Negatives = "all"
    ) -> None:
        """What the siamese networks of the literature use.

        Args:
            embedding_size: D.
            classes: C, unused.
            margin: m in (0, 2], a distance between unit vectors.
            negatives: `all` pairs of two people, of which a batch has many more than of one; or `hard`, the
                nearest ones only, as many as there are pairs of one person (at least one); or `balanced`, all
                of them, with the weight of the pairs of one person together, as if pairs were drawn evenly;
                or `given`: rows 0 and 1, 2 and 3 … are the pairs, and there are no others.
        """
        super().__init__(embedding_size, classes)
        require(0 < margin <= 2, "margin", margin, "above 0 and at most 2, the largest distance there is")
        if negatives not in get_args(Negatives):
            raise SettingError(
                f"negatives must be one of {', '.join(get_args(Negatives))}, not {negatives!r}."
            )
        self.margin_size, self.negatives = margin, negatives

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the pairs."""
        if self.negatives == "given":
            return self._given(unit(embeddings), labels)
        squares = squared_distances(unit(embeddings))
        i, j = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
        same = labels[i] == labels[j]
        positive = squares[i[same], j[same]]
        if self.negatives != "hard":
            pairs = i[~same], j[~same]
        else:
            pairs = miners.hard_negative_pairs(squares, labels, max(1, len(positive)))
        negative = (self.margin_size - roots(squares[pairs])).relu().square()
        if self.negatives == "balanced" and len(positive) and len(negative):
            return (positive.mean() + negative.mean()) / 2
        return torch.cat([positive, negative]).mean() if len(positive) + len(negative) else 0 * squares.sum()

    def _given(self, vectors: Tensor, labels: Tensor) -> Tensor:
        pairs = len(vectors) // 2 * 2  # a last photo without its partner is no pair
        squares = (vectors[0:pairs:2] - vectors[1:pairs:2]).square().sum(1)
        same = labels[0:pairs:2] == labels[1:pairs:2]
        apart = (self.margin_size - roots(squares)).relu().square()
        return torch.where(same, squares, apart).mean() if pairs else 0 * vectors.sum()
