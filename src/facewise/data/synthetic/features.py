"""What of a face's picture changes with the expression: eyes with their lids, and the mouth."""

from __future__ import annotations

import numpy as np

from facewise.data.synthetic.canvas import Pixels, Window, bell, edge, lay, linear, window
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.view import View

IRIS = 6.0
"""Radius of an iris in millimetres: nearly the same in everybody."""


def eye_window(side: int) -> Window:
    """Where an eye changes the picture of a face; sides as `eye` has them."""
    return window(*((8, -17, 58, 14) if side > 0 else (-58, -17, -8, 14)))


def mouth_window(person: Person) -> Window:
    """Where the mouth changes the picture of a face."""
    height = round(person.mouth_y)
    return window(-38, height - 20, 38, height + 26)


def eye(part: Pixels, person: Person, view: View, side: int) -> None:
    """Paints an eye.

    Args:
        part: To paint on: `eye_window` of the picture.
        person: Whose.
        view: How far it is closed and where it looks to.
        side: -1 at the image's left, 1 at its right.
    """
    where = eye_window(side)
    x = where.x - np.float32(side * person.eye_x)
    out = x * side  # positive towards the temple
    tilted = where.t + np.float32(person.eye_tilt) * out
    along = np.clip(out / np.float32(person.eye_width), -1, 1)
    shut = min(view.eye_close + 0.15 * max(view.smile, 0), 1.0)
    arc = np.power(1 - along**2, 0.7)
    # The upper lid is highest on the nose's side of the middle, the lower one lowest on the temple's.
    upper = -6.4 * person.eye_height * arc * (1 - 0.14 * along) * (1 - 1.3 * shut) + 0.4
    lower = 4.3 * person.eye_height * np.power(1 - along**2, 0.85) * (1 + 0.12 * along) * (1 - 0.15 * shut)
    lower = np.maximum(lower, upper)
    open_ = np.minimum(tilted - upper, lower - tilted)
    within = np.abs(out) < person.eye_width
    visible = np.where(within, edge(open_, 0.5), 0).astype(np.float32) * edge(
        np.float32(person.eye_width) - np.abs(out)
    )

    skin_dark = linear(person.skin) * [0.42, 0.3, 0.27]
    crease = np.abs(tilted - (-6.4 * person.eye_height * arc * (1 - 0.14 * along) - 3.2))
    lay(
        part,
        0.5 * bell(crease, 1.1) * edge(np.float32(person.eye_width * 1.02) - np.abs(out), 3),
        skin_dark,
    )
    bag = np.abs(tilted - lower - 4.5 - 1.5 * person.lines)
    lay(part, np.float32(0.12 + 0.25 * person.lines) * bell(bag, 1.2) * bell(out, 11), skin_dark)

    shade = np.clip(1 - 0.5 * bell(tilted - upper, 2.6) - 0.2 * np.abs(along) ** 3, 0, 1)
    lay(part, visible, [shade * value for value in (0.72, 0.68, 0.65)])
    gaze = np.float32(view.gaze[0]), np.float32(view.gaze[1] - 0.6)
    _iris(part, x - gaze[0], where.t - gaze[1], visible * shade, person)
    inner = np.hypot(out + person.eye_width - 1.4, tilted - 0.8)
    lay(part, 0.75 * visible * edge(1.8 - inner, 0.8), [0.5, 0.2, 0.18])

    lash = np.where(within, bell(tilted - upper + 0.3, 0.95), 0) * edge(
        np.float32(person.eye_width + 1) - np.abs(out), 1
    )
    lay(part, np.asarray(0.92 * lash, np.float32), linear([0.10, 0.07, 0.06]))
    rim = np.where(within, bell(tilted - lower - 0.2, 0.7), 0).astype(np.float32)
    lay(part, 0.45 * rim, skin_dark)


def _iris(part: Pixels, x: Pixels, t: Pixels, seen: Pixels, person: Person) -> None:
    # All of it is within a small square.
    rows, columns = (
        slice(int(np.searchsorted(v, -IRIS - 1)), int(np.searchsorted(v, IRIS + 1))) for v in (t[:, 0], x[0])
    )
    part, x, t, seen = part[:, rows, columns], x[:, columns], t[rows], seen[rows, columns]
    distance = np.hypot(x, t)
    angle = np.arctan2(t, x)
    rays = 1 + 0.18 * np.sin(angle * 17 + person.number) * np.clip(distance / IRIS, 0, 1)
    rays *= 1 - 0.7 * edge(distance - np.float32(IRIS - 1.1), 0.6)  # the dark ring round it
    rays *= 1 - 0.97 * edge(np.float32(2.4) - distance, 0.4)  # the pupil
    amount = seen * edge(np.float32(IRIS) - distance, 0.5)
    lay(part, amount, [rays * float(value) for value in linear(person.iris)])
    glint = seen * edge(np.float32(1.15) - np.hypot(x - 1.6, t + 2.0), 0.4)
    lay(part, 0.9 * glint, [0.95] * 3)


def mouth(part: Pixels, person: Person, view: View) -> None:
    """Paints the mouth on `mouth_window` of the picture; `view` says how far it is open and smiling."""
    where = mouth_window(person)
    x, t = where.x, where.t - np.float32(person.mouth_y)
    width = np.float32(person.mouth_width)
    along = np.clip(np.abs(x) / width, 0, 1)
    arc = np.power(1 - along**2, 0.75)
    gap = max(0.55 * view.mouth_open, 2.6 * max(view.smile - 0.45, 0))
    lift = -0.12 * gap * arc
    inner_top, inner_bottom = lift - 0.28 * gap * arc, lift + 0.72 * gap * arc
    thin = 1 - 0.22 * max(view.smile, 0)
    bow = 1 - 0.20 * bell(x, 3.0) + 0.10 * bell(np.abs(x) - 7, 5)
    top = inner_top - person.upper_lip * thin * np.power(1 - along**1.7, 0.9) * bow
    bottom = inner_bottom + person.lower_lip * thin * np.power(1 - along**2.2, 0.8)
    tone = linear(person.skin)
    rose = tone * [0.80, 0.42, 0.42] + np.array([0.05, 0.0, 0.005])
    colour = tone * [0.82, 0.62, 0.6] * (1 - person.lip) + rose * person.lip
    ends = edge(width - np.abs(x), 0.8)
    upper = edge(np.minimum(t - top, inner_top - t), 0.6) * ends
    lower = edge(np.minimum(t - inner_bottom, bottom - t), 0.7) * ends
    lay(part, 0.95 * upper, colour * 0.74)
    lay(part, 0.92 * lower, colour)
    sheen = bell(t - (inner_bottom + 0.42 * (bottom - inner_bottom)), 1.3) * bell(
        x, 0.45 * person.mouth_width
    )
    lay(part, np.asarray(0.22 * sheen * lower, np.float32), colour * 1.5 + 0.05)

    line = bell(t - (inner_top + inner_bottom) / 2, 0.95) * edge(width + 0.8 - np.abs(x), 1.2)
    lay(part, np.asarray(0.85 * line, np.float32), tone * [0.22, 0.1, 0.09])
    corner = np.hypot(np.abs(x) - width, t)
    lay(part, 0.5 * bell(corner, 2.3), tone * [0.35, 0.22, 0.2])
    if gap > 0.3:
        within = edge(np.minimum(t - inner_top, inner_bottom - t), 0.5) * ends
        lay(part, within, [0.035, 0.010, 0.010])
        teeth = within * edge(
            np.minimum(np.float32(6.5), 0.75 * (inner_bottom - inner_top)) - (t - inner_top), 0.5
        )
        shade = np.clip(1.05 - 0.75 * along**2, 0.1, 1) * (1 - 0.22 * bell((np.abs(x) + 3.5) % 7 - 3.5, 0.5))
        lay(part, teeth, [shade * value for value in (0.66, 0.62, 0.54)])
        tongue = within * edge(5.0 - np.hypot(x / 3.0, t - inner_bottom - 0.5), 2.0) * (1 - teeth)
        lay(part, np.asarray(0.8 * tongue, np.float32), [0.24, 0.06, 0.06])
    lay(
        part,
        0.3 * bell(t - bottom - 3.0, 2.2) * bell(x, 0.55 * person.mouth_width),
        tone * [0.45, 0.32, 0.28],
    )
