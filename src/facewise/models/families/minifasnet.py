"""MiniFASNetV2 and V1SE of minivision-ai/Silent-Face-Anti-Spoofing: live faces and pictures of faces."""

from __future__ import annotations

import functools

from facewise.models.families.base import Family
from facewise.models.file import ModelCard
from facewise.nn.minifasnet import V1SE, V2, MiniFASNet, Widths
from facewise.preprocess import Preprocess

_DATA = "private photos of its publisher, not described"


def _family(
    name: str, widths: Widths, scale: float, sha256: str, *, excited: bool, others: tuple[str, ...] = ()
) -> Family:
    return Family(
        card=ModelCard(
            kind="liveness",
            name=name,
            version="1",
            licence="Apache-2.0",
            source="minivision-ai/Silent-Face-Anti-Spoofing",
            preprocess=Preprocess(80, (0.0,) * 3, (1.0,) * 3, "BGR", "inside", margin=scale - 1),
            decoder={"name": "classes", "live": 1, **({"with": list(others)} if others else {})},
        ),
        builder=functools.partial(MiniFASNet, widths, excited=excited),
        outputs=("probabilities",),
        known={sha256: {"data": _DATA}},
        note="liveness; both MiniFASNets belong together",
    )


FAMILIES = (
    _family(
        "minifasnet-v2",
        V2,
        2.7,
        "a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0",
        excited=False,
        others=("minifasnet-v1se",),
    ),
    _family(
        "minifasnet-v1se",
        V1SE,
        4.0,
        "84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990",
        excited=True,
    ),
)
