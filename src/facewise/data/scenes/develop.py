"""What happens to a finished scene on its way to a file: light, colour, lens, sensor, compression."""

from __future__ import annotations

import cv2
import numpy as np

from facewise.data.augment import pixels
from facewise.types import Image


def develop(picture: Image, rng: np.random.Generator, strength: float) -> Image:
    """A scene as some camera might have taken it; places stay where they are.

    Args:
        picture: (H, W, 3) RGB uint8.
        rng: Says what happens.
        strength: 0 is nothing, 1 as in training.

    Returns:
        (H, W, 3) RGB uint8.
    """

    def happens(chance: float) -> bool:
        return bool(rng.random() < chance * strength)

    if happens(0.12):
        picture = _dark(picture, rng)
    elif happens(0.5):  # not as well: nobody sees anything in what is made dark twice
        picture = pixels.tone(picture, float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.6, 1.4)))
    if happens(0.35):
        picture = pixels.colour(picture, float(rng.uniform(0, 1.5)), float(rng.normal(0, 0.15)))
    if happens(0.1):
        picture = pixels.colour(picture, 0.0)
    if happens(0.15):
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.6))), np.uint8)
    if happens(0.12):
        picture = _smaller(picture, float(rng.uniform(0.45, 0.9)))
    if happens(0.2):
        picture = pixels.noise(picture, float(rng.uniform(1, 14)), rng)
    if happens(0.35):
        picture = pixels.jpeg(picture, float(rng.uniform(30, 95)))
    return np.ascontiguousarray(picture)


def _dark(picture: Image, rng: np.random.Generator) -> Image:
    """Low light: little of it, reddish or bluish, and the sensor's noise."""
    gain = float(rng.uniform(0.2, 0.5)) * (1 + rng.uniform(-0.25, 0.25, 3))
    dark = np.asarray(cv2.transform(picture, np.diag(gain)), np.uint8)
    return pixels.noise(dark, float(rng.uniform(2, 9)), rng)


def _smaller(picture: Image, factor: float) -> Image:
    height, width = picture.shape[:2]
    small = cv2.resize(
        picture, (max(8, round(width * factor)), max(8, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
