"""What scenes are put on: pieces of photos without faces, gradients, textures, clutter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from facewise.data.scenes.photos import LabelledPhoto
from facewise.types import Image

KINDS = ("piece", "gradient", "cloud", "stripes", "noise", "clutter")


def background(
    rng: np.random.Generator,
    size: tuple[int, int],
    photos: Sequence[LabelledPhoto],
    *,
    kind: str | None = None,
) -> Image:
    """A picture without faces.

    Args:
        rng: Says everything else.
        size: (height, width) in pixels.
        photos: Where pieces may come from; those that have no clear place give a texture instead.
        kind: One of `KINDS`; None draws it, half of the time a piece of a photo.

    Returns:
        (H, W, 3) RGB uint8, its own memory.
    """
    if kind is None:
        kind = "piece" if rng.random() < 0.5 else KINDS[int(rng.integers(1, len(KINDS)))]
    if kind == "piece":
        clear = [photo for photo in photos if len(photo.clear)]
        if clear:
            return _piece(rng, size, clear[int(rng.integers(len(clear)))])
        kind = "cloud"
    if kind == "noise":
        return _noise(rng, size)
    if kind == "cloud":
        return _cloud(rng, size)
    picture = _gradient(rng, size)
    if kind == "stripes":
        _stripes(picture, rng)
    elif kind == "clutter":
        _clutter(picture, rng)
    return picture


def _piece(rng: np.random.Generator, size: tuple[int, int], photo: LabelledPhoto) -> Image:
    x1, y1, x2, y2 = (int(v) for v in photo.clear[int(rng.integers(len(photo.clear)))])
    height, width = size
    # The largest part of the same shape, or a smaller one, magnified.
    most = min((x2 - x1) / width, (y2 - y1) / height)
    part = max(most * float(rng.uniform(0.6, 1.0)), 16 / min(size))
    w, h = min(x2 - x1, max(1, round(part * width))), min(y2 - y1, max(1, round(part * height)))
    x, y = x1 + int(rng.integers(x2 - x1 - w + 1)), y1 + int(rng.integers(y2 - y1 - h + 1))
    piece = photo.levels[0][y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    smooth = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=smooth), np.uint8
    )


def _tone(rng: np.random.Generator) -> np.ndarray:
    """A colour; often a grey or the colour of skin, which must not be what tells a face."""
    kind = rng.random()
    if kind < 0.25:
        return np.full(3, rng.uniform(0, 255)) + rng.uniform(-8, 8, 3)
    if kind < 0.5:
        skin = np.array([224.0, 172.0, 140.0]) * rng.uniform(0.25, 1.1)
        return np.clip(skin + rng.uniform(-15, 15, 3), 0, 255)
    return rng.uniform(0, 255, 3)


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    corners = np.stack([_tone(rng) for _ in range(4)]).reshape(2, 2, 3)
    if rng.random() < 0.3:
        corners[:] = corners[0, 0]
    grown = cv2.resize(corners.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(grown, 0, 255).astype(np.uint8)


def _cloud(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Noise of several sizes summed: walls, leaves, marble."""
    picture = _gradient(rng, size).astype(np.float32)
    strength, fade = rng.uniform(20, 90), rng.uniform(0.4, 0.9)
    cells = int(rng.integers(2, 8))
    grey = rng.random() < 0.5
    while cells < min(size):
        noise = rng.normal(0, strength, (cells, cells, 1 if grey else 3)).astype(np.float32)
        grown = cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        picture += grown[..., None] if grey else grown
        cells, strength = cells * 2, strength * fade
    return np.clip(picture, 0, 255).astype(np.uint8)


def _stripes(picture: Image, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    row, column = np.mgrid[:height, :width].astype(np.float32)
    angle, wave = rng.uniform(0, math.pi), rng.uniform(3, 60)
    along = np.cos(angle) * column + np.sin(angle) * row
    share = 0.5 + 0.5 * np.tanh(rng.uniform(0.5, 6) * np.sin(2 * np.pi * along / wave))
    if rng.random() < 0.4:  # checks
        across = np.cos(angle) * row - np.sin(angle) * column
        share *= 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * across / wave))
    picture[:] = (picture + share[..., None] * (_tone(rng) - picture)).astype(np.uint8)


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    coarse = max(1, int(2 ** rng.uniform(0, 4)))
    shape = (max(1, size[0] // coarse), max(1, size[1] // coarse))
    values = np.frombuffer(rng.bytes(3 * shape[0] * shape[1]), np.uint8).reshape(*shape, 3)
    smooth = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (size[1], size[0]), interpolation=smooth), np.uint8)


def _clutter(picture: Image, rng: np.random.Generator) -> None:
    """Shapes in heaps: discs with dots in them, letters, lines, boxes."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(5, 40))):
        colour = tuple(float(v) for v in _tone(rng))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (max(3, int(min(size) * 2 ** rng.uniform(-6, -1.3))) for size in (picture.shape[:2],) * 2)
        thick = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
        kind = int(rng.integers(5))
        if kind == 0:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, thick)
        elif kind == 1:
            cv2.ellipse(
                picture, (x, y), (w, h), float(rng.uniform(0, 180)), 0, 360, colour, thick, cv2.LINE_AA
            )
        elif kind == 2:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.line(picture, (x, y), end, colour, int(rng.integers(1, 8)), cv2.LINE_AA)
        elif kind == 3:
            letter = chr(int(rng.integers(33, 127)))
            cv2.putText(
                picture, letter, (x, y), int(rng.integers(8)), max(w, 8) / 22, colour, int(rng.integers(1, 4))
            )
        else:  # a ball with spots: round and of two colours, but no face
            cv2.ellipse(picture, (x, y), (w, h), 0, 0, 360, colour, -1, cv2.LINE_AA)
            for _ in range(int(rng.integers(1, 4))):
                at = (x + int(w * rng.uniform(-0.6, 0.6)), y + int(h * rng.uniform(-0.6, 0.6)))
                spot = tuple(float(v) for v in _tone(rng))
                cv2.circle(picture, at, max(1, w // 6), spot, -1, cv2.LINE_AA)
