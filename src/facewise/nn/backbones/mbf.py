"""MobileFaceNet of InsightFace, "mbf", under the key names of arcface_torch.

Chen et al. 2018, "MobileFaceNets" (1804.07573), twice as wide as its table 1 (`scale=2`) except for the last
map; the second convolution has 64 groups over 128 channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, map_side, register


class _Layers(nn.Module):
    """Layers one after another; checkpoints call them `layers`."""

    residual = False

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


def _linear(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> _Layers:
    return _Layers(nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=False), nn.BatchNorm2d(outputs))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> _Layers:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return _Layers(conv, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


class _Bottleneck(_Layers):
    """Widen, filter each channel, narrow (MobileNetV2, 1801.04381)."""

    def __init__(self, inputs: int, outputs: int, hidden: int, stride: int = 1) -> None:
        super().__init__(
            _conv(inputs, hidden), _conv(hidden, hidden, 3, stride, groups=hidden), _linear(hidden, outputs)
        )
        self.residual = stride == 1


def _stage(channels: int, hidden: int, blocks: int) -> _Layers:
    return _Layers(*(_Bottleneck(channels, channels, hidden) for _ in range(blocks)))


@register(
    BackboneInfo(
        "mbf", 112, GREY_MEAN, GREY_MEAN, "RGB", "MobileFaceNet, 1804.07573; InsightFace's arcface_torch"
    )
)
class MBF(nn.Module):
    """(N, 3, S, S) → (N, D)."""

    def __init__(
        self, embedding_size: int = 512, dropout: float = 0.0, input_size: int = 112, unit: bool = False
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
        self.layers = nn.Sequential(
            _conv(3, 128, 3, 2),
            _conv(128, 128, 3, groups=64),
            _Bottleneck(128, 128, 128, 2),
            _stage(128, 128, 4),
            _Bottleneck(128, 256, 256, 2),
            _stage(256, 256, 6),
            _Bottleneck(256, 256, 512, 2),
            _stage(256, 256, 2),
        )
        self.conv_sep = _conv(256, 512)
        self.features = _Layers(
            _linear(512, 512, side, groups=512),
            nn.Flatten(),
            nn.Linear(512, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )
        self.dropout = nn.Dropout(dropout)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        pool, flatten, linear, bn = self.features.layers
        x = self.dropout(flatten(pool(self.conv_sep(self.layers(x)))))
        return finish(x, (linear, bn), unit=self.unit)
