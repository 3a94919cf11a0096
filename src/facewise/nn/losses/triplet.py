"""Triplet loss (FaceNet, Schroff et al. 2015, 1503.03832): a person's photos nearer than others', by α."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.errors import SettingError
from facewise.nn.losses import miners
from facewise.nn.losses.base import PairHead, require, unit
from facewise.nn.losses.distances import roots, squared_distances
from facewise.nn.losses.registry import LOSSES

Mining = Literal["all", "semi-hard", "batch-hard"]


@LOSSES.register("triplet")
class Triplet(PairHead):
    """Mean of [d²(a, p) − d²(a, n) + α]₊ over the batch's triplets, on unit vectors: eq. 3.

    0, with gradient 0, where the batch has no triplet.
    """

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        margin: float = 0.2,
        mining: Mining = "semi-hard",
        squared: bool = True,
        soft: bool = False,
        active_only: bool = False,
    ) -> None:
        """The defaults are FaceNet's; Hermans et al. 2017 use `batch-hard`, not squared, soft.

        Args:
            embedding_size: D.
            classes: C, unused.
            margin: α ≥ 0; unused where `soft`.
            mining: Which triplets: all, or `miners.semi_hard`'s, or `miners.batch_hard`'s.
            squared: Whether distances are squared (FaceNet) or not (Hermans et al.).
            soft: Whether the hinge is the softplus log(1 + e^(d(a, p) − d(a, n))), which has no margin
                (1703.07737, sec. 2).
            active_only: Whether triplets that already hold are left out of the mean.
        """
        super().__init__(embedding_size, classes)
        require(margin >= 0, "margin", margin, "at least 0")
        if mining not in get_args(Mining):
            raise SettingError(f"mining must be one of {', '.join(get_args(Mining))}, not {mining!r}.")
        self.margin_size, self.mining, self.squared = margin, mining, squared
        self.soft, self.active_only = soft, active_only

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the triplets."""
        distances = squared_distances(unit(embeddings))
        anchors, positives, negatives = self._mine(distances.detach(), labels)
        if not self.squared:
            distances = roots(distances)
        excess = distances[anchors, positives] - distances[anchors, negatives]
        each = F.softplus(excess) if self.soft else (excess + self.margin_size).relu()
        if self.active_only:
            each = each[each > 0]
        return each.mean() if len(each) else 0 * distances.sum()

    def _mine(self, distances: Tensor, labels: Tensor) -> miners.Triplets:
        if self.mining == "all":
            return miners.all_triplets(labels)
        mine = miners.semi_hard if self.mining == "semi-hard" else miners.batch_hard
        return mine(distances, labels)
