"""SphereFace or A-Softmax (Liu et al. 2017, 1704.08063): the angle multiplied, annealed from none."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses import functional
from facewise.nn.losses.base import SHORTEST, ClassHead, at, put, require
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("sphereface")
class SphereFace(ClassHead):
    """Target logit ‖x‖·(λ·cos θ + ψ(θ))/(1 + λ), others ‖x‖·cos θ: eq. 7 and the authors' annealing.

    λ = max(lambda_min, lambda_base/(1 + lambda_gamma·t)) after t batches in training mode; t is the
    buffer `step`.
    """

    step: Tensor

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        margin: float = 4.0,
        lambda_base: float = 1000.0,
        lambda_gamma: float = 0.12,
        lambda_min: float = 5.0,
    ) -> None:
        """The defaults are those of the authors' training.

        Args:
            embedding_size: D.
            classes: C.
            margin: m ≥ 1, which multiplies the angle.
            lambda_base: λ of the first batch.
            lambda_gamma: How fast λ falls.
            lambda_min: What λ falls to; 0 for the pure margin.
        """
        super().__init__(embedding_size, classes)
        require(margin >= 1, "margin", margin, "at least 1, as it multiplies the angle")
        require(lambda_min >= 0, "lambda_min", lambda_min, "at least 0")
        require(lambda_base >= 0, "lambda_base", lambda_base, "at least 0")
        require(lambda_gamma >= 0, "lambda_gamma", lambda_gamma, "at least 0")
        self.margin_size = margin
        self.lambda_base, self.lambda_gamma, self.lambda_min = lambda_base, lambda_gamma, lambda_min
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; moves `step` on in training mode."""
        # A copy: what the graph holds must not change with the next batch.
        blend = (self.lambda_base / (1 + self.lambda_gamma * self.step)).clamp(min=self.lambda_min)
        if self.training:
            self.step += 1
        logits = self.cosines(embeddings)
        norms = embeddings.norm(dim=1).clamp(min=SHORTEST)
        cosine = at(logits, labels) / norms
        psi = functional.sphereface(cosine, self.margin_size)
        target = norms * (blend * cosine + psi) / (1 + blend)
        return F.cross_entropy(put(logits, labels, target), labels)
