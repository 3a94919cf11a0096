"""What of a face's picture is the same in every photo: skin, brows, beard, freckles, moles, lines."""

from __future__ import annotations

import cv2
import numpy as np

from facewise.data.synthetic.canvas import Pixels, Window, bell, edge, linear, paint, window
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.shape import Head


def skin(person: Person, head: Head) -> Pixels:
    """(3, H, W) linear picture of a face without eyes and mouth."""
    rng = np.random.default_rng([person.seed, person.number, 0, 2])
    whole = window()
    ax = np.abs(whole.x)
    tone = linear(person.skin).astype(np.float32)
    red = 0.55 * bell(ax - 40, 17) * bell(whole.t - 36, 17)
    red += 0.7 * bell(ax, 13) * bell(whole.t - person.nose_tip, 11) + 0.25 * bell(
        whole.t - person.chin + 8, 14
    )
    red += 0.18 * _cloud(rng, whole.shape, 24)
    shade = 0.03 * _cloud(rng, whole.shape, 40) + 0.02 * _cloud(rng, whole.shape, 150)
    shade -= 0.16 * bell(np.hypot((ax - person.eye_x) / 1.5, whole.t - 9), 5 + 2 * person.lines)
    shade -= 0.14 * bell(np.hypot((ax - person.eye_x + 3) / 1.6, whole.t + 6), 6)
    picture = np.stack(
        [
            tone[i]
            * (1 + np.float32((0.03, -0.17, -0.19)[i]) * red)
            * (1 + np.float32((0.8, 1.0, 1.05)[i]) * shade)
            for i in range(3)
        ]
    )
    _lines(picture, person, head)
    _freckles(picture, person, rng)
    _beard(picture, person, rng, whole)
    _moles(picture, person, rng)
    _nostrils(picture, person)
    for side in (-1, 1):
        _brow(picture, person, side, rng)
    return np.asarray(picture, np.float32)


def _cloud(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Pixels:
    """Smooth noise of standard deviation about 1."""
    coarse = rng.normal(0, 1.4, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _lines(picture: Pixels, person: Person, head: Head) -> None:
    """Folds beside the mouth, lines of the forehead and between the brows, crow's feet."""
    deep, line = linear(person.skin) * [0.5, 0.36, 0.32], person.lines
    beside = window(-50, round(person.nose_tip) - 8, 50, round(person.mouth_y) + 16)
    fold = head.fold(np.abs(beside.x).astype(np.float64), beside.t.astype(np.float64)).astype(np.float32)
    paint(picture, beside, fold * np.float32(0.12 + 0.25 * line), deep)
    forehead = window(-75, -60, 75, -26)
    for height in (-34.0, -43.0, -52.0):
        curve = forehead.t - height - 3 * np.cos(forehead.x / 14 + person.number)
        paint(picture, forehead, 0.3 * line * bell(curve, 1.0) * bell(forehead.x, 36), deep)
    frown = window(-12, -26, 12, -6)
    paint(
        picture, frown, (0.1 + 0.35 * line) * bell(np.abs(frown.x) - 5.5, 1.0) * edge(-10 - frown.t, 3), deep
    )
    for side in (-1, 1):
        feet = window(*((36, -12, 75, 14) if side > 0 else (-75, -12, -36, 14)))
        out = np.abs(feet.x) - person.eye_x - person.eye_width - 7
        for slope in (-0.35, 0.0, 0.35):
            paint(picture, feet, 0.35 * line * bell(feet.t - slope * out - 1, 0.9) * bell(out, 4.5), deep)


def _freckles(picture: Pixels, person: Person, rng: np.random.Generator) -> None:
    for _ in range(int(90 * person.freckles)):
        x, t = rng.normal(0, 30), rng.normal(28, 13)
        _spot(
            picture,
            float(x),
            float(t),
            float(rng.uniform(0.5, 1.1)),
            0.55,
            linear(person.skin) * [0.62, 0.42, 0.3],
        )


def _moles(picture: Pixels, person: Person, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice(4, p=[0.35, 0.3, 0.2, 0.15]))):
        x, t = rng.uniform(-55, 55), rng.uniform(-50, 100)
        radius, dark = float(rng.uniform(1.0, 2.4)), linear(person.skin) * [0.28, 0.18, 0.14]
        _spot(picture, float(x), float(t), radius, 0.9, dark)


def _spot(picture: Pixels, x: float, t: float, radius: float, amount: float, colour: object) -> None:
    if not (-85 < x < 85 and -120 < t < 155):
        return
    where = window(*(round(v) for v in (x - 4, t - 4, x + 4, t + 4)))
    distance = np.hypot(where.x - np.float32(x), where.t - np.float32(t))
    paint(picture, where, amount * edge(np.float32(radius) - distance, 0.5), np.asarray(colour))


def _beard(picture: Pixels, person: Person, rng: np.random.Generator, whole: Window) -> None:
    ax, t = np.abs(whole.x), whole.t
    grain = 0.5 * _cloud(rng, whole.shape, 110)
    if person.beard > 0:
        # From the sideburns down along the jaw; the cheek's border sinks towards the mouth.
        border = (
            np.interp(ax, [0, 14, 30, 45, 62, 90], [8, 8, 2, -14, -40, -60]).astype(np.float32)
            + person.mouth_y
        )
        amount = edge(t - border + 2.0 * grain, 5.0)
        lips = edge(person.mouth_width + 4 - ax, 4) * edge(
            person.lower_lip + 3 - np.abs(t - person.mouth_y - 2), 2
        )
        amount *= (1 - lips) * np.float32(0.35 + 0.6 * person.beard if person.beard > 0.5 else 0.42)
        paint(
            picture, whole, np.clip(amount * (1 + 0.18 * grain), 0, 0.95), linear(person.hair) * 0.95 + 0.004
        )
    if person.moustache > 0 and person.beard != 0.3:
        middle = person.mouth_y - person.upper_lip - 4.0 + 0.010 * ax**2
        amount = edge(4.2 - np.abs(t - middle) + 0.6 * grain, 1.6) * edge(person.mouth_width + 3 - ax, 3)
        paint(
            picture, whole, np.clip(0.85 * person.moustache * amount, 0, 1), linear(person.hair) * 0.9 + 0.004
        )


def _nostrils(picture: Pixels, person: Person) -> None:
    tip = round(person.nose_tip)
    where = window(-30, tip - 20, 30, tip + 20)
    ax, t = np.abs(where.x), where.t - np.float32(person.nose_tip)
    width = person.nose_width
    hole = np.hypot((ax - 6.3 * width) / (4.2 * width), (t - 6.4 - 0.12 * (ax - 6)) / 2.3)
    dark = linear(person.skin) * [0.2, 0.12, 0.1]
    paint(picture, where, 0.9 * edge((1 - hole) * 2.5, 1.0), dark)
    wing = np.abs(np.hypot((ax - 11.2 * width) / (7.6 * width), (t - 2.5) / 7.6) - 1)
    amount = 0.42 * bell(wing, 0.14) * edge(ax - 12.5 * width, 2) * edge(t + 5, 3)
    amount += 0.3 * bell(t - 9.5, 2.2) * bell(ax, 13 * width)
    paint(picture, where, np.clip(amount, 0, 1), linear(person.skin) * [0.4, 0.26, 0.22])


def _brow(picture: Pixels, person: Person, side: int, rng: np.random.Generator) -> None:
    where = window(*((2, -50, 75, 5) if side > 0 else (-75, -50, -2, 5)))
    out = np.abs(where.x) - np.float32(person.eye_x)
    along = out / np.float32(person.brow_length)
    arch = person.brow_arch * (1 - (along - 0.25) ** 2)
    middle = person.brow_y - arch - person.brow_tilt * out
    # Thick by the nose, thin at the temple.
    half = person.brow_thickness * np.clip(1.12 - 0.42 * (along + 1) - 0.25 * np.clip(along, 0, 2), 0.12, 1.1)
    hairs = np.sin(where.x * 2.6 + side * where.t * 1.9 + person.number) * 0.35 + 0.5 * _cloud(
        rng, where.shape, 48
    )
    amount = edge(half - np.abs(where.t - middle) + 0.35 * hairs, 0.8) * edge((1 - np.abs(along)) * 14, 4)
    colour = np.minimum(linear(person.hair) * 0.6, linear(person.skin) * 0.55) + 0.003
    paint(picture, where, np.clip(amount * (0.85 + 0.1 * hairs), 0, 0.95), colour)
