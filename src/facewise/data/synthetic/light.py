"""Light on a surface: a lamp with shadows, even light from all round, a shine."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.canvas import Pixels, texel
from facewise.data.synthetic.figure import Posed
from facewise.data.synthetic.hair import BOTTOM, STRANDS_SIZE, TOP
from facewise.data.synthetic.mesh import Mesh
from facewise.data.synthetic.raster import Seen
from facewise.data.synthetic.shape import Floats
from facewise.data.synthetic.view import View

_CELL = 3.5
"""Side of a cell of the shadow map in millimetres."""

_CELLS = 160

_ROW = 512
"""Pixels are read from pictures in rows of so many: OpenCV takes no row of 100,000."""


def in_shadow(mesh: Mesh, light: Floats) -> Floats:
    """(V,) 0 to 1, how far other parts stand between each vertex and the lamp.

    Vertices are dropped on a grid seen from the lamp; one well behind the nearest of its cell is in shadow.
    """
    side = np.cross(light, [0.0, 1.0, 0.0] if abs(light[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(light, side)
    near = mesh.points @ light
    column = np.clip((mesh.points @ side / _CELL + _CELLS / 2).astype(np.int64), 1, _CELLS - 2)
    row = np.clip((mesh.points @ up / _CELL + _CELLS / 2).astype(np.int64), 1, _CELLS - 2)
    nearest = np.full((_CELLS, _CELLS), -1e4, np.float64)
    np.maximum.at(nearest.reshape(-1), row * _CELLS + column, near)
    # Far from the lamp's line a cell may have no vertex at all: its neighbours' nearest stands in.
    nearest = np.asarray(cv2.dilate(nearest, np.ones((3, 3), np.uint8)), np.float64)
    slack = 7 + 9 * (1 - np.clip(mesh.normals @ light, 0, 1))
    shadow = np.zeros(len(near))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            before = nearest[row + down, column + right] - near - slack
            shadow += np.clip(before / 8, 0, 1)
    return np.asarray(shadow / 9, np.float64)


def shade(posed: Posed, view: View, seen: Seen, strands: NDArray[np.float32]) -> Pixels:
    """(P, 3) linear colour of the pixels seen.

    Light is worked out at the vertices, which are as close as a few pixels, and colour at the pixels.

    Args:
        posed: The person.
        view: How they are lit.
        seen: What is seen where.
        strands: See `facewise.data.synthetic.hair.strands`.
    """
    mesh = posed.mesh
    lit, shine = light_on(mesh, view)
    is_plain = (mesh.painted + mesh.hair == 0)[seen.corners[:, 0]]
    plain, rich = np.flatnonzero(is_plain), np.flatnonzero(~is_plain)
    colours = np.empty((len(seen.pixels), 3), np.float32)
    colours[plain] = seen.only(plain).mix((mesh.colour * lit + shine).astype(np.float32))
    table = np.concatenate([lit, shine, mesh.place, mesh.hair[:, None]], axis=1).astype(np.float32)
    pixel = seen.only(rich).mix(table)
    albedo = _read(posed.face, *texel(pixel[:, 7], pixel[:, 8]))
    lightness = _read(strands, *_strand(pixel[:, 6], pixel[:, 8]))
    covered = np.clip((pixel[:, 9] - 0.5) * 2.2 + 0.5 + 0.5 * (lightness - 1), 0, 1)[:, None]
    hair = np.clip(lightness, 0.3, 2)[:, None] * posed.hair.astype(np.float32)
    albedo += covered * (hair - albedo)
    colours[rich] = albedo * pixel[:, 0:3] + pixel[:, 3:6]
    return colours


def light_on(mesh: Mesh, view: View) -> tuple[Floats, Floats]:
    """Light that a vertex scatters in its own colour, (V, 3), and light it mirrors, (V, 3)."""
    light = np.array(view.light) / np.linalg.norm(view.light)
    normal, covered, open_, gloss = mesh.normals, mesh.hair[:, None], mesh.open[:, None], mesh.gloss[:, None]
    clear = 1 - in_shadow(mesh, light)[:, None]
    # Light goes a little way under skin, red the farthest: it reaches round the edge of a shadow.
    wrap = np.array([0.30, 0.17, 0.13]) * (1 - covered) + 0.12 * covered
    lamp = np.clip((normal @ light)[:, None] + wrap, 0, None) / (1 + wrap) * (0.15 + 0.85 * clear)
    even = (0.74 - 0.26 * normal[:, 1:2]) * (0.75 + 0.25 * normal[:, 2:3]) * open_
    edge = 0.10 * gloss * (1 - np.clip(normal[:, 2:3], 0, 1)) ** 3 * open_
    strength, colour = view.light_strength, np.array(view.light_colour)
    half = light + np.array([0.0, 0.0, 1.0])
    cosine = np.clip(normal @ (half / max(float(np.linalg.norm(half)), 1e-6)), 0, 1)[:, None]
    shine = gloss * clear * (0.07 * cosine**16 + 0.045 * cosine**50) * strength * colour
    lit = 1.55 * strength * lamp * colour + 1.05 * (1 - strength) * even + edge
    return np.asarray(lit, np.float64), np.asarray(shine, np.float64)


def _read(picture: Pixels, column: Pixels, row: Pixels) -> Pixels:
    """Values of a picture at places, bilinear; (P,) or (P, C)."""
    count = len(column)
    padded = -(-count // _ROW) * _ROW
    maps = [np.resize(np.ascontiguousarray(v, np.float32), (padded // _ROW, _ROW)) for v in (column, row)]
    read = cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read.reshape(padded, *picture.shape[2:])[:count], np.float32)


def _strand(theta: Pixels, t: Pixels) -> tuple[Pixels, Pixels]:
    rows, columns = STRANDS_SIZE
    across = (theta / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(columns - 1)
    return across, (t - np.float32(TOP)) / np.float32(BOTTOM - TOP) * np.float32(rows - 1)
