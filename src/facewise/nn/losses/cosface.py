"""CosFace (Wang et al. 2018, 1801.09414), AM-Softmax (Wang et al. 2018, 1801.05599): a cosine margin."""

from __future__ import annotations

from torch import Tensor

from facewise.nn.losses import functional
from facewise.nn.losses.base import MarginHead, require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("am-softmax")
@LOSSES.register("cosface")
class CosFace(MarginHead):
    """Target logit s·(cos θ − m): 1801.09414, eq. 4."""

    def __init__(self, embedding_size: int, classes: int, scale: float = 64.0, margin: float = 0.35) -> None:
        """Args: scale: s > 0. margin: m in [0, 2]; 0.40 for large noisy sets."""
        super().__init__(embedding_size, classes, scale)
        require(0 <= margin <= 2, "margin", margin, "between 0 and 2, as a cosine spans no more")
        self.margin_size = margin

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,). norms: Unused."""
        return functional.cosface(cosine, self.margin_size)
