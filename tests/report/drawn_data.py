"""Crops of drawn people in folders, one of them with a name that means harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from tiny_models import person

HOSTILE = "<script>alert(1)<!-- \"'&"
"""A folder may be called so: all but a slash is allowed in a name."""


def crop(who: int, seed: int, size: int = 112) -> np.ndarray:
    """A square of a person's four colours, spoilt somewhat."""
    colours = np.array(person(who), np.float64).reshape(2, 2, 3)
    image = colours.repeat(size // 2, axis=0).repeat(size // 2, axis=1)
    rng = np.random.default_rng([who, seed])
    spoilt = image + rng.normal(0, 90, image.shape) + rng.normal(0, 50, 3)
    return np.clip(spoilt, 0, 255).astype(np.uint8)


def write_people(root: Path, people: int = 7, photos: int = 5) -> Path:
    """A folder per person; the first is called `HOSTILE`."""
    for who in range(people):
        folder = root / (HOSTILE if who == 0 else f"Person_{who}")
        folder.mkdir(parents=True)
        for number in range(photos):
            PIL.Image.fromarray(crop(who, number)).save(folder / f"{number}.png")
    return root
