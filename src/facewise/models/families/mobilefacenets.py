"""MobileFaceNets that stand alone: foamliu's with ReLU6, and Xiaoccer's for crops of 112×96."""

from __future__ import annotations

from facewise.models.families.base import Family, embedder
from facewise.nn.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from facewise.preprocess import Preprocess

_FOAMLIU = Family(
    embedder(
        "mobilefacenet-foamliu",
        licence="Apache-2.0",
        source="foamliu/MobileFaceNet",
        preprocess=Preprocess(112, IMAGENET_MEAN, IMAGENET_STD, "RGB", "5-point"),
        size=128,
    ),
    backbone="mobilefacenet-relu6",
    options={"embedding_size": 128, "input_size": 112},
    probes=((1, 3, 112, 112), (5, 3, 112, 112)),
    known={
        "90a00ba1d8b0b688af3deb731ed53dca582e6106805d1bc3cfdef55f570493f4": {
            "data": "refined MS-Celeb-1M",
            "published": "LFW accuracy 0.9948",
        }
    },
)

_XIAOCCER = Family(
    embedder(
        "mobilefacenet-xiaoccer",
        licence="not stated by its repository",
        source="Xiaoccer/MobileFaceNet_Pytorch",
        preprocess=Preprocess(112, (127.5,) * 3, (128.0,) * 3, "RGB", "5-point", width=96),
        size=128,
    ),
    backbone="mobilefacenet-xiaoccer",
    options={"embedding_size": 128, "input_size": (112, 96)},
    known={
        "e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99": {
            "data": "CASIA-WebFace, SphereFace's alignment"
        }
    },
)

FAMILIES = (_FOAMLIU, _XIAOCCER)
