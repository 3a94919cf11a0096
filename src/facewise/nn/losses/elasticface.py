"""ElasticFace (Boutros et al. 2022, 2109.09416): ArcFace and CosFace with a margin drawn for each sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.registry import LOSSES


class _Elastic(MarginHead):
    """Draws margins from N(m, σ) with PyTorch's global generator; in evaluation mode the margin is m."""

    def __init__(
        self, embedding_size: int, classes: int, scale: float, margin: float, sigma: float, plus: bool
    ) -> None:
        super().__init__(embedding_size, classes, scale)
        require(sigma >= 0, "sigma", sigma, "at least 0")
        self.margin_size, self.sigma, self.plus = margin, sigma, plus

    def draw(self, cosine: Tensor) -> Tensor:
        """A margin for each sample, (N,): with `plus`, larger ones for those farther from their person."""
        if not self.training:
            return torch.full_like(cosine, self.margin_size)
        margins = torch.randn_like(cosine) * self.sigma + self.margin_size
        if not self.plus:
            return margins
        nearest_first = cosine.detach().argsort(descending=True)
        return torch.empty_like(margins).scatter_(0, nearest_first, margins.sort().values)


@LOSSES.register("elasticface-arc")
class ElasticArcFace(_Elastic):
    """Target logit s·cos(θ + m_i), m_i ~ N(m, σ)."""

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        sigma: float = 0.0125,
        plus: bool = False,
        large_angle: functional.LargeAngle = "linear",
    ) -> None:
        """The defaults are the paper's.

        Args:
            embedding_size: D.
            classes: C.
            scale: s > 0.
            margin: Mean m in [0, π/2].
            sigma: Standard deviation σ ≥ 0; 0.0175 in the paper with `plus`.
            plus: ElasticFace+: the margins drawn are sorted, the largest for the sample farthest from its
                person.
            large_angle: What is done where θ + m > π.
        """
        super().__init__(embedding_size, classes, scale, margin, sigma, plus)
        require(0 <= margin <= math.pi / 2, "margin", margin, "between 0 and π/2 radians")
        functional.check_large_angle(large_angle)
        self.large_angle: functional.LargeAngle = large_angle

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,). norms: Unused."""
        return functional.arcface(cosine, self.draw(cosine), self.large_angle)


@LOSSES.register("elasticface-cos")
class ElasticCosFace(_Elastic):
    """Target logit s·(cos θ − m_i), m_i ~ N(m, σ)."""

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.35,
        sigma: float = 0.0125,
        plus: bool = False,
    ) -> None:
        """Args: scale: s > 0. margin: Mean m in [0, 2]. sigma: σ ≥ 0. plus: ElasticFace+, with σ 0.025."""
        super().__init__(embedding_size, classes, scale, margin, sigma, plus)
        require(0 <= margin <= 2, "margin", margin, "between 0 and 2, as a cosine spans no more")

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,). norms: Unused."""
        return functional.cosface(cosine, self.draw(cosine))
