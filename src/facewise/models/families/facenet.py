"""FaceNet of timesler/facenet-pytorch: Inception-ResNet-v1, trained on VGGFace2 or CASIA-WebFace.

Its author names margin=14 pixels of the 160 as the best for these weights (issue 62 of that repository).
"""

from __future__ import annotations

from facewise.models.families.base import Family, Shape, embedder
from facewise.preprocess import Preprocess

_PREPROCESS = Preprocess(160, (127.5,) * 3, (128.0,) * 3, "RGB", "box", margin=14 / (160 - 14))


def _family(name: str, data: str, published: str, classes: int | None) -> Family:
    logits: dict[str, Shape] = (
        {} if classes is None else {"logits.weight": (classes, 512), "logits.bias": (classes,)}
    )
    return Family(
        embedder(
            name,
            licence="MIT (the data's terms are for research only)",
            source="timesler/facenet-pytorch",
            preprocess=_PREPROCESS,
            size=512,
            data=data,
            published=published,
        ),
        backbone="inception-resnet-v1",
        options={"embedding_size": 512, "input_size": 160},
        classifier=logits,
        note=f"`logits` of {classes} people" if classes else "without `logits`; the data is not told",
    )


FAMILIES = (
    _family("facenet-vggface2", "VGGFace2", "LFW accuracy 0.9965", 8631),
    _family("facenet-casia-webface", "CASIA-WebFace", "LFW accuracy 0.9905", 10575),
    _family("facenet", "", "", None),
)
