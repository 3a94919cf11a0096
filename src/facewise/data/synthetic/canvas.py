"""The flat picture of a face that is laid on the head: linear colour, in millimetres at rest."""

from __future__ import annotations

from collections.abc import Sequence
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
        x: (1, W) millimetres: one row stands for all, so that what depends on x alone is done once.
        t: (H, 1) millimetres, likewise.
    """

    rows: slice
    columns: slice
    x: Pixels
    t: Pixels

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.t.shape[0], self.x.shape[1]


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
    return Window(rows, columns, x.astype(np.float32)[None], t.astype(np.float32)[:, None])


def texel(x: Pixels, t: Pixels) -> tuple[Pixels, Pixels]:
    """Column and row of places, as `cv2.remap` counts them."""
    return (x - np.float32(LEFT)) * np.float32(TEXELS) - np.float32(0.5), (
        (t - np.float32(TOP)) * np.float32(TEXELS) - np.float32(0.5)
    )


def paint(picture: Pixels, where: Window, amount: Pixels, colour: Sequence[float | Pixels] | Pixels) -> None:
    """Lays a colour over a part of the picture (3, H, W), as thick as `amount` (H, W) in [0, 1] says."""
    lay(picture[:, where.rows, where.columns], amount, colour)


def lay(part: Pixels, amount: Pixels, colour: Sequence[float | Pixels] | Pixels) -> None:
    """As `paint`, over all of a part (3, H, W) already taken."""
    for plane, value in zip(part, colour, strict=True):
        over = np.asarray(value, np.float32) - plane
        over *= amount
        np.add(plane, over, out=plane)


def edge(inside: Pixels, softness: float = 0.4) -> Pixels:
    """1 where `inside` (millimetres within a border) is positive, 0 without, soft over the border."""
    share = inside * np.float32(0.5 / softness) + np.float32(0.5)
    # numpy's clip takes longer than all the rest on so few pixels.
    share = np.minimum(np.maximum(share, np.float32(0)), np.float32(1))
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def bell(distance: Pixels, width: float) -> Pixels:
    """1 at distance 0, falling off over `width`."""
    return np.asarray(np.exp(-((distance / np.float32(width)) ** 2)), np.float32)
