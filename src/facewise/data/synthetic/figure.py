"""A person ready to be photographed: head, ears, hair, neck and shoulders, posed as a view says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import cv2
import numpy as np

from facewise.data.synthetic import body, hair
from facewise.data.synthetic.camera import PIVOT, rotation_of
from facewise.data.synthetic.canvas import Pixels, Window, linear
from facewise.data.synthetic.features import eye, eye_window, mouth, mouth_window
from facewise.data.synthetic.mesh import COLUMNS, Mesh, Values, grid_mesh, grid_normals, joined, turned
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Expression, Floats, Head, head_of
from facewise.data.synthetic.skin import skin
from facewise.data.synthetic.view import View

_ROWS = 96


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A person before the camera, in millimetres.

    Attributes:
        mesh: Everything there is to see.
        face: (H, W, 3) linear picture of the face.
        strands: See `facewise.data.synthetic.hair.strands`.
        rotation: (3, 3) from the head's axes to the camera's.
        hair: (3,) linear colour.
    """

    mesh: Mesh
    face: Pixels
    strands: Pixels
    rotation: Floats
    hair: Floats


class Figure:
    """What all photos of a person have in common, made once."""

    def __init__(self, person: Person) -> None:
        self.person, self.head = person, head_of(person)
        self.tone, self.dark = linear(person.skin), linear(person.hair)
        self.skin = skin(person, self.head)
        self.bare = np.asarray(cv2.merge([*self.skin]), np.float32)
        self.strands = hair.strands(person)
        share = np.linspace(-1, 1, COLUMNS)
        theta = np.pi * (0.52 * share + 0.48 * share**3)  # denser where the face is
        theta, t = np.meshgrid(theta, _rows(self.head))
        covered = hair.cover(person, theta, t)
        raised = hair.thickness(person, theta, t, covered)
        self.surface = self.head.surface(theta, t)
        rest = self.surface.rest
        crown = grid_mesh(
            rest, closed=True, colour=self.tone, place=np.stack([theta, rest[..., 0], t], -1), pictured=True,
            hair=covered, open_=self._openness(theta, t, raised), gloss=0.75 - 0.45 * covered,
        )  # fmt: skip
        # Hair stands off away from the middle of the head: upwards only above the temples.
        self.up = np.minimum(t + 30, 0).astype(np.float32)
        self.raised = raised.astype(np.float32)
        ears = [body.ear(self.head, side, self.tone) for side in (-1, 1)]
        locks = hair.locks(person, self.dark)
        self.trunk = body.torso(person.jaw_width)
        self.still = joined(ears if locks is None else [*ears, hair.two_sided(locks)])
        self.whole = joined([crown, self.still, self.trunk])

    def _openness(self, theta: Floats, t: Floats, raised: Floats) -> Floats:
        """How much even light reaches a place: less in hollows and under the chin."""
        relief = self.head.relief(self.surface.rest[..., 0], t) * np.clip(np.cos(theta) * 3, 0, 1) + raised
        around = cv2.GaussianBlur(relief, (0, 0), 4.0)
        hollow = np.maximum(around - relief, 0)
        under = np.clip((t - self.person.chin) / 14, 0, 1) * 0.6
        return np.asarray(np.clip(1 - 0.055 * hollow, 0.45, 1) * (1 - under), np.float64)

    def posed(self, view: View) -> Posed:
        """The person as a photo of them shows."""
        rotation = rotation_of(view.yaw, view.pitch, view.roll)
        crown = self._crown(Expression.of(view))
        head = np.concatenate([crown, self.still.points], axis=1)
        normals = np.concatenate([grid_normals(crown, closed=True), self.still.normals], axis=1)
        # Shoulders follow the head a little.
        lean = rotation_of(0.3 * view.yaw, 0.0, 0.25 * view.roll)
        mesh = replace(
            self.whole,
            points=np.concatenate(
                [turned(head, rotation, PIVOT), turned(self.trunk.points, lean, PIVOT)], axis=1
            ),
            normals=np.concatenate([turned(normals, rotation), turned(self.trunk.normals, lean)], axis=1),
            colour=self._colours(view),
        )
        return Posed(mesh, self._face(view), self.strands, rotation, self.dark)

    def _crown(self, expression: Expression) -> Values:
        """(3, R, C) the head's vertices with the hair on them."""
        points = np.moveaxis(self.surface.places(expression), -1, 0).astype(np.float32)
        away = np.stack([points[0], self.up, points[2]])
        away *= self.raised / np.maximum(np.sqrt((away**2).sum(0)), np.float32(1e-9))
        return np.asarray(points + away, np.float32)

    def _colours(self, view: View) -> Values:
        rng = np.random.default_rng([view.seed, view.person, view.photo, 1])
        clothes = linear(rng.uniform(0.08, 0.9) * rng.uniform(0.6, 1.0, 3))
        colours = self.whole.colour.copy()
        colours[:, -self.trunk.rows :] = body.dressed(
            self.trunk, self.tone, clothes, float(rng.uniform(0, 60))
        )
        return colours

    def _face(self, view: View) -> Pixels:
        """(H, W, 3) linear picture."""
        face = self.bare.copy()

        def changed(where: Window, paint: Callable[[Pixels], None]) -> None:
            part = self.skin[:, where.rows, where.columns].copy()
            paint(part)
            face[where.rows, where.columns] = cv2.merge([*part])

        for side in (-1, 1):
            changed(eye_window(side), partial(eye, person=self.person, view=view, side=side))
        changed(mouth_window(self.person), partial(mouth, person=self.person, view=view))
        return face


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
