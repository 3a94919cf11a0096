"""PyTorch weights of InsightFace's arcface_torch: IResNet and MobileFaceNet (`mbf`)."""

from __future__ import annotations

from facewise.models.families.base import Family, embedder
from facewise.preprocess import Preprocess

LICENCE = "InsightFace pretrained-model terms: non-commercial research only"
PREPROCESS = Preprocess(112, (127.5,) * 3, (127.5,) * 3, "RGB", "5-point")


def _family(name: str, backbone: str) -> Family:
    return Family(
        embedder(
            name,
            licence=LICENCE,
            source="deepinsight/insightface, recognition/arcface_torch",
            preprocess=PREPROCESS,
            size=512,
        ),
        backbone=backbone,
        options={"embedding_size": 512, "input_size": 112},
        note="the data is in the file's name, not in the file",
    )


FAMILIES = (
    _family("arcface-iresnet18", "iresnet18"),
    _family("arcface-iresnet34", "iresnet34"),
    _family("arcface-iresnet50", "iresnet50"),
    _family("arcface-iresnet100", "iresnet100"),
    _family("arcface-mbf", "mbf"),
)
