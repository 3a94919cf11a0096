"""NormFace (Wang et al. 2017, 1704.06369): the softmax of cosines, without a margin."""

from __future__ import annotations

from torch import Tensor

from facewise.nn.losses.base import MarginHead
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("normface")
class NormFace(MarginHead):
    """Target logit s·cos θ."""

    def __init__(self, embedding_size: int, classes: int, scale: float = 30.0) -> None:
        """Args: scale: s > 0."""
        super().__init__(embedding_size, classes, scale)

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Args: cosine: (N,), returned as it is. norms: Unused."""
        return cosine
