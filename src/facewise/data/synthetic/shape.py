"""The surface of a head: a tube of rounded cross-sections, with features raised and sunk on its front.

A place on the surface is (theta, t): theta goes round the head from 0 at the nose (positive to the image's
right), t is the height in millimetres at rest, and beyond the chin runs back under it. Features are placed by
(x, t), the place seen from the front at rest, so that skin is painted in millimetres of a flat picture. An
expression moves the places, and with them what is painted there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.data.synthetic.person import Person
from facewise.data.synthetic.view import View

Floats = NDArray[np.float64]

ROUNDNESS = 0.84
"""Exponent of the cross-section (a superellipse): 1 is an ellipse, less is squarer."""

FACE_TOP, FACE_SIDE = -58.0, 1.25
"""Where a face's box begins: the middle of the forehead (t) and before the ears (theta)."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What moves in a face, see `View`; at rest all is 0."""

    mouth_open: float = 0.0
    smile: float = 0.0
    brow_raise: float = 0.0

    @classmethod
    def of(cls, view: View) -> Expression:
        """The expression of a photo."""
        return cls(view.mouth_open, view.smile, view.brow_raise)

    def amounts(self) -> tuple[float, ...]:
        """How much there is of each thing that moves a face, see `Head.surface`; 0 or more."""
        raised, smile = self.brow_raise, self.smile
        return max(smile, 0.0), max(-smile, 0.0), self.mouth_open, max(raised, 0.0), max(-raised, 0.0)


REST = Expression()


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Places of a head and how a face moves them: worked out once for all photos.

    Attributes:
        rest: (…, 3) millimetres.
        moves: In the order of `Expression.amounts`, (…, 3) millimetres for an amount of 1.
    """

    rest: Floats
    moves: tuple[Floats, ...]

    def places(self, expression: Expression = REST) -> Floats:
        """(…, 3) where they are."""
        found = self.rest.copy()
        for amount, move in zip(expression.amounts(), self.moves, strict=True):
            if amount:
                found += amount * move
        return found


class Head:
    """The head of one person."""

    def __init__(self, person: Person) -> None:
        self.person = person
        chin = person.chin
        # height t: (half width, depth of the front, depth of the back, true height)
        lower = [
            (-40, 74, 92, 98, -40), (-15, 74, 89.5, 98, -15), (0, 73.5, 87, 96, 0), (25, 72, 88, 90, 25),
            (45, 70, 89, 84, 45), (65, 65, 89.5, 76, 65), (85, 57, 89, 70, 85), (100, 47.5, 87.5, 66, 100),
            (110, 41, 86, 64, 110), (118, 37, 81, 62, 117), (124, 37, 70, 60, 119), (134, 38, 48, 58, 119),
            (152, 38, 8, 56, 117),
        ]  # fmt: skip
        knots = np.array(lower, dtype=np.float64)
        below = knots[:, 0] > 45
        stretch = (chin - 45) / (118 - 45)
        for column in (0, 4):
            knots[below, column] = 45 + (knots[below, column] - 45) * stretch
        jaw = np.clip((knots[:, 0] - 40) / 50, 0, 1)
        knots[:, 1] *= person.face_width * (1 + (person.jaw_width - 1) * jaw)
        self.bottom = float(knots[-1, 0])
        self._t = np.arange(-40.0, self.bottom, 0.5)
        self._table = np.stack([_smooth(self._t, knots[:, 0], knots[:, i]) for i in range(1, 5)])
        x = np.array([-person.eye_x, person.eye_x, 0, -person.mouth_width, person.mouth_width])
        t = np.array([0, 0, person.nose_tip - 2, person.mouth_y, person.mouth_y])  # the ball of the nose
        self._landmarks = self.surface(self.theta_at(x, t), t)
        height = np.linspace(FACE_TOP, chin + 2, 40)
        theta, t = (v.reshape(-1) for v in np.meshgrid(np.linspace(-FACE_SIDE, FACE_SIDE, 25), height))
        self._outline = self.surface(theta, t)

    def _profile(self, t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Half width, depth of front and back, and true height at a height of the surface."""
        width, front, back, y = (np.interp(t, self._t, row) for row in self._table)
        # Above the temples a dome: the upper part of an ellipsoid, a little squarer.
        rise = np.clip((-40 - t) / (self.person.crown - 40), 0, 1)
        dome = np.power(np.maximum(1 - np.power(rise, 2.3), 0), 0.5)
        return width * dome, front * dome, back * dome, np.where(t < -40, t, y)

    def places(self, theta: ArrayLike, t: ArrayLike, expression: Expression = REST) -> Floats:
        """(…, 3) millimetres: where places on the surface, theta (…) and t (…), are."""
        return self.surface(theta, t).places(expression)

    def surface(self, theta: ArrayLike, t: ArrayLike) -> Surface:
        """Places on the surface.

        Args:
            theta: (…) radians.
            t: (…) millimetres.
        """
        theta, t = np.asarray(theta, np.float64), np.asarray(t, np.float64)
        width, front, back, y = self._profile(t)
        sine, cosine = np.sin(theta), np.cos(theta)
        x = width * np.sign(sine) * np.abs(sine) ** ROUNDNESS
        depth = np.where(cosine > 0, front, back)
        z = depth * np.sign(cosine) * np.abs(cosine) ** ROUNDNESS
        # The jaw rises from the chin to the ears.
        side = np.where(cosine > 0, sine**2, 1.0)
        y = y - np.maximum(y - 40, 0) * 0.42 * side
        z = z + self.relief(x, t) * np.clip(cosine * 3, 0, 1)
        return Surface(np.stack([x, y, z], axis=-1), self._moves(x, t))

    def theta_at(self, x: ArrayLike, t: ArrayLike) -> Floats:
        """Which theta of the front is seen at x, at rest."""
        x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
        width = self._profile(t)[0]
        share = np.clip(np.abs(x) / np.maximum(width, 1e-9), 0, 1)
        return np.asarray(np.sign(x) * np.arcsin(share ** (1 / ROUNDNESS)), np.float64)

    def landmarks(self, expression: Expression = REST) -> Floats:
        """(5, 3) left eye, right eye, nose tip, left and right mouth corner, as the image has them."""
        return self._landmarks.places(expression)

    def outline(self, expression: Expression = REST) -> Floats:
        """(K, 3) places all over the face, mid-forehead to chin and cheek to cheek: its box encloses them."""
        return self._outline.places(expression)

    def relief(self, x: Floats, t: Floats) -> Floats:
        """How far features stand out of the tube, towards the viewer, in millimetres."""
        p = self.person
        ax = np.abs(x)
        out = -p.eye_depth * _hill(ax - p.eye_x + 1, t + 1, 15, 12)
        out += 4.6 * _hill(ax - p.eye_x, t, 10.5, 7.5)  # the eyeball under the lids
        out += p.brow_ridge * _hill(ax - 0.85 * p.eye_x, t - p.brow_y - 1, 18, 7.5)
        out += p.cheekbones * _hill(ax - 46, t - 30, 17, 16) + 2.5 * _hill(ax - 30, t - 46, 15, 15)
        out -= 3.0 * _hill(ax - 66, t + 25, 16, 22)  # temples
        out -= 3.5 * _hill(ax - 52, t - 72, 14, 22)  # below the cheekbones
        lips = np.exp(-((ax / (p.mouth_width * 0.95)) ** 4))
        out += 4.5 * np.exp(-(((t - p.mouth_y) / 17) ** 2)) * np.exp(-((ax / 30) ** 2))
        out += lips * (0.55 * p.upper_lip * _bump(t - p.mouth_y + 0.55 * p.upper_lip, 0.7 * p.upper_lip + 1))
        out += lips * (0.6 * p.lower_lip * _bump(t - p.mouth_y - 0.5 * p.lower_lip, 0.6 * p.lower_lip + 1))
        out -= lips * 2.2 * _bump(t - p.mouth_y, 1.8)
        out -= 3.0 * _hill(ax, t - p.mouth_y - p.lower_lip - 8, 17, 5.5)
        out += p.chin_out * _hill(ax, t - p.chin + 14, 17, 11)
        out -= 1.2 * _hill(ax, t - p.mouth_y + p.upper_lip + 7, 2.4, 6)  # the groove below the nose
        out -= (0.6 + 1.6 * p.lines) * self.fold(ax, t)
        return out + self._nose(ax, t)

    def fold(self, ax: Floats, t: Floats) -> Floats:
        """0 to 1: the crease from the side of the nose to past the corner of the mouth."""
        p = self.person
        start, end = p.nose_tip - 2, p.mouth_y + 6
        along = np.clip((t - start) / (end - start), 0, 1)
        course = 17.5 * p.nose_width + along * (p.mouth_width + 7 - 17.5 * p.nose_width)
        ends = _step(start - 4, start + 6, t) * (1 - _step(end - 4, end + 8, t))
        return np.asarray(_bump(ax - course, 3.2) * ends, np.float64)

    def _nose(self, ax: Floats, t: Floats) -> Floats:
        p = self.person
        tip, root = p.nose_tip, -4.0
        along = np.clip((t - root) / (tip - root), 0, 1)
        bridge = p.nose_bridge * p.nose_out
        height = (
            3.5
            + (bridge - 3.5) * _step(0, 0.45, along)
            + (p.nose_out - bridge) * _step(0.25, 1.0, along) ** 1.3
        )
        below = 1 - _step(tip + 1.5, tip + 11, t)
        height = height * _step(root - 14, root + 4, t) * below
        width = (7.5 + 5.0 * along**2.5) * (0.7 + 0.3 * p.nose_width)
        ridge = np.exp(-np.power(ax / width, 2.1))
        ball = 2.5 * _hill(ax, t - tip + 1, 9.5 * p.nose_width, 8.5)
        wings = (
            9.0 * _hill(ax - 12.0 * p.nose_width, t - tip - 3.0, 6.3, 6.8) * (1 - _step(tip + 5, tip + 11, t))
        )
        return np.asarray(height * ridge + ball * below + wings, np.float64)

    def _moves(self, x: Floats, t: Floats) -> tuple[Floats, ...]:
        p = self.person
        ax, side, none = np.abs(x), np.sign(x), np.zeros(x.shape)
        corner = _hill(ax - p.mouth_width, t - p.mouth_y, 13, 12)
        lips = _hill(ax - p.mouth_width * 0.8, t - p.mouth_y, 24, 20)
        cheek = _hill(ax - 38, t - 40, 17, 16)
        jaw = _step(p.mouth_y - 3, p.mouth_y + 24, t) * np.exp(-((ax / 75) ** 4))
        brows = _hill(np.maximum(ax - 30, 0), t - p.brow_y, 16, 12)
        inner = _hill(ax - 12, t - p.brow_y, 9, 9) * np.clip(ax / 4, 0, 1)
        smile = (
            side * (4.5 * corner + 1.5 * cheek),
            -4.5 * corner - 2.0 * cheek - 1.0 * lips,
            3.0 * cheek - 2.0 * corner,
        )
        sulk = (side * -2.25 * corner, 4.5 * corner, none)
        mouth_open = (none, 0.75 * jaw, -0.25 * jaw)
        brow_raise = (none, -4.5 * brows, none)
        frown = (side * -2.0 * inner, 2.5 * brows, none)
        return tuple(np.stack(move, axis=-1) for move in (smile, sulk, mouth_open, brow_raise, frown))


@lru_cache(maxsize=16)
def head_of(person: Person) -> Head:
    """A person's head; the last few are kept."""
    return Head(person)


def _hill(x: Floats, y: Floats, width: float, height: float) -> Floats:
    return np.asarray(np.exp(-((x / width) ** 2) - (y / height) ** 2), np.float64)


def _bump(x: Floats, width: float) -> Floats:
    return np.asarray(np.exp(-((x / width) ** 2)), np.float64)


def _step(low: float, high: float, x: Floats) -> Floats:
    """0 up to `low`, 1 from `high`, smooth between."""
    share = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float64)


def _smooth(t: Floats, knots: Floats, values: Floats) -> Floats:
    """Values between knots without corners: straight lines, then a bell of 5 mm over them."""
    bell = np.exp(-0.5 * (np.arange(-30, 31) * 0.5 / 5.0) ** 2)
    line = np.pad(np.interp(t, knots, values), 30, mode="reflect", reflect_type="odd")
    return np.convolve(line, bell / bell.sum(), mode="valid")
