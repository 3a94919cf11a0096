"""Light on a surface: a lamp with shadows, even light from all round, a shine."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facewise.data.synthetic.canvas import Pixels, texel
from facewise.data.synthetic.figure import Posed
from facewise.data.synthetic.hair import BOTTOM, STRANDS_SIZE, TOP
from facewise.data.synthetic.mesh import Mesh, Values
from facewise.data.synthetic.raster import Seen
from facewise.data.synthetic.shape import Floats
from facewise.data.synthetic.view import View

_CELL = 3.5
"""Side of a cell of the shadow map in millimetres."""

_CELLS = 160

_ROW = 512
"""Pixels are read from pictures in rows of so many: OpenCV takes no row of 100,000."""


def in_shadow(mesh: Mesh, light: Floats) -> Values:
    """(R, C) 0 to 1, how far other parts stand between each vertex and the lamp.

    Vertices are dropped on a grid seen from the lamp; one well behind the nearest of its cell is in shadow.
    """
    side = np.cross(light, [0.0, 1.0, 0.0] if abs(light[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(light, side)
    axes = np.stack([side / _CELL, up / _CELL, light]).astype(np.float32)
    across, down, near = axes @ mesh.points.reshape(3, -1)
    column, row = (
        np.clip((v + np.float32(_CELLS / 2)).astype(np.int64), 1, _CELLS - 2) for v in (across, down)
    )
    cell = row * _CELLS + column
    nearest = np.full(_CELLS * _CELLS, -1e4, np.float32)
    np.maximum.at(nearest, cell, near)
    # Far from the lamp's line a cell may have no vertex at all: its neighbours' nearest stands in.
    wider = cv2.dilate(nearest.reshape(_CELLS, _CELLS), np.ones((3, 3), np.uint8))
    nearest = np.asarray(wider, np.float32).reshape(-1)
    facing = np.clip(axes[2] @ mesh.normals.reshape(3, -1), 0, 1)
    limit = near + (16 - 9 * facing)
    shadow = np.zeros(len(near), np.float32)
    for shift in (down * _CELLS + right for down in (-1, 0, 1) for right in (-1, 0, 1)):
        before = nearest[cell + shift]
        before -= limit
        shadow += np.clip(before, 0, 8, out=before)
    return np.asarray(shadow / np.float32(72), np.float32).reshape(mesh.hair.shape)


def shade(posed: Posed, view: View, seen: Seen) -> Pixels:
    """(3, P) linear colour of the pixels seen.

    Light is worked out at the vertices, which are as close as a few pixels, and colour at the pixels.

    Args:
        posed: The person.
        view: How they are lit.
        seen: What is seen where; its values are columns and rows of the mesh.
    """
    mesh = posed.mesh
    lit, shine = light_on(mesh, view)
    # The vertices make a picture, and it is read where the pixels are in it: quicker than to mix all values.
    across, down = seen.values
    pictured = mesh.pictured[np.rint(down).astype(np.int64)]
    colours = np.empty((3, len(pictured)), np.float32)
    plain = np.flatnonzero(~pictured)
    glow = [
        c * light + shine * tint for c, light, tint in zip(mesh.colour, lit, view.light_colour, strict=True)
    ]
    colours[:, plain] = _read(_merged(*glow), across[plain], down[plain])
    rich = np.flatnonzero(pictured)
    across, down = across[rich], down[rich]
    theta, x, t, shine_there = _read(_merged(*mesh.place, shine), across, down)
    *lit_there, haired = _read(_merged(*lit, mesh.hair), across, down)
    (lightness,) = _read(posed.strands, *_strand(theta, t))
    covered = haired * np.float32(2.2) + lightness * np.float32(0.5) - np.float32(1.1)
    covered = np.clip(covered, 0, 1, out=covered)
    lightness = np.clip(lightness, 0.3, 2)
    albedo = _read(posed.face, *texel(x, t))
    for i in range(3):
        colour = albedo[i]
        colour += covered * (lightness * np.float32(posed.hair[i]) - colour)
        colour *= lit_there[i]
        colour += shine_there * np.float32(view.light_colour[i])
        colours[i, rich] = colour
    return colours


def light_on(mesh: Mesh, view: View) -> tuple[Values, Values]:
    """Light a vertex scatters in its own colour, (3, R, C); how much of the lamp it mirrors, (R, C)."""
    light = np.array(view.light) / np.linalg.norm(view.light)
    half = light + np.array([0.0, 0.0, 1.0])
    half /= max(float(np.linalg.norm(half)), 1e-6)
    clear = 1 - in_shadow(mesh, light)
    normal, covered = mesh.normals, mesh.hair
    facing, cosine = (np.stack([light, half]).astype(np.float32) @ normal.reshape(3, -1)).reshape(
        2, *clear.shape
    )
    strength = view.light_strength
    even = (0.74 - 0.26 * normal[1]) * (0.75 + 0.25 * normal[2])
    rim = 0.10 * mesh.gloss * (1 - np.clip(normal[2], 0, 1)) ** 3
    around = (1.05 * (1 - strength) * even + rim) * mesh.open
    lamp = clear * (1.55 * strength * 0.85) + 1.55 * strength * 0.15
    cosine = np.clip(cosine, 0, 1)
    squared = cosine * cosine
    sixteenth = squared**8
    shine = strength * mesh.gloss * clear * (0.07 * sixteenth + 0.045 * sixteenth**3 * squared)
    lit = np.empty_like(normal)
    # Light goes a little way under skin, red the farthest: it reaches round the edge of a shadow.
    for i, (reach, colour) in enumerate(zip((0.30, 0.17, 0.13), view.light_colour, strict=True)):
        wrap = reach + (0.12 - reach) * covered
        lit[i] = np.maximum(facing + wrap, 0) / (1 + wrap) * lamp * colour + around
    return lit, shine


def _merged(*planes: Pixels) -> Pixels:
    return np.asarray(cv2.merge(planes), np.float32)


def _read(picture: Pixels, column: Pixels, row: Pixels) -> Sequence[Pixels]:
    """Values of a picture (H, W) or (H, W, C) at places (P,), bilinear: (P,) for each of the C."""
    count = len(column)
    if not count:
        return [np.empty(0, np.float32)] * (1 if picture.ndim == 2 else picture.shape[2])
    padded = -(-count // _ROW) * _ROW
    maps = np.zeros((2, padded), np.float32)
    maps[0, :count], maps[1, :count] = column, row
    places = maps.reshape(2, -1, _ROW)
    read = cv2.remap(picture, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return [np.asarray(plane, np.float32).reshape(-1)[:count] for plane in cv2.split(read)]


def _strand(theta: Pixels, t: Pixels) -> tuple[Pixels, Pixels]:
    rows, columns = STRANDS_SIZE
    across = (theta / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(columns - 1)
    return across, (t - np.float32(TOP)) / np.float32(BOTTOM - TOP) * np.float32(rows - 1)
