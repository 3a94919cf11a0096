"""ResNet-50 and SE-ResNet-50 trained on VGGFace2 (Cao et al. 2018, 1710.08092), in the PyTorch conversion.

The descriptor is the 2048 averaged features; the classifier of 8631 people is checked and left out. Crops are
those of the paper's evaluation: the detector's box longer by 0.3, shorter side 256, its middle 224×224.
"""

from __future__ import annotations

from facewise.models.families.base import Family, embedder
from facewise.preprocess import Preprocess

MARGIN = 1.3 * 224 / 256 - 1
"""Of the square's side over the shorter side of the box."""


def _family(name: str, backbone: str) -> Family:
    return Family(
        embedder(
            name,
            licence="not stated for the weights (the data's terms are for research only)",
            source="ox-vgg/vgg_face2; PyTorch conversion cydonia999/VGGFace2-pytorch",
            preprocess=Preprocess(
                224, (91.4953, 103.8827, 131.0912), (1.0, 1.0, 1.0), "BGR", "square", margin=MARGIN
            ),
            size=2048,
            data="VGGFace2, for some weights MS-Celeb-1M before",
        ),
        backbone=backbone,
        options={"input_size": 224},
        classes=8631,
    )


FAMILIES = (
    _family("vggface2-resnet50", "vggface2-resnet50"),
    _family("vggface2-se-resnet50", "se-resnet50"),
)
