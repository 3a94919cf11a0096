"""MagFace (Meng et al. 2021, 2103.06627): a margin that grows with the embedding's length."""

from __future__ import annotations

import math

from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("magface")
class MagFace(MarginHead):
    """Target logit s·cos(θ + m(a)), plus λ_g·g(a), a the embedding's length kept in [l_a, u_a].

    m(a) rises linearly from l_m to u_m, and g(a) = 1/a + a/u_a² falls. Gradients flow through a.
    """

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        norms: tuple[float, float] = (10.0, 110.0),
        margins: tuple[float, float] = (0.45, 0.8),
        regularizer: float = 35.0,
        large_angle: functional.LargeAngle = "linear",
    ) -> None:
        """The defaults are the paper's, but for the easy margin of the released code (`large_angle="easy"`).

        Args:
            embedding_size: D.
            classes: C.
            scale: s > 0.
            norms: (l_a, u_a), 0 < l_a < u_a.
            margins: (l_m, u_m), 0 ≤ l_m ≤ u_m ≤ π/2.
            regularizer: λ_g ≥ 0; 20 in some of the authors' trainings.
            large_angle: What is done where θ + m > π.
        """
        super().__init__(embedding_size, classes, scale)
        require(len(norms) == 2 and 0 < norms[0] < norms[1], "norms", norms, "two rising numbers above 0")
        fits = len(margins) == 2 and 0 <= margins[0] <= margins[1] <= math.pi / 2
        require(fits, "margins", margins, "two rising numbers between 0 and π/2 radians")
        require(regularizer >= 0, "regularizer", regularizer, "at least 0")
        functional.check_large_angle(large_angle)
        self.norms, self.margins, self.regularizer = norms, margins, regularizer
        self.large_angle: functional.LargeAngle = large_angle

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy plus the mean regulariser."""
        a = embeddings.norm(dim=1).clamp(*self.norms)
        penalty = 1 / a + a / self.norms[1] ** 2
        loss: Tensor = super().loss(embeddings, labels) + self.regularizer * penalty.mean()
        return loss

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:
        """Args: cosine: (N,). norms: (N,), the embeddings' lengths."""
        (low, high), (least, most) = self.norms, self.margins
        m = least + (most - least) / (high - low) * (norms.clamp(low, high) - low)
        return functional.arcface(cosine, m, self.large_angle)
