"""ResNet-50 and SE-ResNet-50 as trained on VGGFace2, under the key names of their PyTorch conversions.

Cao et al. 2018, "VGGFace2" (1710.08092). ResNet-50 (1512.03385, table 1) as in Caffe: the stride of a
bottleneck is on its first 1×1 convolution, and max-pooling covers the border by rounding up. SE adds
squeeze and excitation (Hu et al. 2018, 1709.01507). The published descriptor is the 2048 averaged features.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from facewise.nn.backbones.base import BackboneInfo, Pooled, initialise, map_side, register


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, *, project: bool, squeeze: bool) -> None:
        super().__init__()
        outputs = width * 4
        self.conv1 = nn.Conv2d(inputs, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.squeeze = squeeze
        if squeeze:
            self.global_pool = nn.AdaptiveAvgPool2d(1)
            self.conv4 = nn.Conv2d(outputs, outputs // 16, 1)
            self.conv5 = nn.Conv2d(outputs // 16, outputs, 1)
            self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.squeeze:
            out = out * self.sigmoid(self.conv5(self.relu(self.conv4(self.global_pool(out)))))
        result: Tensor = self.relu(out + (x if self.downsample is None else self.downsample(x)))
        return result


def _stage(inputs: int, width: int, count: int, stride: int, squeeze: bool) -> nn.Sequential:
    rest = (_Bottleneck(width * 4, width, 1, project=False, squeeze=squeeze) for _ in range(count - 1))
    return nn.Sequential(_Bottleneck(inputs, width, stride, project=True, squeeze=squeeze), *rest)


class VGGFace2ResNet(Pooled):
    """(N, 3, H, W) of any size → (N, D), or (N, classes) with the classifier of a checkpoint."""

    def __init__(
        self,
        squeeze: bool,
        embedding_size: int | None = None,
        dropout: float = 0.0,
        input_size: int = 224,
        unit: bool = False,
        classes: int | None = None,
    ) -> None:
        """A network for crops of any size.

        Args:
            squeeze: Whether units squeeze and excite.
            embedding_size: D; None gives the 2048 averaged features of the last map.
            dropout: Share of those features dropped before the last linear layer.
            input_size: Side of the crops in pixels; only looked at to refuse one that is too small.
            unit: Whether the output gets unit length.
            classes: Adds a checkpoint's classifier `fc` in place of an embedding; 8631 as published.

        Raises:
            SettingError: The input is too small, or classes and embedding_size are both given.
        """
        super().__init__()
        map_side(input_size, 32)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.layer1 = _stage(64, 64, 3, 1, squeeze)
        self.layer2 = _stage(256, 128, 4, 2, squeeze)
        self.layer3 = _stage(512, 256, 6, 2, squeeze)
        self.layer4 = _stage(1024, 512, 3, 2, squeeze)
        self.add_top(2048, embedding_size, classes, dropout, unit)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, H, W). Returns: (N, D)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.top(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


for _name, _squeeze in (("vggface2-resnet50", False), ("se-resnet50", True)):
    register(
        BackboneInfo(
            _name,
            224,
            (91.4953, 103.8827, 131.0912),
            (1.0, 1.0, 1.0),
            "BGR",
            "VGGFace2, 1710.08092; ox-vgg's weights, box + margin crops",
        )
    )(partial(VGGFace2ResNet, _squeeze))
