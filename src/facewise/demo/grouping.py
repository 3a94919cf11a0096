"""Photos grouped by person with no names given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.demo.blocks import Face, Faces, Section, Table
from facewise.demo.cast import spoken
from facewise.demo.choosing import Chosen
from facewise.demo.faces import ReadFace
from facewise.drawing import GREEN, RED
from facewise.gallery import cluster
from facewise.metrics import bcubed, pairwise_f

_GROUPS, _SHOWN = 8, 8
"""Groups, and faces of each, that are shown."""


def group_faces(faces: Sequence[ReadFace], chosen: Chosen) -> Section:
    """Group some faces and compare with who they are.

    Args:
        faces: With crops.
        chosen: The model that embedded them, and the threshold.
    """
    threshold = min(chosen.threshold, np.nextafter(1.0, 0.0))
    groups = cluster(np.stack([face.embedding for face in faces]), float(threshold))
    people = [face.person for face in faces]
    b, pairs = bcubed(people, groups), pairwise_f(people, groups)
    several = [int(g) for g in np.unique(groups) if (groups == g).sum() > 1]
    section = Section(f"{chosen.name}, as above.")
    alone = len(np.unique(groups)) - len(several)
    section.blocks += [
        f"{len(faces)} photos of {len(set(people))} people: {len(several)} groups and {alone} photos alone.",
        Table(
            ["", "precision", "recall", "F"],
            [
                ["by face (BCubed)", *(f"{v:.3f}" for v in (b.precision, b.recall, b.f1))],
                ["by pair", *(f"{v:.3f}" for v in (pairs.precision, pairs.recall, pairs.f1))],
            ],
            (1, 2, 3),
        ),
        "Precision: how much of a photo's group is the same person; recall: how much of the person is in it.",
        Faces([_shown(faces, groups == g, n) for n, g in enumerate(several[:_GROUPS], start=1)]),
    ]
    section.short = f"Grouped without names: BCubed precision {b.precision:.3f}, recall {b.recall:.3f}."
    section.numbers = {
        "photos": len(faces),
        "people": len(set(people)),
        "groups": len(several),
        "alone": alone,
        "bcubed": {"precision": b.precision, "recall": b.recall, "f": b.f1},
        "pairwise": {"precision": pairs.precision, "recall": pairs.recall, "f": pairs.f1},
    }
    return section


def _shown(faces: Sequence[ReadFace], inside: NDArray[np.bool_], number: int) -> tuple[str, list[Face]]:
    members = [faces[i] for i in np.flatnonzero(inside).tolist()]
    most = Counter(face.person for face in members).most_common(1)[0][0]
    tiles = [
        Face(
            face.crop,
            spoken(face.person),
            f"Face of {spoken(face.person)}",
            GREEN if face.person == most else RED,
        )
        for face in members[:_SHOWN]
        if face.crop is not None
    ]
    more = f", {_SHOWN} shown" if len(members) > _SHOWN else ""
    return f"Group {number}: {len(members)} photos{more}", tiles
