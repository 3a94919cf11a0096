"""The kinds of scenes: each a background and the photos pasted on it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from facewise.data.scenes.background import background
from facewise.data.scenes.layer import Layer, similarity
from facewise.data.scenes.mixture import Mixture
from facewise.data.scenes.photos import LabelledPhoto
from facewise.data.scenes.pool import Pool
from facewise.types import Image

_MOST_GROWN = 3.5
"""How many times its size a face is shown at most: beyond that it is all blur."""

_CELL = 256
"""Pixels for one photo where photos are shown as they are."""


class Maker:
    """One scene under way: the photos to choose from and what was drawn at random so far."""

    def __init__(self, pool: Pool, mixture: Mixture, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.pool, self.mixture, self.size, self.rng = pool, mixture, size, rng

    def background(self) -> Image:
        """What it is put on."""
        return background(self.rng, self.size, [self.pool.real(self.rng) for _ in range(3)])

    def face_photo(self) -> LabelledPhoto:
        """Whose faces are shown; now and then a drawn person."""
        drawn = self.rng.random() < self.mixture.drawn
        return self.pool.drawn(self.rng) if drawn else self.pool.real(self.rng)

    def face_size(self, most: float) -> float:
        """Of equal chance for each doubling."""
        least = self.mixture.smallest
        return float(least * (max(most, least) / least) ** self.rng.random())

    def turn(self) -> float:
        """Radians."""
        if self.rng.random() < self.mixture.turned:
            return float(self.rng.uniform(-1, 1)) * math.pi / 4
        return float(np.clip(self.rng.normal(0, 0.1), -math.pi / 4, math.pi / 4))

    def flip(self) -> bool:
        """Whether a photo is mirrored."""
        return bool(self.rng.random() < 0.5)

    def soft(self) -> float:
        """Of a layer's edge; often none."""
        return 0.0 if self.rng.random() < 0.4 else float(self.rng.uniform(0.02, 0.15))

    def gain(self) -> float:
        """Of a layer; mostly none."""
        return 1.0 if self.rng.random() < 0.7 else float(self.rng.uniform(0.65, 1.3))

    def distractors(self, most: int) -> list[Layer]:
        """Pieces of photos without a face, pasted as faces are: an edge must not be what tells a face."""
        layers = []
        for _ in range(int(self.rng.integers(most + 1))):
            photo = self.pool.real(self.rng)
            if not len(photo.clear):
                continue
            part = photo.clear[int(self.rng.integers(len(photo.clear)))].astype(float)
            side = min(part[2] - part[0], part[3] - part[1]) * float(self.rng.uniform(0.4, 1.0))
            x, y = (float(self.rng.uniform(part[a], part[a + 2] - side)) for a in (0, 1))
            target = tuple(float(self.rng.uniform(0, s)) for s in (self.size[1], self.size[0]))
            scale = self.face_size(0.8 * min(self.size)) / side
            matrix = similarity(
                scale, self.turn(), (x + side / 2, y + side / 2), (target[0], target[1]), mirror=self.flip()
            )
            layers.append(Layer(photo, matrix, (x, y, x + side, y + side), self.soft(), self.gain()))
        return layers


def _plain(make: Maker) -> tuple[Image, list[Layer]]:
    """Photos as they are: each from the corner of a cell on, or cut where it is larger than the cell."""
    height, width = make.size
    rows, columns = max(1, height // _CELL), max(1, width // _CELL)
    high, wide = (height // rows, width // columns)
    layers = []
    for row in range(rows):
        for column in range(columns):
            photo, mirror = make.face_photo(), make.flip()
            left, top = _window(photo, (high, wide), make.rng)
            x, y = column * wide, row * high
            part_width, part_height = min(wide, photo.size[1] - left), min(high, photo.size[0] - top)
            part = (float(left), float(top), float(left + part_width), float(top + part_height))
            from_x = left + part_width if mirror else left
            matrix = similarity(1.0, 0.0, (from_x, top), (x, y), mirror=mirror)
            layers.append(Layer(photo, matrix, part))
    dim = make.background() if make.rng.random() < 0.5 else np.zeros((height, width, 3), np.uint8)
    return dim, layers


def _window(photo: LabelledPhoto, cell: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Left and top of the part of a photo to show: all of it, or a part with the middle of the main face."""
    middle = (photo.boxes[0, :2] + photo.boxes[0, 2:]) / 2
    corner = []
    for axis, (side, room) in enumerate(((photo.size[1], cell[1]), (photo.size[0], cell[0]))):
        if side <= room:
            corner.append(0)
            continue
        low, high = max(0, int(middle[axis] - 0.85 * room)), min(side - room, int(middle[axis] - 0.15 * room))
        corner.append(int(rng.integers(min(low, side - room), max(high, min(low, side - room)) + 1)))
    return corner[0], corner[1]


def _framed(make: Maker) -> tuple[Image, list[Layer]]:
    """One photo; its main face of any size up to more than the picture, anywhere, perhaps cut off."""
    height, width = make.size
    photo = make.face_photo()
    own = _face_extent(photo, 0)
    scale = min(make.face_size(1.15 * min(make.size)) / own, _MOST_GROWN)
    size = scale * own
    margin = 0.0 if make.rng.random() < 0.2 else 0.55 * size
    target = [
        float(make.rng.uniform(margin, side - margin)) if side > 2 * margin else side / 2
        for side in (width, height)
    ]
    middle = (photo.boxes[0, :2] + photo.boxes[0, 2:]) / 2
    matrix = similarity(
        scale, make.turn(), (float(middle[0]), float(middle[1])), (target[0], target[1]), mirror=make.flip()
    )
    whole = (0.0, 0.0, float(photo.size[1]), float(photo.size[0]))
    return make.background(), [Layer(photo, matrix, whole, make.soft())]


def _mosaic(make: Maker) -> tuple[Image, list[Layer]]:
    """A grid of photos' parts; edges are hard, faces may be cut."""
    height, width = make.size
    longer = max(height, width)
    # As many cells as hold the most faces, as some are left out; each at least 40 pixels.
    most = min(math.sqrt(make.mixture.most_faces * longer / min(height, width)), longer / 40)
    cells = int(make.rng.integers(2, max(2, int(most)) + 1))
    columns, rows = max(1, round(cells * width / longer)), max(1, round(cells * height / longer))
    wide, high = width / columns, height / rows
    layers: list[Layer] = []
    for row in range(rows):
        for column in range(columns):
            if make.rng.random() < 0.25 or len(layers) == make.mixture.most_faces:
                continue  # the background shows
            layers.append(_tile(make, (column * wide, row * high, (column + 1) * wide, (row + 1) * high)))
    return make.background(), layers


def _tile(make: Maker, cell: tuple[float, float, float, float]) -> Layer:
    photo = make.face_photo()
    face = int(make.rng.integers(len(photo.boxes)))
    x1, y1, x2, y2 = cell
    side = min(x2 - x1, y2 - y1)
    size = max(make.mixture.smallest, side * float(make.rng.uniform(0.3, 0.95)))
    scale = size / _face_extent(photo, face)
    aside = 0.5 * max(0.0, side - size) + 0.15 * size * (make.rng.random() < 0.2)
    target = (
        (x1 + x2) / 2 + aside * float(make.rng.uniform(-1, 1)),
        (y1 + y2) / 2 + aside * float(make.rng.uniform(-1, 1)),
    )
    middle = (photo.boxes[face, :2] + photo.boxes[face, 2:]) / 2
    matrix = similarity(scale, 0.0, (float(middle[0]), float(middle[1])), target, mirror=make.flip())
    corners = (np.array([[x1, y1], [x2, y2]]) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low = np.maximum(corners.min(axis=0), 0)
    high = np.minimum(corners.max(axis=0), [photo.size[1], photo.size[0]])
    return Layer(
        photo, matrix, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), 0.0, make.gain()
    )


def _crowd(make: Maker) -> tuple[Image, list[Layer]]:
    """Faces with something around them, none hiding another by much."""
    height, width = make.size
    wanted = round(make.mixture.most_faces ** float(make.rng.random()))
    layers = make.distractors(4)
    taken: list[tuple[float, float, float, float]] = []
    most = min(0.9 * min(make.size), 1.3 * math.sqrt(height * width / wanted))
    for _ in range(wanted):
        for _ in range(6):
            layer, box = _pasted_face(make, make.face_size(most))
            free = not any(_touch(layer.bounds, other, 0.9) or _touch(box, other, 0.9) for other in taken)
            if free:
                layers.append(layer)
                taken.append(box)
                break
    return make.background(), layers


def _pasted_face(make: Maker, size: float) -> tuple[Layer, tuple[float, float, float, float]]:
    photo = make.face_photo()
    face = 0 if make.rng.random() < 0.7 else int(make.rng.integers(len(photo.boxes)))
    box = photo.boxes[face].astype(float)
    scale = min(size / _face_extent(photo, face), _MOST_GROWN)
    height, width = make.size
    target = (float(make.rng.uniform(0, width)), float(make.rng.uniform(0, height)))
    if make.rng.random() < 0.85:  # inside, as far as it fits
        half = 0.6 * size
        target = (
            float(np.clip(target[0], min(half, width / 2), max(width - half, width / 2))),
            float(np.clip(target[1], min(half, height / 2), max(height - half, height / 2))),
        )
    context = float(make.rng.uniform(1.15, 2.2))
    middle, half_sides = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    low = np.maximum(middle - context * half_sides.max(), 0)
    high = np.minimum(middle + context * half_sides.max(), [photo.size[1], photo.size[0]])
    matrix = similarity(scale, make.turn(), (middle[0], middle[1]), target, mirror=make.flip())
    part = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    reach = scale * float(half_sides.max())
    around = (target[0] - reach, target[1] - reach, target[0] + reach, target[1] + reach)
    return Layer(photo, matrix, part, make.soft(), make.gain()), around


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float], share: float) -> bool:
    """Whether two boxes, each shrunk to a share of its sides, overlap."""
    return all(
        abs((a[i] + a[i + 2]) - (b[i] + b[i + 2])) < share * ((a[i + 2] - a[i]) + (b[i + 2] - b[i]))
        for i in (0, 1)
    )


def _empty(make: Maker) -> tuple[Image, list[Layer]]:
    return make.background(), make.distractors(8)


def _face_extent(photo: LabelledPhoto, face: int) -> float:
    box = photo.boxes[face]
    return max(1.0, math.sqrt(max(0.0, float(box[2] - box[0]) * float(box[3] - box[1]))))


MAKERS: dict[str, Callable[[Maker], tuple[Image, list[Layer]]]] = {
    "plain": _plain,
    "framed": _framed,
    "mosaic": _mosaic,
    "crowd": _crowd,
    "empty": _empty,
}
"""By kind: a background, and what to paste on it."""
