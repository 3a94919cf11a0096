"""What is known of a drawn face, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facewise.data.synthetic.camera import Camera, rotation_of, turned
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Expression, Floats, head_of
from facewise.data.synthetic.view import View
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One face of a drawn photo.

    Attributes:
        person: Name, see `Person.name`.
        box: (4,) float32 `[x1, y1, x2, y2]`, pixels: mid-forehead to chin, cheek to cheek.
        landmarks: (5, 2) float32, pixels: projections of points of the head's surface.
        view: How it was drawn: pose, light, expression, glasses.
    """

    person: str
    box: FloatArray
    landmarks: FloatArray
    view: View

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: pixels to 3 places, everything else to 6."""
        view = self.view
        numbers = {
            name: round(float(getattr(view, name)), 6)
            for name in (
                "yaw", "pitch", "roll", "mouth_open", "smile", "brow_raise", "eye_close", "light_strength",
                "exposure", "cover", "blur", "noise",
            )
        }  # fmt: skip
        return {
            "person": self.person,
            "box": [round(float(v), 3) for v in self.box],
            "landmarks": [[round(float(v), 3) for v in point] for point in self.landmarks],
            **numbers,
            "light": [round(v, 6) for v in view.light],
            "glasses": view.glasses,
        }

    def shifted(self, x: float, y: float, scale: float = 1.0) -> Truth:
        """The same face in a picture that shows this one scaled and moved."""
        by = np.array([x, y], np.float32)
        box = self.box * np.float32(scale) + np.tile(by, 2)
        return Truth(self.person, box, self.landmarks * np.float32(scale) + by, self.view)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `as_dict` without lists, for a table: columns such as `box_x1`, `nose_y`, `light_x`."""
    plain = {key: value for key, value in row.items() if not isinstance(value, list)}
    box = dict(zip(("box_x1", "box_y1", "box_x2", "box_y2"), row["box"], strict=True))
    points = {
        f"{name}_{axis}": value
        for name, point in zip(LANDMARKS, row["landmarks"], strict=True)
        for axis, value in zip("xy", point, strict=True)
    }
    light = {f"light_{axis}": value for axis, value in zip("xyz", row["light"], strict=True)}
    return {**plain, **box, **points, **light}


LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Names of the landmarks in a table; left and right as the image has them."""


def truth_of(person: Person, view: View) -> Truth:
    """What a photo shows, without drawing it."""
    head, expression = head_of(person), Expression.of(view)
    camera, rotation = Camera.of(view), rotation_of(view.yaw, view.pitch, view.roll)

    def seen(points: Floats) -> FloatArray:
        # Pixel centres are whole numbers where detectors and crops count, and halves in the camera.
        return (camera.pixels(turned(points, rotation))[:, :2] - 0.5).astype(np.float32)

    landmarks = seen(head.landmarks(expression))
    face = np.concatenate([seen(head.outline(expression)), landmarks])
    return Truth(person.name, np.concatenate([face.min(0), face.max(0)]), landmarks, view)
