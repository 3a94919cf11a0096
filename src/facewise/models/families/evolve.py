"""IR-50, SE-IR-50 and MobileFaceNet of face.evoLVe and of TreB1eN's InsightFace_Pytorch.

Both have the same keys and shapes, but TreB1eN trained on BGR and face.evoLVe on RGB, which nothing in a
checkpoint tells: the user has to say whose it is.
"""

from __future__ import annotations

from typing import Literal

from facewise.models.families.base import Family, embedder
from facewise.preprocess import Preprocess

_NETWORKS = ("ir50", "se-ir50", "mobilefacenet")


def _family(who: str, source: str, color: Literal["RGB", "BGR"], backbone: str) -> Family:
    return Family(
        embedder(
            f"{who}-{backbone}",
            licence="MIT (the data's terms are for research only)",
            source=source,
            preprocess=Preprocess(112, (127.5,) * 3, (127.5,) * 3, color, "5-point"),
            size=512,
        ),
        backbone=backbone,
        options={"embedding_size": 512, "input_size": 112},
        asked=True,
        note=f"say --as {who}-{backbone}",
    )


FAMILIES = (
    *(_family("evolve", "ZhaoJ9014/face.evoLVe", "RGB", network) for network in _NETWORKS),
    *(_family("treb1en", "TreB1eN/InsightFace_Pytorch", "BGR", network) for network in _NETWORKS),
)
