"""The flat picture of a face that is laid on the head: linear colour, in millimetres at rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels: TypeAlias = NDArray[np.floating[Any]]
"""Float32 as a rule; colours of few values may come wider."""

LEFT, TOP, RIGHT, BOTTOM = -90.0, -125.0, 90.0, 160.0
"""What the picture shows, in millimetres: x and t of `facewise.data.synthetic.shape`."""

TEXELS = 2.0
"""Pixels of the picture in a millimetre: as many as a photo of 700 pixels shows."""

GAMMA = 2.2


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of the picture and where its pixels are.

    Attributes:
        rows: Of the picture.
        columns: Of the picture.
        x: (H, W) millimetres.
        t: (H, W) millimetres.
    """

    rows: slice
    columns: slice
    x: Pixels
    t: Pixels


def linear(colour: ArrayLike) -> NDArray[np.float64]:
    """Screen colour in [0, 1] to amounts of light."""
    return np.asarray(np.power(np.asarray(colour, np.float64), GAMMA), np.float64)


@lru_cache(maxsize=64)
def window(left: float = LEFT, top: float = TOP, right: float = RIGHT, bottom: float = BOTTOM) -> Window:
    """The part between these millimetres."""
    columns = slice(max(0, round((left - LEFT) * TEXELS)), round((min(right, RIGHT) - LEFT) * TEXELS))
    rows = slice(max(0, round((top - TOP) * TEXELS)), round((min(bottom, BOTTOM) - TOP) * TEXELS))
    x = (np.arange(columns.start, columns.stop) + 0.5) / TEXELS + LEFT
    t = (np.arange(rows.start, rows.stop) + 0.5) / TEXELS + TOP
    across, down = np.meshgrid(x.astype(np.float32), t.astype(np.float32))
    return Window(rows, columns, across, down)


def texel(x: Pixels, t: Pixels) -> tuple[Pixels, Pixels]:
    """Column and row of places, as `cv2.remap` counts them."""
    return (x - np.float32(LEFT)) * np.float32(TEXELS) - np.float32(0.5), (
        (t - np.float32(TOP)) * np.float32(TEXELS) - np.float32(0.5)
    )


def paint(picture: Pixels, where: Window, amount: Pixels, colour: ArrayLike) -> None:
    """Lays a colour over a part of the picture, as thick as `amount` (H, W) in [0, 1] says."""
    part = picture[where.rows, where.columns]
    part += amount[..., None] * (np.asarray(colour, np.float32) - part)


def edge(inside: Pixels, softness: float = 0.4) -> Pixels:
    """1 where `inside` (millimetres within a border) is positive, 0 without, soft over the border."""
    share = np.clip(inside / np.float32(2 * softness) + np.float32(0.5), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def bell(distance: Pixels, width: float) -> Pixels:
    """1 at distance 0, falling off over `width`."""
    return np.asarray(np.exp(-((distance / np.float32(width)) ** 2)), np.float32)
