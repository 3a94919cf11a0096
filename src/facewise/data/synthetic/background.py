"""What is behind people: walls, gradients, stripes, clutter. It says nothing about who is there."""

from __future__ import annotations

import cv2
import numpy as np

from facewise.data.synthetic.canvas import Pixels, linear


def background(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """(height, width, 3) linear."""
    # All of it is out of focus: half the pixels show as much.
    half = _sharp(rng, (height + 1) // 2, (width + 1) // 2)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _sharp(rng: np.random.Generator, height: int, width: int) -> Pixels:
    row, column = np.mgrid[:height, :width].astype(np.float32) / np.float32(max(height, width))
    first, second = (_tone(rng) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (column - 0.5) + np.sin(angle) * (row - 0.5)
    share = np.clip(along + 0.5, 0, 1)[..., None].astype(np.float32)
    picture: Pixels = first * (1 - share) + second * share
    kind = int(rng.integers(4))
    if kind == 1:
        bands = 0.5 + 0.5 * np.tanh(4 * np.sin(along * rng.uniform(15, 60) + rng.uniform(0, 6)))
        picture = picture + (0.6 * bands[..., None]).astype(np.float32) * (_tone(rng) - picture)
    elif kind == 2:
        _clutter(picture, rng)
    cells = int(rng.integers(3, 24))
    cloud = rng.normal(0, rng.uniform(0.02, 0.25), (cells, cells)).astype(np.float32)
    picture *= 1 + cv2.resize(cloud, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    blur = float(rng.uniform(0.002, 0.02)) * max(height, width)
    return np.asarray(cv2.GaussianBlur(np.clip(picture, 0.003, 1), (0, 0), blur), np.float32)


def _tone(rng: np.random.Generator) -> Pixels:
    return linear(rng.uniform(0.08, 0.95) * rng.uniform(0.55, 1.0, 3)).astype(np.float32)


def _clutter(picture: Pixels, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(4, 16))):
        colour = tuple(float(v) for v in _tone(rng))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (int(v) for v in rng.integers(max(2, width // 20), max(3, width // 2), 2))
        if rng.random() < 0.6:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.ellipse(picture, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1)
