"""From millimetres before the camera to pixels of the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.shape import Floats
from facewise.data.synthetic.view import View

_Plane: TypeAlias = NDArray[np.floating[Any]]

DISTANCE = 1100.0
"""Millimetres from the camera to the middle of the head: a portrait, not a selfie."""

PIVOT = np.array([0.0, 70.0, -20.0])
"""What the head turns about, in millimetres."""

_FACE_HEIGHT = 180.0
"""Millimetres that count as the height of a face when a view says how large it is."""

_MIDDLE = np.array([[0.0, 32.0, 70.0]])
"""The middle of the face, which a view places in the photo."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole.

    Attributes:
        scale: Pixels a millimetre at the middle of the head.
        x: Column of the optical axis, in pixels.
        y: Row of it.
    """

    scale: float
    x: float
    y: float

    @classmethod
    def of(cls, view: View) -> Camera:
        """The camera that shows a face where and as large as a view says."""
        plain = cls(view.face_height * view.size / _FACE_HEIGHT, 0.0, 0.0)
        column, row = plain.pixels(turned(_MIDDLE, rotation_of(view.yaw, view.pitch, view.roll)))[0, :2]
        return cls(plain.scale, view.centre[0] * view.size - column, view.centre[1] * view.size - row)

    def pixels(self, points: Floats) -> Floats:
        """Where points (K, 3) are seen: (K, 3) column, row, and nearness in millimetres."""
        return np.stack(self._seen(*points.T), -1)

    def planes(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `pixels`, of points (3, …) to (3, …)."""
        return np.stack(self._seen(*points))

    def _seen(self, x: _Plane, y: _Plane, z: _Plane) -> tuple[_Plane, _Plane, _Plane]:
        scale = (self.scale * DISTANCE) / (DISTANCE - z)
        return self.x + scale * x, self.y + scale * y, z

    def enlarged(self, factor: float) -> Camera:
        """The same picture with so many times the pixels."""
        return Camera(self.scale * factor, self.x * factor, self.y * factor)


def rotation_of(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) rotation of a head: turned to the side, then nodded, then tilted; signs as `View` has them."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(tilt @ nod @ turn, np.float64)


def turned(points: Floats, rotation: Floats) -> Floats:
    """Points (K, 3) of the head where a rotation of the head takes them."""
    return np.asarray((points - PIVOT) @ rotation.T + PIVOT, np.float64)
