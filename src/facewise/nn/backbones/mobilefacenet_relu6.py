"""MobileFaceNet with ReLU6 and a depthwise-separable stem: the public 128-d variant of foamliu/MobileFaceNet.

Chen et al. 2018, "MobileFaceNets" (1804.07573), table 1, with the inverted residuals of MobileNetV2
(1801.04381). It differs from the paper in its activation (ReLU6 and ReLU for PReLU) and in the bias of the
last 1×1 convolution. Attribute names are the public checkpoint's keys.
"""

from __future__ import annotations

from torch import Tensor, nn

from facewise.nn.backbones.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneInfo,
    finish,
    initialise,
    map_side,
    register,
)

_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""(expansion, channels, blocks, stride of the first block): table 1 of the paper."""


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            _conv_bn(inputs, hidden, 1),
            _conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class _Stem(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.depthwise(x)))
        out: Tensor = self.relu(self.bn2(self.pointwise(x)))
        return out


class _GlobalDepthwise(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.depthwise(x))
        return out


@register(
    BackboneInfo(
        "mobilefacenet-relu6",
        112,
        IMAGENET_MEAN,
        IMAGENET_STD,
        "RGB",
        "MobileFaceNet, 1804.07573; foamliu/MobileFaceNet's weights",
    )
)
class MobileFaceNetReLU6(nn.Module):
    """(N, 3, S, S) → (N, D) embeddings."""

    def __init__(
        self, embedding_size: int = 128, dropout: float = 0.0, input_size: int = 112, unit: bool = False
    ) -> None:
        """A network for crops of one size.

        Args:
            embedding_size: D.
            dropout: Share of features dropped before the last convolution; as published none.
            input_size: S, in pixels.
            unit: Whether embeddings get unit length.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        side = map_side(input_size, 16)
        self.unit, self.embedding_size = unit, embedding_size
        self.conv1 = _conv_bn(3, 64, 3, 2)
        self.dw_conv = _Stem(64)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, outputs, count, stride in _STAGES:
            for i in range(count):
                blocks.append(_Bottleneck(channels, outputs, stride if i == 0 else 1, expansion))
                channels = outputs
        self.features = nn.Sequential(*blocks)
        self.conv2 = _conv_bn(channels, 512, 1)
        self.gdconv = _GlobalDepthwise(512, side)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = nn.Conv2d(512, embedding_size, 1)
        self.bn = nn.BatchNorm2d(embedding_size)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        x = self.features(self.dw_conv(self.conv1(x)))
        x = self.dropout(self.gdconv(self.conv2(x)))
        return finish(x, (self.conv3, self.bn, nn.Flatten()), unit=self.unit)
