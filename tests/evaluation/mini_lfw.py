"""A drawn LFW: six people of three photos each, five of one."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import PIL.Image

from facewise.pipeline import Pipeline, Steps
from tiny_models import draw

SEVERAL = tuple(f"Person_{letter}" for letter in "ABCDEF")
LONERS = tuple(f"Loner_{letter}" for letter in "GHIJK")


def photo(name: str, number: int) -> str:
    return f"{name}/{name}_{number:04d}.jpg"


def make(root: Path) -> Path:
    """Write the photos and a pair file of two folds with six same and six different pairs each."""
    for who, name in enumerate(SEVERAL + LONERS):
        for number in (1, 2, 3) if name in SEVERAL else (1,):
            path = root / "images" / photo(name, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            shift = 3.0 * number + who
            # Half of the person's face differs from photo to photo, so that not all pairs are easy.
            picture = draw((150, 170), [(70 + shift, 60 + shift, 44 + 6 * number, 37 * who + 5)])
            picture[:, int(70 + shift) :] = np.roll(picture[:, int(70 + shift) :], number - 1, axis=2)
            PIL.Image.fromarray(picture).save(path, "JPEG", quality=95, subsampling=0)
    lines = ["2\t6"]
    for fold, people in enumerate((SEVERAL[:3], SEVERAL[3:])):
        lines += [f"{name}\t{a}\t{b}" for name in people for a, b in ((1, 2), (fold + 1, 3))]
        different = [(people[0], people[1]), (people[1], people[2]), (people[0], people[2])]
        lines += [
            f"{a}\t{i}\t{b}\t{j}" for (a, b), (i, j) in product(different, ((1, 2 + fold), (3, 1 + fold)))
        ]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def embeddings_by_hand(root: Path, pipeline: Pipeline) -> dict[str, np.ndarray | None]:
    """Photo → embedding of its main face, read one by one."""
    found = {}
    for path in sorted((root / "images").glob("*/*.jpg")):
        faces = pipeline.read(path, Steps(main_only=True)).faces
        found[f"{path.parent.name}/{path.name}"] = faces[0].embedding if faces else None
    return found
