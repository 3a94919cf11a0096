"""Sub-center ArcFace (Deng et al., ECCV 2020): several centres a person, so that noise finds its own."""

from __future__ import annotations

from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.arcface import ArcFace
from facewise.nn.losses.base import require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("subcenter-arcface")
class SubcenterArcFace(ArcFace):
    """ArcFace on the cosine of the nearest of K centres. `weight` is (C·K, D), a person's rows adjacent."""

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        large_angle: functional.LargeAngle = "linear",
        centers: int = 3,
    ) -> None:
        """Args: scale: s > 0. margin: m in [0, π/2]. large_angle: Where θ + m > π. centers: K."""
        super().__init__(embedding_size, classes, scale, margin, large_angle)
        require(centers >= 1, "centers", centers, "at least 1")
        self.centers = centers
        self.reset(classes * centers)

    def cosines(self, directions: Tensor) -> Tensor:
        """Args: directions: (N, D). Returns: (N, C), the greatest over a person's centres."""
        every = super().cosines(directions)
        return every.view(len(every), self.classes, self.centers).max(dim=2).values
