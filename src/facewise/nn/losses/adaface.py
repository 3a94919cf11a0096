"""AdaFace (Kim et al. 2022, 2204.00964): the margin follows quality, told by the embedding's length."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.distributed import mean_over_ranks
from facewise.nn.losses.registry import LOSSES

_SHORTEST, _LONGEST = 1e-3, 100.0
"""Lengths are kept between these before they are standardised, as in the authors' code."""


@LOSSES.register("adaface")
class AdaFace(MarginHead):
    """Target logit s·(cos(θ − m·ẑ) − m·ẑ − m), ẑ = clip(h·(‖x‖ − μ)/σ, −1, 1).

    μ and σ are the buffers `mean` and `std`: moving averages over batches, averaged over ranks, which move in
    training mode, before they are used. No gradient flows through ẑ.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.4,
        h: float = 0.333,
        ema: float = 0.01,
    ) -> None:
        """Args: scale: s > 0. margin: m in [0, π/2]. h: Above 0. ema: A batch's weight in μ and σ."""
        super().__init__(embedding_size, classes, scale)
        require(0 <= margin <= math.pi / 2, "margin", margin, "between 0 and π/2 radians")
        require(h > 0, "h", h, "above 0")
        require(0 < ema <= 1, "ema", ema, "above 0 and at most 1")
        self.margin_size, self.h, self.ema = margin, h, ema
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("std", torch.tensor(100.0))

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:
        """Args: cosine: (N,). norms: (N,), the embeddings' lengths; moves μ and σ in training mode."""
        norms = norms.detach().clamp(_SHORTEST, _LONGEST)
        if self.training:
            self._follow(norms)
        quality = ((norms - self.mean) / (self.std + _SHORTEST) * self.h).clamp(-1, 1)
        return functional.adaface(cosine, self.margin_size, quality)

    def _follow(self, norms: Tensor) -> None:
        # One sample has no deviation: σ stays, but this rank still takes part in the mean over ranks.
        std = norms.std() if len(norms) > 1 else self.std.to(norms.dtype)
        mean, std = mean_over_ranks(torch.stack([norms.mean(), std])).to(self.mean.dtype)
        self.mean.lerp_(mean, self.ema)
        self.std.lerp_(std, self.ema)
