"""Facewise's own small face detector: boxes and five landmarks in one pass, quick on a CPU.

RetinaFace's outputs and anchors (Deng et al. 2019, 1905.00641) from a body of depthwise separable
convolutions (Howard et al. 2017, 1704.04861) with residuals, a feature pyramid (Lin et al. 2017, 1612.03144)
and two blocks a level. At stride 8 both are depthwise, where the public network's 64-channel 3×3 convolutions
take most of its time; at strides 16 and 32, where cells are few, the first is a plain 3×3 convolution, which
brings landmarks nearer for little time. Plain ReLU everywhere, so that it quantises well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
MIN_SIZES = ((16, 32), (64, 128), (256, 512))
VARIANCES = (0.1, 0.2)
"""RetinaFace's anchors and offsets, which the `retinaface` decoder reads."""

_NUMBERS = 15
"""An anchor: 4 of the box, 1 score, 10 of the landmarks."""

_SCORE = 4
_FIRST_SCORE = 0.01
"""Of every anchor before training: most show no face (Lin et al. 2017, 1708.02002, sec. 3.3)."""


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, inputs, 3, stride, inputs), _conv(inputs, outputs))


class _Residual(nn.Module):
    """A depthwise and a pointwise convolution beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = _conv(channels, channels, 3, 1, channels)
        self.pointwise = _conv(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.pointwise(self.depthwise(x)))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Half the resolution."""
    return nn.Sequential(_separable(inputs, outputs, 2), *(_Residual(outputs) for _ in range(blocks)))


class SmallDetector(nn.Module):
    """(N, 3, H, W) → box offsets (N, A, 4), face probability (N, A), landmark offsets (N, A, 10).

    Anchors run over strides 8, 16, 32, then rows, then columns, then the two sizes of a stride; a stride has
    ⌈H/stride⌉ × ⌈W/stride⌉ cells, so any H and W will do.

    Args:
        stem: Channels at stride 2.
        channels: At strides 4, 8, 16 and 32.
        blocks: Residual blocks after the first of each of these.
        pyramid: Channels of the pyramid at strides 8, 16 and 32.
    """

    def __init__(
        self,
        stem: int = 16,
        channels: Sequence[int] = (32, 64, 128, 160),
        blocks: Sequence[int] = (0, 2, 5, 3),
        pyramid: Sequence[int] = (48, 96, 80),
    ) -> None:
        super().__init__()
        widths = (stem, *channels)
        self.stem = _conv(3, stem, 3, 2)
        self.stages = nn.ModuleList(_stage(widths[i], widths[i + 1], blocks[i]) for i in range(4))
        fine, middle, coarse = pyramid
        self.lateral = nn.ModuleList(
            [
                _conv(channels[1], fine, relu=False),
                _conv(channels[2], middle, relu=False),
                _conv(channels[3], coarse),
            ]
        )
        self.down = nn.ModuleList([_conv(middle, fine, relu=False), _conv(coarse, middle, relu=False)])
        self.merge = _separable(middle, middle)
        self.towers = nn.ModuleList(
            nn.Sequential(
                _separable(width, width) if i == 0 else _conv(width, width, 3), _separable(width, width)
            )
            for i, width in enumerate(pyramid)
        )
        self.outputs = nn.ModuleList(nn.Conv2d(width, len(MIN_SIZES[0]) * _NUMBERS, 1) for width in pyramid)
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(output.bias)  # type: ignore[arg-type]
        self.shift_scores(math.log(_FIRST_SCORE / (1 - _FIRST_SCORE)))

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, but scores before the sigmoid."""
        return self.read(self.features(x))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the answers are read from: (N, `pyramid`, H/stride, W/stride) at each stride."""
        fine = self.stages[1](self.stages[0](self.stem(x)))
        middle = self.stages[2](fine)
        coarse = self.lateral[2](self.stages[3](middle))
        middle = self.merge(functional.relu(self.lateral[1](middle) + _grown(self.down[1](coarse), middle)))
        fine = functional.relu(self.lateral[0](fine) + _grown(self.down[0](middle), fine))
        return self.towers[0](fine), self.towers[1](middle), self.towers[2](coarse)

    def read(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """`logits` of `features`."""
        numbers = torch.cat(
            [
                output(level).permute(0, 2, 3, 1).reshape(level.shape[0], -1, _NUMBERS)
                for output, level in zip(self.outputs, features, strict=True)
            ],
            dim=1,
        )
        return numbers[..., :_SCORE], numbers[..., _SCORE], numbers[..., _SCORE + 1 :]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: x: (N, 3, H, W). Returns: (N, A, 4), (N, A), (N, A, 10)."""
        boxes, scores, landmarks = self.logits(x)
        return boxes, scores.sigmoid(), landmarks

    @torch.no_grad()
    def shift_scores(self, by: float) -> None:
        """Add to all scores before the sigmoid: it moves the threshold and changes no order."""
        for output in self.outputs:
            bias: Tensor = output.bias  # type: ignore[assignment]
            bias[_SCORE::_NUMBERS] += by


def _grown(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")
