"""A person ready to be photographed: head, ears, hair, neck and shoulders, posed as a view says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from facewise.data.synthetic import body, hair
from facewise.data.synthetic.canvas import Pixels, linear
from facewise.data.synthetic.features import eye, mouth
from facewise.data.synthetic.mesh import Mesh, grid_mesh, joined
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Expression, Floats, Head
from facewise.data.synthetic.skin import skin
from facewise.data.synthetic.view import View

_COLUMNS, _ROWS = 84, 96
_FACE_TOP = -58.0
"""Where a face's box begins: the middle of the forehead."""


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A person before the camera, in millimetres.

    Attributes:
        mesh: Everything there is to see.
        face: (H, W, 3) linear picture of the face.
        landmarks: (5, 3).
        outline: (K, 3) points of the face, that its box encloses.
        rotation: (3, 3) from the head's axes to the camera's.
        hair: (3,) linear colour.
    """

    mesh: Mesh
    face: Pixels
    landmarks: Floats
    outline: Floats
    rotation: Floats
    hair: Floats


class Figure:
    """What all photos of a person have in common, made once."""

    def __init__(self, person: Person) -> None:
        self.person, self.head = person, Head(person)
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
        within = (np.abs(self.theta) < 1.25) & (self.t > _FACE_TOP) & (self.t < person.chin + 2)
        self._outline = np.nonzero(within[::2, ::2])

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
        bare = points[::2, ::2][self._outline]
        # Hair stands off away from the middle of the head: upwards only above the temples.
        away = np.stack([points[..., 0], np.minimum(self.t + 30, 0), points[..., 2]], -1)
        away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
        points = points + away * self.raised[..., None]
        crown = grid_mesh(
            points, closed=True, colour=self.tone, place=self.place, painted=1.0, hair=self.covered,
            open_=self.open, gloss=0.75 - 0.45 * self.covered,
        )  # fmt: skip
        head = joined([crown, self.still]).turned(rotation, body.PIVOT)
        mesh = joined([head, self._torso(view)])
        face = self.skin.copy()
        for side in (-1, 1):
            eye(face, self.person, view, side)
        mouth(face, self.person, view)

        def turn(places: Floats) -> Floats:
            return np.asarray((places - body.PIVOT) @ rotation.T + body.PIVOT, np.float64)

        return Posed(mesh, face, turn(self.head.landmarks(expression)), turn(bare), rotation, self.dark)

    def _torso(self, view: View) -> Mesh:
        rng = np.random.default_rng([view.seed, view.person, view.photo, 1])
        clothes = linear(rng.uniform(0.08, 0.9) * rng.uniform(0.6, 1.0, 3))
        trunk = body.torso(self.tone, clothes, float(rng.uniform(0, 60)), self.person.jaw_width)
        # Shoulders follow the head a little.
        return trunk.turned(rotation_of(0.3 * view.yaw, 0.0, 0.25 * view.roll), body.PIVOT)


@lru_cache(maxsize=4)
def figure(person: Person) -> Figure:
    """A person's figure; the last few are kept."""
    return Figure(person)


def rotation_of(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) rotation of a head: turned to the side, then nodded, then tilted; signs as `View` has them."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(tilt @ nod @ turn, np.float64)


def _rows(head: Head) -> Floats:
    """Heights of a head mesh's rows: close together from brow to chin."""
    crown = -head.person.crown
    top = crown + (-30 - crown) * (np.linspace(0, 1, 20, endpoint=False) ** 1.5)
    middle = np.linspace(-30, head.person.chin, _ROWS - 28, endpoint=False)
    return np.concatenate([top, middle, np.linspace(head.person.chin, head.bottom - 0.5, 8)])
