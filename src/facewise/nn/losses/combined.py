"""The combined margin of ArcFace (Deng et al. 2019, 1801.07698, eq. 4): multiplied, added, subtracted."""

from __future__ import annotations

import math

from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("combined")
class Combined(MarginHead):
    """Target logit s·(cos(m1·θ + m2) − m3)."""

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        m1: float = 1.0,
        m2: float = 0.5,
        m3: float = 0.0,
        large_angle: functional.LargeAngle = "linear",
    ) -> None:
        """SphereFace's, ArcFace's and CosFace's margins at once.

        Args:
            embedding_size: D.
            classes: C.
            scale: s > 0.
            m1: Multiplies the angle, in [1, 4].
            m2: Added to the angle, in [0, π/2].
            m3: Subtracted from the cosine, in [0, 2].
            large_angle: What is done where m1·θ + m2 > π.
        """
        super().__init__(embedding_size, classes, scale)
        require(1 <= m1 <= 4, "m1", m1, "between 1 and 4")
        require(0 <= m2 <= math.pi / 2, "m2", m2, "between 0 and π/2 radians")
        require(0 <= m3 <= 2, "m3", m3, "between 0 and 2")
        functional.check_large_angle(large_angle)
        self.m1, self.m2, self.m3 = m1, m2, m3
        self.large_angle: functional.LargeAngle = large_angle

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,). norms: Unused."""
        return functional.combined(cosine, self.m1, self.m2, self.m3, self.large_angle)
