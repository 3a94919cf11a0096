"""SphereFace-R (Liu et al. 2021, "SphereFace Revived", 2109.05565): angles multiplied in three ways."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from facewise.errors import SettingError
from facewise.nn.losses import functional
from facewise.nn.losses.base import ClassHead, at, put, require, unit
from facewise.nn.losses.registry import LOSSES

Version = Literal["v0", "v1", "v2"]


@LOSSES.register("sphereface-r")
class SphereFaceR(ClassHead):
    """Hard feature normalisation, and one of three multiplicative margins.

    - `v0`: target logit s·ψ(θ), as SphereFace's;
    - `v1`: target logit s·cos(min(mθ, π));
    - `v2`: target logit s·cos θ, and other logits s·cos(θ/m): the margin is on the other people.

    The paper detaches the margin's part of the gradient; here the true function is differentiated by
    default.
    """

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 30.0,
        margin: float = 1.4,
        version: Version = "v2",
        detach: bool = False,
    ) -> None:
        """The defaults are those the authors released.

        Args:
            embedding_size: D.
            classes: C.
            scale: s > 0.
            margin: m ≥ 1.
            version: Which margin.
            detach: Whether the margin's part of the gradient is dropped (the paper's "characteristic gradient
                detachment"): values are the same, gradients those of s·cos θ.
        """
        super().__init__(embedding_size, classes)
        require(scale > 0, "scale", scale, "above 0")
        require(margin >= 1, "margin", margin, "at least 1, as it multiplies the angle")
        if version not in get_args(Version):
            raise SettingError(f"version must be one of {', '.join(get_args(Version))}, not {version!r}.")
        self.scale, self.margin_size, self.version, self.detach = scale, margin, version, detach

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy."""
        cosines = self.cosines(unit(embeddings))
        margined = self._margined(cosines.detach() if self.detach else cosines, labels)
        if self.detach:
            margined = margined + (cosines - cosines.detach())
        return F.cross_entropy(margined * self.scale, labels)

    def _margined(self, cosines: Tensor, labels: Tensor) -> Tensor:
        cosine = at(cosines, labels)
        if self.version == "v2":
            return put((functional.angle(cosines) / self.margin_size).cos(), labels, cosine)
        if self.version == "v1":
            target = (functional.angle(cosine) * self.margin_size).clamp(max=math.pi).cos()
        else:
            target = functional.sphereface(cosine, self.margin_size)
        return put(cosines, labels, target)
