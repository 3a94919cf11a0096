"""Inception-ResNet-v1, the network of FaceNet, under the key names of facenet-pytorch.

Szegedy et al. 2016, "Inception-v4, Inception-ResNet" (1602.07261), figures 10 to 14 for the blocks;
Schroff et al. 2015, "FaceNet" (1503.03832), for the unit embedding. The public weights take 160×160 crops
of the box and a margin, not 5-point ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.errors import SettingError
from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, register

_SMALLEST = 75
"""Pixels a crop needs for the last map to have one."""


class _Conv(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class _Residual(nn.Module):
    """Branches side by side, a 1×1 convolution, and a share of it added to the input."""

    def __init__(
        self, channels: int, widths: int, scale: float, *branches: nn.Module, activate: bool = True
    ) -> None:
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)
        self.conv2d = nn.Conv2d(widths, channels, 1)
        self.scale, self.activate, self._count = scale, activate, len(branches)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"branch{i}")(x) for i in range(self._count)]
        out: Tensor = x + self.scale * self.conv2d(torch.cat(parts, 1))
        return F.relu(out) if self.activate else out


class _Reduction(nn.Module):
    """Branches of stride 2 and a max-pooling side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)
        self._count = len(branches)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"branch{i}")(x) for i in range(self._count)]
        return torch.cat([*parts, F.max_pool2d(x, 3, 2)], 1)


def _block35() -> _Residual:
    return _Residual(
        256,
        96,
        0.17,
        _Conv(256, 32, 1),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, padding=1)),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, padding=1), _Conv(32, 32, 3, padding=1)),
    )


def _block17() -> _Residual:
    deep = (
        _Conv(896, 128, 1),
        _Conv(128, 128, (1, 7), padding=(0, 3)),
        _Conv(128, 128, (7, 1), padding=(3, 0)),
    )
    return _Residual(896, 256, 0.1, _Conv(896, 128, 1), nn.Sequential(*deep))


def _block8(scale: float = 0.2, *, activate: bool = True) -> _Residual:
    deep = (
        _Conv(1792, 192, 1),
        _Conv(192, 192, (1, 3), padding=(0, 1)),
        _Conv(192, 192, (3, 1), padding=(1, 0)),
    )
    return _Residual(1792, 384, scale, _Conv(1792, 192, 1), nn.Sequential(*deep), activate=activate)


@register(
    BackboneInfo(
        "inception-resnet-v1",
        160,
        GREY_MEAN,
        (128.0, 128.0, 128.0),
        "RGB",
        "FaceNet, 1503.03832; facenet-pytorch's weights, box + margin crops",
    )
)
class InceptionResNetV1(nn.Module):
    """(N, 3, H, W) of any size from 75 pixels → (N, D)."""

    def __init__(
        self, embedding_size: int = 512, dropout: float = 0.6, input_size: int = 160, unit: bool = True
    ) -> None:
        """A network for crops of any size.

        Args:
            embedding_size: D.
            dropout: Share of features dropped before the last linear layer.
            input_size: Side of the crops in pixels; only looked at to refuse one that is too small.
            unit: Whether embeddings get unit length.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        if input_size < _SMALLEST:
            raise SettingError(f"An input_size of {input_size} px is too small; give at least {_SMALLEST}.")
        self.unit, self.embedding_size = unit, embedding_size
        self.conv2d_1a = _Conv(3, 32, 3, 2)
        self.conv2d_2a = _Conv(32, 32, 3)
        self.conv2d_2b = _Conv(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = _Conv(64, 80, 1)
        self.conv2d_4a = _Conv(80, 192, 3)
        self.conv2d_4b = _Conv(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Reduction(
            _Conv(256, 384, 3, 2),
            nn.Sequential(_Conv(256, 192, 1), _Conv(192, 192, 3, padding=1), _Conv(192, 256, 3, 2)),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Reduction(
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 384, 3, 2)),
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, 2)),
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, padding=1), _Conv(256, 256, 3, 2)),
        )
        self.repeat_3 = nn.Sequential(*(_block8() for _ in range(5)))
        self.block8 = _block8(1.0, activate=False)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1792, embedding_size, bias=False)
        self.last_bn = nn.BatchNorm1d(embedding_size, eps=1e-3)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, H, W). Returns: (N, D)."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        x = self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return finish(x, (self.last_linear, self.last_bn), unit=self.unit)
