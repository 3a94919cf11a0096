"""RetinaFace with a MobileNetV1-0.25 body: the public network of biubug6/Pytorch_Retinaface.

Deng et al. 2019, "RetinaFace: Single-stage Dense Face Localisation in the Wild" (1905.00641): a feature
pyramid, SSH context modules (Najibi et al. 2017, 1708.03979) and three heads over two anchors a cell.
Attribute names are the public checkpoint's keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.1
_ANCHORS = 2
_WIDTH = 64


def _conv_bn(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.LeakyReLU(_SLOPE)) if relu else nn.Sequential(*layers)


def _depthwise(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(_SLOPE),
    )


class _Body(nn.Module):
    """MobileNetV1 at a quarter of its width; features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv_bn(3, 8, stride=2),
            _depthwise(8, 16, 1),
            _depthwise(16, 32, 2),
            _depthwise(32, 32, 1),
            _depthwise(32, 64, 2),
            _depthwise(64, 64, 1),
        )
        self.stage2 = nn.Sequential(_depthwise(64, 128, 2), *(_depthwise(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(_depthwise(128, 256, 2), _depthwise(256, 256, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return fine, middle, self.stage3(middle)


class _Pyramid(nn.Module):
    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.output1 = _conv_bn(channels[0], _WIDTH, 1)
        self.output2 = _conv_bn(channels[1], _WIDTH, 1)
        self.output3 = _conv_bn(channels[2], _WIDTH, 1)
        self.merge1 = _conv_bn(_WIDTH, _WIDTH)
        self.merge2 = _conv_bn(_WIDTH, _WIDTH)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = self.output1(features[0]), self.output2(features[1]), self.output3(features[2])
        middle = self.merge2(middle + functional.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merge1(fine + functional.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return fine, middle, coarse


class _Context(nn.Module):
    """The SSH module: receptive fields of 3, 5 and 7 side by side."""

    def __init__(self) -> None:
        super().__init__()
        quarter = _WIDTH // 4
        self.conv3X3 = _conv_bn(_WIDTH, _WIDTH // 2, relu=False)
        self.conv5X5_1 = _conv_bn(_WIDTH, quarter)
        self.conv5X5_2 = _conv_bn(quarter, quarter, relu=False)
        self.conv7X7_2 = _conv_bn(quarter, quarter)
        self.conv7x7_3 = _conv_bn(quarter, quarter, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        branches = (self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared)))
        return functional.relu(torch.cat(branches, dim=1))


class _Head(nn.Module):
    """One 1×1 convolution to `width` numbers an anchor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.conv1x1 = nn.Conv2d(_WIDTH, _ANCHORS * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1x1(x)
        return out.permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.width)


class RetinaFace(nn.Module):
    """(N, 3, H, W) BGR minus mean → box offsets (N, A, 4), face probability (N, A), landmarks (N, A, 10).

    Anchors run over strides 8, 16, 32, then rows, then columns, then the two sizes of a stride.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = _Body()
        self.fpn = _Pyramid((64, 128, 256))
        self.ssh1, self.ssh2, self.ssh3 = _Context(), _Context(), _Context()
        self.ClassHead = nn.ModuleList(_Head(2) for _ in range(3))
        self.BboxHead = nn.ModuleList(_Head(4) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(_Head(10) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: x: (N, 3, H, W). Returns: (N, A, 4), (N, A), (N, A, 10)."""
        fine, middle, coarse = self.fpn(self.body(x))
        features = (self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse))

        def heads(modules: nn.ModuleList) -> Tensor:
            return torch.cat([head(f) for head, f in zip(modules, features, strict=True)], dim=1)

        return heads(self.BboxHead), heads(self.ClassHead).softmax(dim=-1)[..., 1], heads(self.LandmarkHead)
