"""ResNet and VGG of torchvision, trained on ImageNet: no face networks, but backbones to start from.

ImageNet has no alignment; 5-point crops of 224 pixels are our choice for faces.
"""

from __future__ import annotations

from typing import Any

from facewise.models.families.base import Family, embedder
from facewise.nn.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from facewise.preprocess import Preprocess


def _family(name: str, backbone: str, size: int, options: dict[str, Any]) -> Family:
    return Family(
        embedder(
            name,
            licence="BSD-3-Clause (ImageNet's terms are for research only)",
            source="torchvision, ImageNet-1K",
            preprocess=Preprocess(224, IMAGENET_MEAN, IMAGENET_STD, "RGB", "5-point"),
            size=size,
            data="ImageNet-1K",
        ),
        backbone=backbone,
        options={"input_size": 224, **options},
        classes=1000,
        note="to start a training from; it has never told faces apart",
    )


_STEM = {"stem": "imagenet"}

FAMILIES = (
    _family("imagenet-resnet18", "resnet18", 512, _STEM),
    _family("imagenet-resnet34", "resnet34", 512, _STEM),
    _family("imagenet-resnet50", "resnet50", 2048, _STEM),
    _family("imagenet-vgg16", "vgg16", 4096, {}),
)
