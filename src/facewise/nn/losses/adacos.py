"""AdaCos (Zhang et al. 2019, 1905.00292): the softmax of cosines whose scale follows the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses.base import ClassHead, at, put, require, unit
from facewise.nn.losses.distributed import log_mean_over_ranks, mean_over_ranks
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("adacos")
class AdaCos(ClassHead):
    """Logits s·cos θ with s = log(B_avg)/cos(min(π/4, θ_med)), starting from √2·ln(C − 1).

    B_avg is the batch's mean of Σ exp(s·cos θ) over the other people, θ_med the median angle to the true one;
    both are averaged over ranks. s is the buffer `scale`, which moves in training mode, before it is used.
    """

    scale: Tensor

    def __init__(self, embedding_size: int, classes: int, fixed: bool = False) -> None:
        """Args: classes: C ≥ 3. fixed: Whether s stays √2·ln(C − 1), the paper's fixed AdaCos."""
        super().__init__(embedding_size, classes)
        require(classes >= 3, "classes", classes, "at least 3 for adacos, as its scale is √2·ln(classes − 1)")
        self.fixed = fixed
        start = math.sqrt(2) * math.log(classes - 1)
        self.lowest = min(1.0, start)
        self.register_buffer("scale", torch.tensor(start))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; moves `scale` in training mode."""
        cosines = self.cosines(unit(embeddings))
        scale = self._next_scale(cosines, labels) if self.training and not self.fixed else self.scale.clone()
        return F.cross_entropy(cosines * scale, labels)

    @torch.no_grad()
    def _next_scale(self, cosines: Tensor, labels: Tensor) -> Tensor:
        target = at(cosines, labels)
        others = put(cosines * self.scale, labels, torch.full_like(target, -math.inf))
        # In logarithms: exp(s·cos θ) summed over many people overflows as s grows.
        log_mean = log_mean_over_ranks(others.flatten().logsumexp(dim=0) - math.log(len(labels)))
        angle = mean_over_ranks(target.clamp(-1, 1).acos().median())
        # With few people, all of them far away, B_avg falls below 1: s must stay positive.
        scale = (log_mean / angle.clamp(max=math.pi / 4).cos()).clamp(min=self.lowest)
        self.scale.copy_(scale)
        return scale
