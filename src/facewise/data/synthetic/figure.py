"""A person ready to be photographed: head, ears, hair, neck and shoulders, posed as a view says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from facewise.data.synthetic import body, hair
from facewise.data.synthetic.camera import PIVOT, rotation_of
from facewise.data.synthetic.canvas import Pixels, linear
from facewise.data.synthetic.features import eye, mouth
from facewise.data.synthetic.mesh import Mesh, grid_mesh, joined
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Expression, Floats, Head, head_of
from facewise.data.synthetic.skin import skin
from facewise.data.synthetic.view import View

_COLUMNS, _ROWS = 84, 96


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A person before the camera, in millimetres.

    Attributes:
        mesh: Everything there is to see.
        face: (H, W, 3) linear picture of the face.
        rotation: (3, 3) from the head's axes to the camera's.
        hair: (3,) linear colour.
    """

    mesh: Mesh
    face: Pixels
    rotation: Floats
    hair: Floats


class Figure:
    """What all photos of a person have in common, made once."""

    def __init__(self, person: Person) -> None:
        self.person, self.head = person, head_of(person)
        self.tone, self.dark = linear(person.skin), linear(person.hair)
        self.skin = skin(person, self.head)
        self.strands = hair.strands(person)
        share = np.linspace(-1, 1, _COLUMNS, endpoint=False)
        theta = np.pi * (0.52 * share + 0.48 * share**3)  # denser where the face is
        self.theta, self.t = np.meshgrid(theta, _rows(self.head))
        self.covered = hair.cover(person, self.theta, self.t)
        self.raised = hair.thickness(person, self.theta, self.t, self.covered)
        rest = self.head.places(self.theta, self.t)
        self.place = np.stack([self.theta, rest[..., 0], self.t], -1)
        self.open = self._openness(rest)
        ears = [body.ear(self.head, side, self.tone) for side in (-1, 1)]
        locks = hair.locks(person, self.dark)
        self.still = joined(ears if locks is None else [*ears, hair.two_sided(locks)])

    def _openness(self, rest: Floats) -> Floats:
        """How much even light reaches a place: less in hollows and under the chin."""
        relief = self.head.relief(rest[..., 0], self.t) * np.clip(np.cos(self.theta) * 3, 0, 1) + self.raised
        around = cv2.GaussianBlur(relief, (0, 0), 4.0)
        hollow = np.maximum(around - relief, 0)
        under = np.clip((self.t - self.person.chin) / 14, 0, 1) * 0.6
        return np.asarray(np.clip(1 - 0.055 * hollow, 0.45, 1) * (1 - under), np.float64)

    def posed(self, view: View) -> Posed:
        """The person as a photo of them shows."""
        expression = Expression.of(view)
        rotation = rotation_of(view.yaw, view.pitch, view.roll)
        points = self.head.places(self.theta, self.t, expression)
        # Hair stands off away from the middle of the head: upwards only above the temples.
        away = np.stack([points[..., 0], np.minimum(self.t + 30, 0), points[..., 2]], -1)
        away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
        points = points + away * self.raised[..., None]
        crown = grid_mesh(
            points, closed=True, colour=self.tone, place=self.place, painted=1.0, hair=self.covered,
            open_=self.open, gloss=0.75 - 0.45 * self.covered,
        )  # fmt: skip
        head = joined([crown, self.still]).turned(rotation, PIVOT)
        mesh = joined([head, self._torso(view)])
        face = self.skin.copy()
        for side in (-1, 1):
            eye(face, self.person, view, side)
        mouth(face, self.person, view)

        return Posed(mesh, face, rotation, self.dark)

    def _torso(self, view: View) -> Mesh:
        rng = np.random.default_rng([view.seed, view.person, view.photo, 1])
        clothes = linear(rng.uniform(0.08, 0.9) * rng.uniform(0.6, 1.0, 3))
        trunk = body.torso(self.tone, clothes, float(rng.uniform(0, 60)), self.person.jaw_width)
        # Shoulders follow the head a little.
        return trunk.turned(rotation_of(0.3 * view.yaw, 0.0, 0.25 * view.roll), PIVOT)


@lru_cache(maxsize=4)
def figure(person: Person) -> Figure:
    """A person's figure; the last few are kept."""
    return Figure(person)


def _rows(head: Head) -> Floats:
    """Heights of a head mesh's rows: close together from brow to chin."""
    crown = -head.person.crown
    top = crown + (-30 - crown) * (np.linspace(0, 1, 20, endpoint=False) ** 1.5)
    middle = np.linspace(-30, head.person.chin, _ROWS - 28, endpoint=False)
    return np.concatenate([top, middle, np.linspace(head.person.chin, head.bottom - 0.5, 8)])
