"""Everything of a person that is no face: ears, neck, shoulders and what they wear."""

from __future__ import annotations

import numpy as np

from facewise.data.synthetic.mesh import Mesh, Values, grid_mesh, widened
from facewise.data.synthetic.shape import Floats, Head


def ear(head: Head, side: int, skin: Floats) -> Mesh:
    """An ear.

    Args:
        head: Whose.
        side: -1 at the image's left, 1 at its right.
        skin: Linear colour.
    """
    around = np.linspace(0, 2 * np.pi, 25)
    rings = np.array([0.001, 0.35, 0.55, 0.72, 0.86, 0.97, 1.0, 0.9])
    lift = np.array([-1.0, -1.5, 1.0, 0.5, 4.5, 3.0, -1.0, -6.0])
    ring, angle = np.meshgrid(rings, around, indexing="ij")
    height = np.where(np.sin(angle) > 0, 30.0, 31.0) * np.sin(angle) * ring
    depth = (16.5 - 4.0 * np.sin(angle)) * np.cos(angle) * ring
    out = np.repeat(lift[:, None], len(around), 1) + 0.42 * -depth + 5.0
    width = float(head.places(side * np.pi / 2, 10.0)[0]) * side
    x = side * (width - 1.5 + out)
    points = np.stack([x, 14.0 + height, -4.0 + depth], -1)
    inner = np.array([0.45, 0.5, 0.75, 0.65, 1.0, 1.0, 0.9, 0.5])[:, None]
    redder = skin * np.array([1.0, 0.86, 0.82])
    # The outside must be clockwise as seen: the rings run outwards, so one side has to run the other way.
    if side < 0:
        points = points[:, ::-1]
    return grid_mesh(points, closed=False, colour=redder, open_=inner, gloss=0.2)


def torso(build: float) -> Mesh:
    """Neck and shoulders, without colour.

    Args:
        build: How broad, 1 is average.
    """
    y = np.concatenate([[45, 70, 95, 112], np.arange(122, 200, 5), [205, 225, 260, 310, 430.0]])
    width = np.interp(
        y, [45, 95, 120, 135, 150, 165, 185, 215, 260, 430], [54, 54, 57, 66, 92, 128, 165, 190, 202, 205]
    )
    depth = np.interp(y, [45, 95, 130, 150, 180, 260, 430], [50, 52, 58, 68, 84, 100, 104])
    theta = _round_torso()
    width, depth = width * (0.55 + 0.45 * build), depth * (0.7 + 0.3 * build)
    sine, cosine = np.sin(theta), np.cos(theta)
    x = width[:, None] * np.sign(sine) * np.abs(sine) ** 0.85
    z = (
        depth[:, None] * np.sign(cosine) * np.abs(cosine) ** 0.85
        - 32
        + 0.12 * np.maximum(y - 120, 0)[:, None]
    )
    slope = 0.08 * np.abs(x) * np.clip((y[:, None] - 130) / 40, 0, 1)
    height = y[:, None] + slope
    points = np.stack([x, height, z], -1)
    # The chin keeps light from the neck.
    open_ = np.interp(y, [45, 90, 135], [0.25, 0.5, 1.0])[:, None]
    return grid_mesh(points, closed=True, colour=np.zeros(3), open_=open_, gloss=0.05)


def dressed(trunk: Mesh, skin: Floats, clothes: Floats, neckline: float) -> Values:
    """(3, R, C) linear colour of neck and shoulders.

    Args:
        trunk: See `torso`.
        skin: Linear colour.
        clothes: Linear colour.
        neckline: How far the clothes are cut out below the chin, in millimetres.
    """
    cut = 126 + neckline * np.clip(np.cos(widened(_round_torso().astype(np.float32))), 0, 1) ** 4
    below = trunk.points[1] - cut
    worn = np.clip(below / 9 + 0.5, 0, 1)
    cloth = worn * (1 - 0.35 * np.exp(-(((below - 7) / 6) ** 2)))
    return np.stack([float(s) * (1 - worn) + float(c) * cloth for s, c in zip(skin, clothes, strict=True)])


def _round_torso() -> Floats:
    return np.linspace(-np.pi, np.pi, 73)
