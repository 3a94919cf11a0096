"""Supervised contrastive loss (Khosla et al. 2020, 2004.11362): a person's photos against all others."""

from __future__ import annotations

import math

from torch import Tensor

from facewise.nn.losses.base import PairHead, require, unit
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("supcon")
class SupCon(PairHead):
    """Mean over anchors i of −1/|P(i)|·Σ_p log(e^(z_i·z_p/τ)/Σ_{a ≠ i} e^(z_i·z_a/τ)): L_out, eq. 2.

    Anchors are samples that share the batch with one of their person and one of another; 0, with gradient 0,
    where there is none.
    """

    def __init__(self, embedding_size: int, classes: int, temperature: float = 0.1) -> None:
        """Args: temperature: τ > 0."""
        super().__init__(embedding_size, classes)
        require(temperature > 0, "temperature", temperature, "above 0")
        self.temperature = temperature

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the anchors."""
        directions = unit(embeddings)
        same = labels[:, None] == labels
        negative = ~same
        itself = same.new_zeros(same.shape).fill_diagonal_(True)
        positive = same & ~itself
        anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero().squeeze(1)
        if len(anchors) == 0:
            return 0 * directions.sum()
        logits = directions[anchors] @ directions.T / self.temperature
        total = logits.masked_fill(itself[anchors], -math.inf).logsumexp(dim=1)
        chosen = positive[anchors].to(logits.dtype)
        return (total - (chosen * logits).sum(dim=1) / chosen.sum(dim=1)).mean()
