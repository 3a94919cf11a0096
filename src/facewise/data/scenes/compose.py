"""Scenes from a seed and a number: scene 7 is the same whatever was made before, in whichever process."""

from __future__ import annotations

import numpy as np

from facewise.data.scenes.develop import develop
from facewise.data.scenes.kinds import MAKERS, Maker
from facewise.data.scenes.layer import faces_of, paste
from facewise.data.scenes.mixture import KINDS, Mixture
from facewise.data.scenes.pool import Pool
from facewise.data.scenes.scene import Scene
from facewise.types import Image

LEAST_SEEN = 0.55
"""Share of a face that must be seen for it to count: RetinaFace misses some of those that are cut in half."""

_TRACE = 0.08
"""Share of a face below which nothing of it can be told."""


def compose(
    pool: Pool, seed: int, number: int, size: tuple[int, int] = (256, 256), mixture: Mixture | None = None
) -> Scene:
    """One scene.

    Args:
        pool: Where photos come from.
        seed: Another one has other scenes.
        number: Of the scene.
        size: (height, width) in pixels, at least 64 each.
        mixture: What kinds there are.
    """
    mixture = mixture or Mixture()
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(KINDS, p=[getattr(mixture, name) for name in KINDS]))
    return _compose(Maker(pool, mixture, size, rng), kind)


def face_free(pool: Pool, seed: int, number: int, size: tuple[int, int] = (240, 320)) -> Image:
    """A picture without any face: pieces of photos, textures, synthetic clutter; see `compose`."""
    rng = np.random.default_rng([seed, number, 1])
    return _compose(Maker(pool, Mixture(), size, rng), "empty").image


def _compose(make: Maker, kind: str) -> Scene:
    picture, layers = MAKERS[kind](make)
    picture = np.ascontiguousarray(picture)
    for layer in layers:
        paste(picture, layer)
    faces = faces_of(layers, make.size)
    kept = faces.share >= _TRACE
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=np.inf)
    ignore = ~faces.sure | (faces.share < LEAST_SEEN) | (sides < make.mixture.least_face)
    strength = make.mixture.developed * (0.5 if kind == "plain" else 1.0)
    return Scene(
        develop(picture, make.rng, strength)
        if not (kind == "plain" and make.rng.random() < 0.5)
        else picture,
        kind,
        faces.boxes[kept],
        faces.landmarks[kept],
        faces.seen[kept],
        ignore[kept],
    )
