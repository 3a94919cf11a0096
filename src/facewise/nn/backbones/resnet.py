"""ResNet in the ImageNet layout and key names of torchvision, with a stem for face-sized crops.

He et al. 2016, "Deep Residual Learning" (1512.03385), table 1, with the stride of a bottleneck on its 3×3
convolution. The stem `face` is one 3×3 convolution without max-pooling: a 112×112 crop then gives a 7×7
last map, as a 224×224 photo does with the stem `imagenet`.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from facewise.errors import SettingError
from facewise.nn.backbones.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneInfo,
    Pooled,
    initialise,
    map_side,
    register,
)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class _Basic(nn.Module):
    """Two 3×3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + (x if self.downsample is None else self.downsample(x))
        result: Tensor = self.relu(out)
        return result


class _Bottleneck(nn.Module):
    """Narrow, 3×3 convolution, widen."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + (x if self.downsample is None else self.downsample(x))
        result: Tensor = self.relu(out)
        return result


_DEPTHS: dict[str, tuple[type[_Basic | _Bottleneck], tuple[int, int, int, int]]] = {
    "resnet18": (_Basic, (2, 2, 2, 2)),
    "resnet34": (_Basic, (3, 4, 6, 3)),
    "resnet50": (_Bottleneck, (3, 4, 6, 3)),
}
"""Kind and number of blocks in each stage."""


def _stage(
    block: type[_Basic | _Bottleneck], inputs: int, width: int, count: int, stride: int
) -> nn.Sequential:
    rest = (block(width * block.expansion, width, 1) for _ in range(count - 1))
    return nn.Sequential(block(inputs, width, stride), *rest)


class ResNet(Pooled):
    """(N, 3, H, W) of any size → (N, D), or (N, classes) with the classifier of an ImageNet checkpoint."""

    def __init__(
        self,
        block: type[_Basic | _Bottleneck],
        blocks: tuple[int, int, int, int],
        embedding_size: int | None = None,
        dropout: float = 0.0,
        input_size: int = 112,
        unit: bool = False,
        stem: Literal["face", "imagenet"] = "face",
        stem_stride: int | None = None,
        classes: int | None = None,
    ) -> None:
        """A network of any depth.

        Args:
            block: Kind of residual block.
            blocks: Blocks in each of the four stages.
            embedding_size: D; None gives the averaged features of the last map (512, of resnet50 2048).
            dropout: Share of those features dropped before the embedding's linear layer.
            input_size: Side of the crops in pixels; only looked at to refuse one that is too small.
            unit: Whether the output gets unit length.
            stem: `face` is a 3×3 convolution, `imagenet` a 7×7 one of stride 2 and max-pooling.
            stem_stride: 1 or 2, of the stem `face`; None is 2, and 1 costs four times the work.
            classes: Adds a checkpoint's classifier `fc` in place of an embedding; 1000 for ImageNet.

        Raises:
            SettingError: No such stem, the input is too small, or classes and embedding_size are both given.
        """
        super().__init__()
        map_side(input_size, 16)
        self.conv1, self.maxpool = _stem(stem, stem_stride)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        wider = block.expansion
        self.layer1 = _stage(block, 64, 64, blocks[0], 1)
        self.layer2 = _stage(block, 64 * wider, 128, blocks[1], 2)
        self.layer3 = _stage(block, 128 * wider, 256, blocks[2], 2)
        self.layer4 = _stage(block, 256 * wider, 512, blocks[3], 2)
        self.add_top(512 * wider, embedding_size, classes, dropout, unit)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, H, W). Returns: (N, D)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.top(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


def _stem(name: str, stride: int | None) -> tuple[nn.Conv2d, nn.Module]:
    if name == "imagenet" and stride is None:
        return nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1)
    if name == "face" and stride in {None, 1, 2}:
        return nn.Conv2d(3, 64, 3, stride or 2, 1, bias=False), nn.Identity()
    raise SettingError(
        f"There is no stem {name!r} of stride {stride}; give face with 1 or 2, or imagenet without."
    )


for _name, (_block, _blocks) in _DEPTHS.items():
    register(
        BackboneInfo(
            _name,
            112,
            IMAGENET_MEAN,
            IMAGENET_STD,
            "RGB",
            "ResNet, 1512.03385; torchvision's weights, which want 224 px and the stem imagenet",
        )
    )(partial(ResNet, _block, _blocks))
