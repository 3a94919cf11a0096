"""Age, gender, emotion and race from one crop: a stem that all share, and a branch for each group of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from facewise.errors import SettingError
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6


class Branch(nn.Module):
    """The later blocks of a MobileFaceNet, and a linear layer on its last features for each attribute."""

    def __init__(
        self, backbone: MobileFaceNetReLU6, shared: int, widths: Mapping[str, int], dropout: float = 0.0
    ) -> None:
        """Take the blocks of a backbone; they are copied.

        Args:
            backbone: An embedder's.
            shared: Blocks that are the stem's.
            widths: Attribute → numbers of its output.
            dropout: Share of features dropped before the last layers.
        """
        super().__init__()
        self.features = copy.deepcopy(backbone.features[shared:])
        self.conv2 = copy.deepcopy(backbone.conv2)
        self.gdconv = copy.deepcopy(backbone.gdconv)
        self.dropout = nn.Dropout(dropout)
        length = backbone.conv3.in_channels
        heads = {name: nn.Linear(length, width) for name, width in widths.items()}
        for head in heads.values():
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.widths = dict(widths)
        self.heads = nn.ModuleDict(heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Args: x: The stem's features. Returns: Attribute → (N, its width)."""
        x = self.gdconv(self.conv2(self.features(x))).flatten(1)
        x = self.dropout(x)
        return {name: head(x) for name, head in self.heads.items()}


class AttributeNetwork(nn.Module):
    """(N, 3, 112, 112) → an output for each attribute, in the order of the branches."""

    def __init__(
        self,
        backbone: MobileFaceNetReLU6,
        branches: Sequence[Mapping[str, int]],
        *,
        shared: int = 5,
        dropout: float = 0.0,
    ) -> None:
        """Split an embedder's backbone; its weights are copied.

        Args:
            backbone: What to begin with.
            branches: For each, attribute → numbers of its output.
            shared: Blocks of the backbone that all branches share, besides its first convolutions.
            dropout: See `Branch`.

        Raises:
            SettingError: No branch, or as many shared blocks as there are or more.
        """
        super().__init__()
        if not branches or not 0 <= shared < len(backbone.features):
            raise SettingError(
                f"A network of attributes has a branch at least and shares 0 to "
                f"{len(backbone.features) - 1} blocks, not {shared}."
            )
        self.stem = nn.Sequential(
            copy.deepcopy(backbone.conv1),
            copy.deepcopy(backbone.dw_conv),
            copy.deepcopy(backbone.features[:shared]),
        )
        self.branches = nn.ModuleList(Branch(backbone, shared, widths, dropout) for widths in branches)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The attributes, in the order of the outputs."""
        return tuple(name for branch in self.branches if isinstance(branch, Branch) for name in branch.widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Args: x: (N, 3, 112, 112). Returns: For each attribute (N, its width)."""
        x = self.stem(x)
        outputs: list[Tensor] = []
        for branch in self.branches:
            outputs += branch(x).values()
        return tuple(outputs)
