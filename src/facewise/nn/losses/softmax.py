"""Softmax: cross entropy of a plain linear classifier, the baseline of all others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses.base import ClassHead
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("softmax")
class Softmax(ClassHead):
    """Cross entropy of W·x + b; nothing is normalised."""

    def __init__(self, embedding_size: int, classes: int, bias: bool = True) -> None:
        """Args: bias: Whether there is a b."""
        super().__init__(embedding_size, classes)
        bound = 1 / math.sqrt(embedding_size)
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(classes)) if bias else None

    def cosines(self, directions: Tensor) -> Tensor:
        """Not cosines here: (N, C) logits W·x + b of embeddings (N, D)."""
        bias = None if self.bias is None else self.bias.to(directions.dtype)
        return F.linear(directions, self.weight.to(directions.dtype), bias)

    def logits(self, embeddings: Tensor) -> Tensor:
        """The (N, C) logits W·x + b."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.cosines(self.precise(embeddings))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy."""
        return F.cross_entropy(self.cosines(embeddings), labels)
