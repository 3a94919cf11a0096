"""MobileFaceNet for crops of 112×96: the public 128-d variant of Xiaoccer/MobileFaceNet_Pytorch.

Chen et al. 2018, "MobileFaceNets" (1804.07573), table 1, with the global depthwise convolution 7×6 that
SphereFace's crops need. Attribute names are the public checkpoint's keys.
"""

from __future__ import annotations

from torch import Tensor, nn

from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, map_side, register

_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""(expansion, channels, blocks, stride of the first block): table 1 of the paper."""


class _Conv(nn.Module):
    """Convolution, batch norm and, unless `linear`, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        *,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = None if linear else nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


@register(
    BackboneInfo(
        "mobilefacenet-xiaoccer",
        112,
        GREY_MEAN,
        (128.0, 128.0, 128.0),
        "RGB",
        "MobileFaceNet, 1804.07573; Xiaoccer/MobileFaceNet_Pytorch's weights, SphereFace's crops",
        input_width=96,
    )
)
class MobileFaceNetXiaoccer(nn.Module):
    """(N, 3, H, W) → (N, D)."""

    def __init__(
        self,
        embedding_size: int = 128,
        dropout: float = 0.0,
        input_size: int | tuple[int, int] = (112, 96),
        unit: bool = False,
    ) -> None:
        """A network for crops of one size.

        Args:
            embedding_size: D.
            dropout: Share of features dropped before the last convolution; as published none.
            input_size: (H, W) in pixels, or the side of square crops.
            unit: Whether embeddings get unit length.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        height, width = (input_size, input_size) if isinstance(input_size, int) else input_size
        self.unit, self.embedding_size = unit, embedding_size
        self.conv1 = _Conv(3, 64, 3, 2, 1)
        self.dw_conv1 = _Conv(64, 64, 3, 1, 1, groups=64)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, outputs, count, stride in _STAGES:
            for i in range(count):
                blocks.append(_Bottleneck(channels, outputs, stride if i == 0 else 1, expansion))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = _Conv(channels, 512)
        kernel = map_side(height, 16), map_side(width, 16)
        self.linear7 = _Conv(512, 512, kernel, groups=512, linear=True)
        self.dropout = nn.Dropout(dropout)
        self.linear1 = _Conv(512, embedding_size, linear=True)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, H, W). Returns: (N, D)."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        x = self.dropout(self.linear7(x))
        return finish(x, (self.linear1, nn.Flatten()), unit=self.unit)
