"""What all losses share: their contract, full precision, a class matrix, the softmax of a margin."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from facewise.errors import SettingError

SHORTEST = 1e-6
"""Vectors shorter than this are not stretched to unit length: a dead embedding gets no exploding gradient."""


class Head(nn.Module):
    """A loss: embeddings (N, D) and labels (N,) to a scalar.

    It computes in float32 even under autocast (1 − 1e-7 is 1 in float16), and in float64 if it or the
    embeddings are.
    """

    needs_pairs: ClassVar[bool] = False
    """Whether it learns from pairs in the batch, and so needs several photos of a person in each."""

    def __init__(self, embedding_size: int, classes: int) -> None:
        """Args: embedding_size: D. classes: C, how many people there are.

        Raises:
            SettingError: Either is out of range.
        """
        super().__init__()
        require(embedding_size >= 1, "embedding_size", embedding_size, "at least 1")
        require(classes >= 2, "classes", classes, "at least 2, as a loss tells people apart")
        self.embedding_size = embedding_size
        self.classes = classes

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: (N, D), of any length: heads that need unit vectors make them.
            labels: (N,) int64 in [0, C).

        Returns:
            A scalar in float32, or float64.

        Raises:
            SettingError: The shapes do not fit the head.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embedding_size:
            raise SettingError(
                f"The loss expects embeddings of shape (N, {self.embedding_size}) and got "
                f"{tuple(embeddings.shape)}; give it the embedding_size of the backbone."
            )
        if labels.shape != embeddings.shape[:1]:
            raise SettingError(
                f"{len(embeddings)} embeddings need as many labels, not {tuple(labels.shape)}."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.loss(self.precise(embeddings), labels)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """What a head computes, in full precision; called by `forward`."""
        raise NotImplementedError

    def precise(self, tensor: Tensor) -> Tensor:
        """The tensor in float32, or in float64 if it or the head's parameters are."""
        dtype = torch.promote_types(tensor.dtype, torch.float32)
        for parameter in self.parameters(recurse=False):
            dtype = torch.promote_types(dtype, parameter.dtype)
        return tensor.to(dtype)


class PairHead(Head):
    """A loss on the pairs of a batch; `classes` is taken as by all losses, and unused."""

    needs_pairs: ClassVar[bool] = True


class ClassHead(Head):
    """A loss with one row of `weight` (C, D) a person."""

    weight: nn.Parameter

    def __init__(self, embedding_size: int, classes: int) -> None:
        """Args: embedding_size: D. classes: C."""
        super().__init__(embedding_size, classes)
        self.reset(classes)

    def reset(self, rows: int) -> None:
        """Make `weight` anew with so many rows, small and at random."""
        self.weight = nn.Parameter(torch.empty(rows, self.embedding_size))
        nn.init.normal_(self.weight, std=0.01)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Cosines (N, C) of embeddings (N, D), without margin or scale, to count accuracy from."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.cosines(unit(self.precise(embeddings)))

    def cosines(self, directions: Tensor) -> Tensor:
        """Args: directions: (N, D), unit vectors times anything. Returns: (N, C), cosines times the same."""
        return F.linear(directions, unit(self.weight.to(directions.dtype)))


class MarginHead(ClassHead):
    """Cross entropy of s·cos θ, where the true person's cosine is first made smaller by `margin`."""

    def __init__(self, embedding_size: int, classes: int, scale: float) -> None:
        """Args: scale: s, which multiplies the cosines."""
        super().__init__(embedding_size, classes)
        require(scale > 0, "scale", scale, "above 0")
        self.scale = scale

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; one (N, C) matrix besides the logits, whatever the margin."""
        norms = embeddings.norm(dim=1)
        logits = self.cosines(unit(embeddings) * self.scale)
        target = self.margin(at(logits, labels) / self.scale, norms) * self.scale
        return F.cross_entropy(put(logits, labels, target), labels)

    def margin(self, cosine: Tensor, norms: Tensor) -> Tensor:
        """What becomes of the cosine (N,) of each sample and its person.

        Args:
            cosine: (N,), the true cosines.
            norms: (N,), the lengths of the embeddings.
        """
        raise NotImplementedError


def unit(vectors: Tensor) -> Tensor:
    """(N, D) to unit length; vectors shorter than 1e-6 stay short."""
    return F.normalize(vectors, dim=1, eps=SHORTEST)


def at(logits: Tensor, labels: Tensor) -> Tensor:
    """The (N,) logits of the true people, out of (N, C)."""
    # Not `gather`, which keeps all (N, C) for its backward pass.
    return logits[torch.arange(len(labels), device=labels.device), labels]


def put(logits: Tensor, labels: Tensor, target: Tensor) -> Tensor:
    """A copy of the (N, C) logits with those of the true people replaced by `target` (N,)."""
    return logits.scatter(1, labels[:, None], target[:, None])


def require(condition: bool, option: str, value: object, allowed: str) -> None:
    """Raise a `SettingError` unless the condition holds: "scale must be above 0, not -1."."""
    if not condition:
        raise SettingError(f"{option} must be {allowed}, not {value}.")
