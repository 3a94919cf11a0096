"""CurricularFace (Huang et al. 2020, 2004.00288): hard negatives weigh more as training goes on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses import functional
from facewise.nn.losses.base import ClassHead, at, put, require, unit
from facewise.nn.losses.distributed import mean_over_ranks
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("curricularface")
class CurricularFace(ClassHead):
    """Target logit s·cos(θ_y + m); other logits s·cos θ, or s·cos θ·(t + cos θ) where that is passed.

    The paper's T(cos θ_y) and N(t, cos θ). t is the buffer `curriculum`: a moving average of the batch's mean
    cos θ_y, averaged over ranks, from 0; it moves in training mode, before it is used.
    """

    curriculum: Tensor

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        ema: float = 0.01,
        large_angle: functional.LargeAngle = "linear",
    ) -> None:
        """The defaults are the paper's.

        Args:
            embedding_size: D.
            classes: C.
            scale: s > 0.
            margin: m in [0, π/2].
            ema: Weight of a batch in t, in (0, 1].
            large_angle: What is done where θ + m > π.
        """
        super().__init__(embedding_size, classes)
        require(scale > 0, "scale", scale, "above 0")
        require(0 <= margin <= math.pi / 2, "margin", margin, "between 0 and π/2 radians")
        require(0 < ema <= 1, "ema", ema, "above 0 and at most 1")
        functional.check_large_angle(large_angle)
        self.scale, self.margin_size, self.ema = scale, margin, ema
        self.large_angle: functional.LargeAngle = large_angle
        self.register_buffer("curriculum", torch.zeros(()))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; moves `curriculum` in training mode."""
        cosines = self.cosines(unit(embeddings))
        cosine = at(cosines, labels)
        if self.training:
            mean = mean_over_ranks(cosine.mean()).to(self.curriculum.dtype)
            self.curriculum.lerp_(mean, self.ema)
        target = functional.arcface(cosine, self.margin_size, self.large_angle)
        hard = cosines > target[:, None]
        weighted = torch.where(hard, cosines * (self.curriculum + cosines), cosines)
        return F.cross_entropy(put(weighted, labels, target) * self.scale, labels)
