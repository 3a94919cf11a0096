"""SphereFace2 (Wen et al. 2022, 2108.01513): one binary question a person instead of one choice among all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from facewise.nn.losses.base import ClassHead, at, put, require, unit
from facewise.nn.losses.registry import LOSSES

_EXACT = 40.0
"""Where softplus becomes the identity: at PyTorch's own 20 float64 would lose half its digits."""


@LOSSES.register("sphereface2")
class SphereFace2(ClassHead):
    """λ/r·log(1 + e^(−r(g(cos θ_y) − m) − b)) + (1 − λ)/r·Σ_j log(1 + e^(r(g(cos θ_j) + m) + b)).

    g(z) = 2((z + 1)/2)^t − 1 spreads the similarities; the bias b is learned. The paper detaches the
    margin's and g's part of the gradient; here the true function is differentiated unless asked.
    """

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 40.0,
        margin: float = 0.4,
        balance: float = 0.7,
        power: float = 3.0,
        loss_weight: float = 50.0,
        detach: bool = False,
    ) -> None:
        """The defaults are those the authors released.

        Args:
            embedding_size: D.
            classes: C.
            scale: r > 0.
            margin: m in [0, 1].
            balance: λ in (0, 1), the weight of the true person against all the others.
            power: t ≥ 1 of g.
            loss_weight: Multiplies the loss, whose 1/r makes it small.
            detach: Whether the gradient is that of cos θ in place of g(cos θ).
        """
        super().__init__(embedding_size, classes)
        require(scale > 0, "scale", scale, "above 0")
        require(0 <= margin <= 1, "margin", margin, "between 0 and 1")
        require(0 < balance < 1, "balance", balance, "above 0 and below 1")
        require(power >= 1, "power", power, "at least 1")
        require(loss_weight > 0, "loss_weight", loss_weight, "above 0")
        self.scale, self.margin_size, self.balance = scale, margin, balance
        self.power, self.loss_weight, self.detach = power, loss_weight, detach
        self.bias = nn.Parameter(torch.tensor(self._balanced_bias()))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples of the weighted binary losses."""
        cosines = self.cosines(unit(embeddings))
        spread = self._spread(cosines.detach() if self.detach else cosines)
        if self.detach:
            spread = spread + (cosines - cosines.detach())
        bias = self.bias.to(cosines.dtype)
        questions = F.softplus(self.scale * (spread + self.margin_size) + bias, threshold=_EXACT)
        positive = F.softplus(-self.scale * (at(spread, labels) - self.margin_size) - bias, threshold=_EXACT)
        negative = put(questions, labels, torch.zeros_like(positive)).sum(dim=1)
        each = self.balance * positive + (1 - self.balance) * negative
        return self.loss_weight / self.scale * each.mean()

    def _spread(self, cosines: Tensor) -> Tensor:
        # Rounding makes cosines a little below −1, of which a power is NaN.
        return 2 * ((cosines + 1) / 2).clamp(min=0) ** self.power - 1

    def _balanced_bias(self) -> float:
        """The b at which positive and negative gradients are as large where all cosines are 0.

        With u = e^(r(g + m) + b), e = e^(−2rm) and z = λ/((1 − λ)(C − 1)) that is e·u² + (1 − z)·u − z = 0.
        """
        g = 2 * 0.5**self.power - 1
        z = self.balance / ((1 - self.balance) * (self.classes - 1))
        e = math.exp(-2 * self.scale * self.margin_size)
        root = math.sqrt((1 - z) ** 2 + 4 * z * e)
        # Either form of the positive root, whichever does not cancel.
        if z <= 1:
            u = math.log(2 * z) - math.log(1 - z + root)
        else:
            u = math.log(z - 1 + root) - math.log(2) + 2 * self.scale * self.margin_size
        bias: float = u - self.scale * (g + self.margin_size)
        return bias
