"""MobileFaceNet with PReLU and a 7×7 global depthwise convolution, under its commonest key names.

Chen et al. 2018, "MobileFaceNets" (1804.07573), table 1, with 512 numbers in place of 128. TreB1eN's
InsightFace_Pytorch, face.evoLVe and FaceX-Zoo share these keys; TreB1eN's weights want BGR, face.evoLVe's
RGB.
"""

from __future__ import annotations

from torch import Tensor, nn

from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, map_side, register


class _Linear(nn.Module):
    """Convolution and batch norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class _Activated(_Linear):
    """Convolution, batch norm and PReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, groups)
        self.prelu = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(super().forward(x))
        return out


class _Bottleneck(nn.Module):
    """Widen, filter each channel, narrow (MobileNetV2, 1801.04381)."""

    def __init__(self, inputs: int, outputs: int, hidden: int, stride: int, *, residual: bool) -> None:
        super().__init__()
        self.conv = _Activated(inputs, hidden)
        self.conv_dw = _Activated(hidden, hidden, 3, stride, 1, groups=hidden)
        self.project = _Linear(hidden, outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.residual else out


class _Stage(nn.Module):
    """Residual bottlenecks of one width."""

    def __init__(self, channels: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *(_Bottleneck(channels, channels, hidden, 1, residual=True) for _ in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


@register(
    BackboneInfo(
        "mobilefacenet", 112, GREY_MEAN, GREY_MEAN, "RGB", "MobileFaceNet, 1804.07573; face.evoLVe's weights"
    )
)
class MobileFaceNet(nn.Module):
    """(N, 3, S, S) → (N, D)."""

    def __init__(
        self, embedding_size: int = 512, dropout: float = 0.0, input_size: int = 112, unit: bool = True
    ) -> None:
        """A network for crops of one size.

        Args:
            embedding_size: D.
            dropout: Share of features dropped before the last linear layer; as published none.
            input_size: S, in pixels.
            unit: Whether embeddings get unit length.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        side = map_side(input_size, 16)
        self.unit, self.embedding_size = unit, embedding_size
        self.conv1 = _Activated(3, 64, 3, 2, 1)
        self.conv2_dw = _Activated(64, 64, 3, 1, 1, groups=64)
        self.conv_23 = _Bottleneck(64, 64, 128, 2, residual=False)
        self.conv_3 = _Stage(64, 128, 4)
        self.conv_34 = _Bottleneck(64, 128, 256, 2, residual=False)
        self.conv_4 = _Stage(128, 256, 6)
        self.conv_45 = _Bottleneck(128, 128, 512, 2, residual=False)
        self.conv_5 = _Stage(128, 256, 2)
        self.conv_6_sep = _Activated(128, 512)
        self.conv_6_dw = _Linear(512, 512, side, groups=512)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(512, embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(embedding_size)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        x = self.conv_23(self.conv2_dw(self.conv1(x)))
        x = self.conv_34(self.conv_3(x))
        x = self.conv_45(self.conv_4(x))
        x = self.conv_6_dw(self.conv_6_sep(self.conv_5(x)))
        return finish(self.dropout(x.flatten(1)), (self.linear, self.bn), unit=self.unit)
