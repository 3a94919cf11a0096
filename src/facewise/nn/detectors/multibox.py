"""The loss of an anchor-based detector: scores, boxes and landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class AnchorTargets:
    """What the anchors of a batch should say.

    Attributes:
        labels: (N, A) int8: 1 a face, 0 none, -1 neither to be learned nor denied.
        places: (P,) int64 anchors with a face, image · A + anchor.
        boxes: (P, 4) offsets for them.
        landmarks: (P, 10) offsets for them.
        weights: (P, 10) of the landmarks: 0 where one is not seen.
    """

    labels: Tensor
    places: Tensor
    boxes: Tensor
    landmarks: Tensor
    weights: Tensor


class MultiBoxLoss(nn.Module):
    """Cross-entropy with hard negatives, smooth L1 on boxes and landmarks.

    The multi-task loss of SSD (Liu et al. 2016, 1512.02325, eq. 1) with RetinaFace's landmark term
    (1905.00641, eq. 1), binary cross-entropy for its two-class softmax. Of the anchors without a face only
    the worst count (SSD, sec. 2.2), over the whole batch, so that pictures without faces teach as well.

    Args:
        negatives: Anchors without a face for each one with, at most.
        least: And at least so many for each image.
        box_weight, landmark_weight: Beside the scores' 1.
        box_beta, landmark_beta: Where smooth L1 turns from square to straight, in offsets. Small for the
            landmarks: what counts is the last pixel.
    """

    def __init__(
        self,
        negatives: float = 7.0,
        least: int = 32,
        box_weight: float = 1.0,
        landmark_weight: float = 1.0,
        box_beta: float = 0.3,
        landmark_beta: float = 0.1,
    ) -> None:
        super().__init__()
        self.negatives, self.least = negatives, least
        self.box_weight, self.landmark_weight = box_weight, landmark_weight
        self.box_beta, self.landmark_beta = box_beta, landmark_beta

    def forward(
        self, outputs: tuple[Tensor, Tensor, Tensor], targets: AnchorTargets
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            outputs: (N, A, 4), (N, A) before the sigmoid, (N, A, 10).
            targets: What they should be.

        Returns:
            The sum, and its weighted parts: `score`, `box`, `landmark`. Each is a sum over anchors (and
            their numbers) divided by how many show a face, at least one for each image.
        """
        boxes, scores, landmarks = (out.float() for out in outputs)
        faces = max(len(targets.places), len(scores))
        found = {
            "score": self._score(scores, targets.labels) / faces,
            "box": self.box_weight
            * functional.smooth_l1_loss(
                boxes.reshape(-1, 4)[targets.places], targets.boxes, reduction="sum", beta=self.box_beta
            )
            / faces,
            "landmark": self.landmark_weight
            * (
                functional.smooth_l1_loss(
                    landmarks.reshape(-1, 10)[targets.places],
                    targets.landmarks,
                    reduction="none",
                    beta=self.landmark_beta,
                )
                * targets.weights
            ).sum()
            / faces,
        }
        return found["score"] + found["box"] + found["landmark"], found

    def _score(self, scores: Tensor, labels: Tensor) -> Tensor:
        of_faces = functional.softplus(-scores[labels == 1])
        of_none = functional.softplus(scores[labels == 0])
        wanted = max(round(self.negatives * len(of_faces)), self.least * len(scores))
        if wanted < len(of_none):
            of_none = torch.topk(of_none, wanted, sorted=False).values
        return of_faces.sum() + of_none.sum()
