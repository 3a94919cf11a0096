"""VGG-Face (Parkhi et al. 2015, "Deep Face Recognition"): VGG-16 trained on 2622 people.

The descriptor is fc7 after ReLU, 4096 numbers. Both ways to name its layers are known: torchvision's, and
those of the conversion from MatConvNet (`conv1_1` … `fc8`). Its demo code cuts a square of the box and a
tenth more.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from facewise.models.families.base import Family, embedder
from facewise.preprocess import Preprocess

_CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of each stage."""


def _places() -> dict[str, str]:
    """MatConvNet's name of a layer → torchvision's."""
    names, place = {}, 0
    for stage, count in enumerate(_CONVOLUTIONS, start=1):
        for i in range(1, count + 1):
            names[f"conv{stage}_{i}"] = f"features.{place}"
            place += 2  # each is followed by its ReLU
        place += 1  # the max-pooling
    return names | {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}


_PLACES = _places()


def _as_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        renamed[f"{_PLACES[layer]}.{kind}" if layer in _PLACES else key] = value
    return renamed


FAMILIES = (
    Family(
        embedder(
            "vgg-face",
            licence="Creative Commons Attribution, for non-commercial research",
            source="VGG, Parkhi et al. 2015; PyTorch conversions with vgg_face_dag's or torchvision's keys",
            preprocess=Preprocess(
                224, (93.5940, 104.7624, 129.1863), (1.0, 1.0, 1.0), "BGR", "square", margin=0.1
            ),
            size=4096,
            data="VGG-Face, 2622 people",
        ),
        backbone="vgg16",
        options={"input_size": 224},
        classes=2622,
        rename=_as_torchvision,
    ),
)
