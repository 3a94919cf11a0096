"""Glasses: rims, bridge and temples as lines in space, lenses as glass before the eyes."""

from __future__ import annotations

import cv2
import numpy as np

from facewise.data.synthetic.camera import Camera, turned
from facewise.data.synthetic.canvas import Pixels, linear
from facewise.data.synthetic.shape import Floats, Head
from facewise.data.synthetic.view import View

_RIM = 2.4
"""Thickness of a rim in millimetres."""

_BEHIND = 5.0
"""A line this many millimetres behind what is seen is hidden."""


def put_on(picture: Pixels, depth: Pixels, head: Head, view: View, rotation: Floats, camera: Camera) -> None:
    """Draws the glasses of a view.

    Args:
        picture: (S, S, 4) linear colour and cover.
        depth: (S, S) nearness of what is seen, in millimetres.
        head: Who wears them.
        view: Says which glasses.
        rotation: Of the head.
        camera: For a picture of S pixels.
    """
    if view.glasses == "none":
        return
    lenses, lines = _frame(head, view.glasses_width)

    def seen(points: Floats) -> Floats:
        return camera.pixels(turned(points, rotation))

    flat = [seen(lens) for lens in lenses]
    glints = [seen(_glint(lens)) for lens in lenses]
    wires = [*(np.concatenate([lens, lens[:1]]) for lens in flat), *(seen(line) for line in lines)]
    thickness = max(1, round(_RIM * camera.scale))
    # Only this part of the picture is touched.
    every = np.concatenate(wires)[:, :2]
    first = np.clip(np.floor(every.min(0)).astype(np.int64) - thickness - 2, 0, depth.shape[0])
    last = np.clip(np.ceil(every.max(0)).astype(np.int64) + thickness + 2, 0, depth.shape[0])
    part = picture[first[1] : last[1], first[0] : last[0]]
    if not part.size:
        return
    shift = np.append(first, 0)
    dark = view.glasses == "dark"
    for lens, stripe in zip(flat, glints, strict=True):
        mask = _filled(lens - shift, part.shape)
        tint = linear(np.array(view.glasses_colour) * 0.4) if dark else np.array([0.75, 0.8, 0.85])
        _lay(part, mask * np.float32(0.88 if dark else 0.07), tint)
        glint = _filled(stripe - shift, part.shape)
        _lay(part, glint * mask * np.float32(0.18 if dark else 0.10), np.array([0.9, 0.95, 1.0]))
    rims = np.zeros(part.shape[:2], np.uint8)
    for points in wires:
        column, row = (np.clip(points[:, i].astype(np.int64), 0, depth.shape[0] - 1) for i in (0, 1))
        visible = points[:, 2] > depth[row, column] - _BEHIND
        fixed = np.round((points[:, :2] - first - 0.5) * 16).astype(np.int32)
        for i in range(len(fixed) - 1):
            if visible[i] and visible[i + 1]:
                ends = [(int(x), int(y)) for x, y in fixed[i : i + 2]]
                cv2.line(rims, ends[0], ends[1], 255, thickness, cv2.LINE_AA, 4)
    _lay(part, rims.astype(np.float32) / 255, linear(view.glasses_colour))


def _frame(head: Head, half: float) -> tuple[list[Floats], list[Floats]]:
    """Outlines of both lenses; bridge and temples."""
    person = head.person
    front = float(head.places(0.0, 2.0)[2]) + 5
    wide = float(head.places(np.pi / 2, -4.0)[0])
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    squarer = 0.7 + 0.06 * (person.number % 5)

    def round_(values: Floats) -> Floats:
        return np.asarray(np.sign(values) * np.abs(values) ** squarer, np.float64)

    def curved(x: Floats) -> Floats:
        return front - 0.0026 * x**2

    lenses, lines = [], []
    middle = max(person.eye_x + 1.5, half + 7)
    for side in (-1, 1):
        x = side * middle + half * round_(np.cos(angle))
        y = 3 + 0.76 * half * round_(np.sin(angle))
        lenses.append(np.stack([x, y, curved(x)], -1))
        share = np.linspace(0, 1, 16)
        outer = side * (middle + half)
        x = outer + (side * (wide + 1.5) - outer) * np.minimum(share * 4, 1)
        z = curved(np.array(outer)) + (-6 - curved(np.array(outer))) * share
        lines.append(np.stack([x, -4 + 0 * share, z], -1))
    inner = middle - half
    x = np.linspace(-inner, inner, 9)
    lines.append(np.stack([x, -4 - 3 * (1 - (x / inner) ** 2), curved(x) + 2], -1))
    return lenses, lines


def _glint(lens: Floats) -> Floats:
    """A slanted stripe over a lens."""
    middle, half = lens.mean(0), np.ptp(lens[:, 0]) / 2
    shape = np.array([[-0.1, -1.0, 0], [0.45, -1.0, 0], [-0.15, 1.0, 0], [-0.7, 1.0, 0]])
    return np.asarray(middle + shape * half, np.float64)


def _filled(points: Floats, shape: tuple[int, ...]) -> Pixels:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((points[:, :2] - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _lay(picture: Pixels, amount: Pixels, colour: Floats) -> None:
    left, top, width, height = cv2.boundingRect((amount > 0).astype(np.uint8))
    part = (slice(top, top + height), slice(left, left + width))
    over = np.append(np.asarray(colour, np.float32), np.float32(1))
    picture[part] += amount[part][..., None] * (over - picture[part])
