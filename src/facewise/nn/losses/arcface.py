"""ArcFace (Deng et al. 2019, 1801.07698): a margin on the angle."""

from __future__ import annotations

import math

from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("arcface")
class ArcFace(MarginHead):
    """Target logit s·cos(θ + m): eq. 3."""

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        large_angle: functional.LargeAngle = "linear",
    ) -> None:
        """Args: scale: s > 0. margin: m in [0, π/2]. large_angle: What is done where θ + m > π."""
        super().__init__(embedding_size, classes, scale)
        require(0 <= margin <= math.pi / 2, "margin", margin, "between 0 and π/2 radians")
        functional.check_large_angle(large_angle)
        self.margin_size = margin
        self.large_angle: functional.LargeAngle = large_angle

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,). norms: Unused."""
        return functional.arcface(cosine, self.margin_size, self.large_angle)
