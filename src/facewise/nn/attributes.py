"""Age, gender, emotion and race from one crop: a small network for each group of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from facewise.errors import SettingError
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6

VIEW = (16, 112, 8, 104)
"""Rows and columns of the crop that are looked at: of a crop of 112 for recognisers, the face. What lies
around it is hair and background, which photos that are cut close, as UTKFace and FER2013, do not show."""

SIDE = VIEW[1] - VIEW[0]


class BranchOptions(TypedDict):
    """What a branch is beside its backbone: see `Branch`."""

    widths: dict[str, int]
    side: int
    frozen: int


class Branch(nn.Module):
    """A MobileFaceNet on the face alone, and a linear layer on its last features for each attribute."""

    def __init__(
        self,
        backbone: MobileFaceNetReLU6,
        widths: dict[str, int],
        *,
        side: int = SIDE,
        frozen: int = 0,
        dropout: float = 0.0,
    ) -> None:
        """Take an embedder's backbone; its weights are copied.

        Args:
            backbone: Of 112 pixels.
            widths: Attribute → numbers of its output.
            side: Pixels that the view is brought to: emotions are learned from pictures of 48.
            frozen: Blocks that do not learn, after the first convolutions; with 0 these learn as well.
            dropout: Share of features dropped before the last layers.

        Raises:
            SettingError: Too small a side, or as many frozen blocks as there are or more.
        """
        super().__init__()
        if not 32 <= side <= SIDE or side % 16:
            raise SettingError(f"A branch looks at 32, 48, 64, 80 or {SIDE} pixels, not {side}.")
        if not 0 <= frozen < len(backbone.features):
            raise SettingError(f"0 to {len(backbone.features) - 1} blocks can be frozen, not {frozen}.")
        self.side, self.widths = side, dict(widths)
        own = copy.deepcopy(backbone)
        first = [own.conv1, own.dw_conv] if frozen else []
        self.stem = nn.Sequential(*first, own.features[:frozen]).requires_grad_(requires_grad=False)
        last = [] if frozen else [own.conv1, own.dw_conv]
        self.trunk = nn.Sequential(*last, own.features[frozen:], own.conv2)
        kernel = own.gdconv.depthwise.weight.detach()
        channels, cells = kernel.shape[0], side // 16
        self.pool = nn.Conv2d(channels, channels, cells, groups=channels, bias=False)
        # The weights of the whole map, brought to the cells that are left, and as large together.
        smaller = functional.interpolate(kernel, size=(cells, cells), mode="area")
        self.pool.weight = nn.Parameter(smaller * (kernel.shape[-1] / cells) ** 2)
        self.norm = own.gdconv.bn
        self.dropout = nn.Dropout(dropout)
        heads = {name: nn.Linear(channels, width) for name, width in widths.items()}
        for head in heads.values():
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.heads = nn.ModuleDict(heads)

    def train(self, mode: bool = True) -> Branch:
        """What is frozen stays as it is in evaluation, its statistics too."""
        super().train(mode)
        self.stem.eval()
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Args: x: (N, 3, 112, 112). Returns: Attribute → (N, its width)."""
        top, bottom, left, right = VIEW
        x = x[:, :, top:bottom, left:right]
        if self.side != SIDE:
            x = functional.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        if len(self.stem) > 1:
            with torch.no_grad():
                x = self.stem(x)
        x = self.norm(self.pool(self.trunk(x))).flatten(1)
        x = self.dropout(x)
        return {name: head(x) for name, head in self.heads.items()}


class AttributeNetwork(nn.Module):
    """(N, 3, 112, 112) → an output for each attribute, in the order of the branches."""

    def __init__(
        self, backbone: MobileFaceNetReLU6, branches: Sequence[BranchOptions], *, dropout: float = 0.0
    ) -> None:
        """Branches beside each other.

        Args:
            backbone: What each begins with.
            branches: What they are.
            dropout: See `Branch`.

        Raises:
            SettingError: An option is out of range.
        """
        super().__init__()
        self.branches = nn.ModuleList(Branch(backbone, **options, dropout=dropout) for options in branches)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The attributes, in the order of the outputs."""
        return tuple(name for branch in self.branches if isinstance(branch, Branch) for name in branch.widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Args: x: (N, 3, 112, 112). Returns: For each attribute (N, its width)."""
        outputs: list[Tensor] = []
        for branch in self.branches:
            outputs += branch(x).values()
        return tuple(outputs)
