"""AdaFace (Kim et al. 2022, 2204.00964): Lightning checkpoints, the network under `model.`.

Its pixels are BGR, (x − 127.5) / 127.5, as `to_input` of its `inference.py` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from facewise.models.families.base import Family, Shape, embedder
from facewise.preprocess import Preprocess

_NETWORK = "model."
_HEAD: dict[str, Shape] = {
    "head.kernel": (512, None),
    "head.t": (1,),
    "head.batch_mean": (1,),
    "head.batch_std": (1,),
}
"""Its margin head: a column a class, and running statistics of the lengths of features."""


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without `model.`, where it is in front of all but the head's keys."""
    others = [key for key in state if not key.startswith("head.")]
    if not others or not all(key.startswith(_NETWORK) for key in others):
        return dict(state)
    return {key.removeprefix(_NETWORK): value for key, value in state.items()}


def _family(name: str, backbone: str) -> Family:
    return Family(
        embedder(
            name,
            licence="MIT (the data's terms are for research only)",
            source="mk-minchul/AdaFace",
            preprocess=Preprocess(112, (127.5,) * 3, (127.5,) * 3, "BGR", "5-point"),
            size=512,
        ),
        backbone=backbone,
        options={"embedding_size": 512, "input_size": 112},
        optional=_HEAD,
        rename=_without_prefix,
        note="Lightning checkpoints",
    )


FAMILIES = (
    _family("adaface-ir18", "adaface-ir18"),
    _family("adaface-ir50", "adaface-ir50"),
    _family("adaface-ir101", "adaface-ir101"),
)
