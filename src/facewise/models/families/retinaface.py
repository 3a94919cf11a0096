"""RetinaFace with a MobileNetV1-0.25 backbone, of biubug6/Pytorch_Retinaface."""

from __future__ import annotations

from facewise.models.families.base import Family
from facewise.models.file import ModelCard
from facewise.nn.detectors.retinaface import RetinaFace
from facewise.preprocess import Preprocess

FAMILIES = (
    Family(
        card=ModelCard(
            kind="detector",
            name="retinaface-mobilenet025",
            version="1",
            licence="MIT",
            source="biubug6/Pytorch_Retinaface",
            preprocess=Preprocess(None, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "BGR", "none"),
            decoder={
                "name": "retinaface",
                "strides": [8, 16, 32],
                "min_sizes": [[16, 32], [64, 128], [256, 512]],
                "variances": [0.1, 0.2],
            },
        ),
        builder=RetinaFace,
        dynamic={0: "batch", 2: "height", 3: "width"},
        outputs=("boxes", "scores", "landmarks"),
        probes=((1, 3, 250, 250), (2, 3, 117, 331), (1, 3, 480, 640)),
        known={
            "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220": {
                "data": "WIDER FACE",
                "published": "WIDER FACE val, single scale: easy 0.907, medium 0.882, hard 0.738",
            }
        },
    ),
)
