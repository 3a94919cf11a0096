"""Hair: where it grows, how far it stands off, its strands, and locks that hang beside the face."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.mesh import Mesh, grid_mesh, joined
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Floats

STRANDS_SIZE = (192, 512)
"""Rows (top of the head to below the shoulders) and columns (round the head) of the picture of strands."""

TOP, BOTTOM = -125.0, 200.0
"""Heights in millimetres of the first and the last row of that picture."""

_THICKNESS = {"bald": 0.0, "buzz": 0.15, "short": 0.6, "full": 1.3, "bob": 1.1, "long": 1.0}
_ENDS = {"bob": 78.0, "long": 190.0}


def cover(person: Person, theta: Floats, t: Floats) -> Floats:
    """How much hair covers a place of the head, 0 to 1, with a soft and uneven edge."""
    if person.style == "bald":
        return np.zeros(np.broadcast(theta, t).shape)
    around = np.abs(theta)
    # Hairline by angle: brow, temple, before the ear, round the ear, nape.
    temple = person.hairline + 6 - person.receding
    sideburn = 0.0 if person.style == "buzz" else 12.0
    nape = 62.0
    angles = [0.0, 0.35, 0.75, 1.1, 1.32, 1.5, 1.62, 1.85, 2.1, np.pi]
    heights = [
        person.hairline, person.hairline - 0.4 * person.receding, temple, -28.0, sideburn, sideburn, -18.0,
        -14.0, nape, nape,
    ]  # fmt: skip
    line = np.interp(around, angles, heights)
    fringe = person.fringe * np.exp(-((theta / 0.95) ** 4))
    line = line + fringe
    line = line + 1.6 * np.sin(theta * 31 + person.number) + 1.2 * np.sin(theta * 57 + 2 * person.number)
    share = np.clip((line - t) / 7.0 + 0.5, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float64)


def thickness(person: Person, theta: Floats, t: Floats, covered: Floats) -> Floats:
    """How far hair stands off the head, in millimetres."""
    full = person.volume * _THICKNESS[person.style]
    above = np.clip((20 - t) / 120, 0.25, 1)
    curls = 1 + 0.25 * person.wave * np.sin(9 * theta + 0.05 * t) * np.sin(0.13 * t + person.number)
    return np.asarray(full * above * curls * covered, np.float64)


def strands(person: Person) -> NDArray[np.float32]:
    """(rows, columns) how light each strand is, 1 on average; seen round the head, see `STRANDS_SIZE`."""
    rng = np.random.default_rng([person.seed, person.number, 0, 1])
    rows, columns = STRANDS_SIZE
    fine = cv2.resize(
        rng.normal(0, 1, (5, columns)).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    broad = cv2.resize(
        rng.normal(0, 1, (4, columns // 8)).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    light = 1 + 0.16 * fine + 0.2 * broad
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    bent = (
        column + 14 * person.wave * np.sin(row * 0.16 + 1.5 * np.sin(column * 0.05)) + 6 * np.sin(row * 0.035)
    )
    read = cv2.remap(light, bent.astype(np.float32), row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(read, np.float32)


def locks(person: Person, colour: Floats) -> Mesh | None:
    """Hair that hangs from the temples down, or None for a person without."""
    end = _ENDS.get(person.style)
    if end is None:
        return None
    theta = np.linspace(1.2, 2 * np.pi - 1.2, 72)
    t = np.linspace(-48, end, 44)
    around, height = np.meshgrid(theta, t)
    hang = np.clip((height + 48) / 90, 0, 1)
    spread = person.volume * (0.75 + 0.5 * hang) + 4
    wavy = 3.5 * person.wave * np.sin(height * 0.09 + 5 * np.sin(around * 2)) * hang
    grooves = (1.4 + 1.2 * person.wave) * np.sin(around * 23 + 2 * np.sin(height * 0.05)) * hang
    tip = np.clip((height - end + 30) / 30, 0, 1) ** 2
    width = 74 * person.face_width + spread + wavy + grooves - 10 * tip
    depth = 88 + spread * 0.6 + wavy + grooves - 10 * tip
    front = 38 + 0.5 * spread
    # The front edge falls beside the cheeks: forward of the ears, behind the eyes.
    sine, cosine = np.sin(around), np.cos(around)
    z = np.where(cosine > 0, front * 1.4 * cosine, depth * cosine)
    points = np.stack([width * np.sign(sine) * np.abs(sine) ** 0.8, height, z], -1)
    place = np.stack(
        [np.where(around > np.pi, around - 2 * np.pi, around), np.zeros_like(around), height], -1
    )
    shade = 0.55 + 0.45 * np.clip(0.5 + 0.5 * grooves, 0, 1)
    # Seen from the front columns must run to the image's right: from behind, theta runs to its left.
    return grid_mesh(
        points, closed=False, colour=colour, place=place, pictured=True, hair=1.0, open_=shade, gloss=0.3
    )


def two_sided(mesh: Mesh) -> Mesh:
    """The mesh and its inside, whose normals point the other way."""
    return joined([mesh, replace(mesh.turned_over(), open=mesh.open * np.float32(0.45))])
