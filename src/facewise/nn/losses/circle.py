"""Circle loss (Sun et al. 2020, 2002.10857): similarities weigh by how far from their place they are."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses.base import ClassHead, PairHead, at, put, require, unit
from facewise.nn.losses.registry import LOSSES


@LOSSES.register("circle")
class Circle(ClassHead):
    """log(1 + Σ_j exp(γ·α_n(s_j − m))·exp(−γ·α_p(s_y − 1 + m))) with class labels: eq. 6.

    α_p = [1 + m − s_y]₊ and α_n = [s_j + m]₊ (eq. 5 with O_p = 1 + m, O_n = −m) are weights: no
    gradient flows through them.
    """

    def __init__(self, embedding_size: int, classes: int, gamma: float = 256.0, margin: float = 0.25) -> None:
        """Args: gamma: γ > 0, the scale. margin: m in [0, 1]."""
        super().__init__(embedding_size, classes)
        _check(gamma, margin)
        self.gamma, self.margin_size = gamma, margin

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples: as a cross entropy, which it is where one similarity is the true one."""
        cosines = self.cosines(unit(embeddings))
        target = _positive(at(cosines, labels), self.margin_size)
        return F.cross_entropy(put(_negative(cosines, self.margin_size), labels, target) * self.gamma, labels)


@LOSSES.register("circle-pair")
class CirclePair(PairHead):
    """The mean of the circle loss over anchors, their similarities those to the rest of the batch: eq. 6.

    Anchors are samples that share the batch with one of their person and one of another; 0, with gradient 0,
    where there is none.
    """

    def __init__(self, embedding_size: int, classes: int, gamma: float = 256.0, margin: float = 0.25) -> None:
        """Args: gamma: γ > 0, the scale. margin: m in [0, 1]."""
        super().__init__(embedding_size, classes)
        _check(gamma, margin)
        self.gamma, self.margin_size = gamma, margin

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the anchors."""
        directions = unit(embeddings)
        same = labels[:, None] == labels
        negative = ~same
        positive = same.fill_diagonal_(False)
        anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero().squeeze(1)
        if len(anchors) == 0:
            return 0 * directions.sum()
        cosines = directions[anchors] @ directions.T
        attract = -self.gamma * _positive(cosines, self.margin_size)
        repel = self.gamma * _negative(cosines, self.margin_size)
        attract = attract.masked_fill(~positive[anchors], -math.inf).logsumexp(dim=1)
        repel = repel.masked_fill(~negative[anchors], -math.inf).logsumexp(dim=1)
        return F.softplus(attract + repel, threshold=40).mean()


def _check(gamma: float, margin: float) -> None:
    require(gamma > 0, "gamma", gamma, "above 0")
    require(0 <= margin <= 1, "margin", margin, "between 0 and 1")


def _positive(cosines: Tensor, margin: float) -> Tensor:
    return (1 + margin - cosines.detach()).relu() * (cosines - (1 - margin))


def _negative(cosines: Tensor, margin: float) -> Tensor:
    return (cosines.detach() + margin).relu() * (cosines - margin)
