"""The same person? Pairs of photos of people that neither training nor thresholds have seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.demo.blocks import Face, Faces, Section, Table, percent
from facewise.demo.cast import spoken
from facewise.demo.choosing import Chosen
from facewise.demo.faces import AllPairs, ReadFace, all_pairs
from facewise.drawing import GREEN, RED

_SHOWN = 4
"""Pairs of each kind that are shown, drawn by lot."""


def verify_pairs(faces: Sequence[ReadFace], chosen: Chosen, seed: int) -> Section:
    """Decide all pairs of some faces and show a few.

    Args:
        faces: With crops.
        chosen: The model that embedded them, and the threshold.
        seed: Of which pairs are shown.
    """
    pairs = all_pairs(faces)
    said = pairs.scores >= chosen.threshold
    same, right = pairs.same, said == pairs.same
    section = Section(f"{chosen.name}, as above.")
    section.blocks.append(
        Table(
            ["pairs", "said to be the same person", "said to be two people"],
            [
                [
                    "of one person",
                    percent(int((said & same).sum()), int(same.sum())),
                    str((~said & same).sum()),
                ],
                [
                    "of two people",
                    str((said & ~same).sum()),
                    percent(int((~said & ~same).sum()), int((~same).sum())),
                ],
            ],
            (1, 2),
        )
    )
    section.blocks.append(
        f"All {len(said)} pairs of {len(faces)} photos; right is the diagonal. Pairs drawn by lot:"
    )
    section.blocks.append(Faces([_shown(faces, pairs, i, right=bool(right[i])) for i in _lot(same, seed)]))
    section.short = (
        f"Of pairs of one person, {percent(int((said & same).sum()), int(same.sum()))} are recognised; of "
        f"pairs of two people, {percent(int((~said & ~same).sum()), int((~same).sum()))} are told apart."
    )
    section.numbers = {
        "pairs": len(said),
        "same_right": int((said & same).sum()),
        "same_wrong": int((~said & same).sum()),
        "different_right": int((~said & ~same).sum()),
        "different_wrong": int((said & ~same).sum()),
        "threshold": chosen.threshold,
    }
    return section


def _lot(same: NDArray[np.bool_], seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    picked: list[int] = []
    for kind in (same, ~same):
        places = np.flatnonzero(kind)
        picked += rng.choice(places, min(_SHOWN, len(places)), replace=False).tolist()
    return picked


def _shown(faces: Sequence[ReadFace], pairs: AllPairs, i: int, *, right: bool) -> tuple[str, list[Face]]:
    two = [faces[pairs.a[i]], faces[pairs.b[i]]]
    same = bool(pairs.same[i])
    verdict = "same person" if same == right else "two people"
    heading = f"{pairs.scores[i]:.2f}: {verdict}, {'right' if right else 'wrong'}"
    tiles = [
        Face(face.crop, spoken(face.person), f"Face of {spoken(face.person)}", GREEN if right else RED)
        for face in two
        if face.crop is not None
    ]
    return heading, tiles
