"""What happens to the pixels of a crop: light and colour, what a bad camera and a small file do, covering.

Crops are (S, S, 3) RGB uint8 and are not changed; what is returned is as the crop. Lengths in pixels are
those of a crop of 112 and grow with the crop, so that a setting means the same at every size.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.types import Image

_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G, B in grey: ITU-R BT.601, as JPEG and OpenCV have them."""

_LEVELS = np.arange(256.0)
_AXIS = 1 / math.sqrt(3)


def _gaussian_levels() -> NDArray[np.float32]:
    """Byte → standard normal number: 256 quantiles, scaled to variance 1."""
    levels = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
    scaled: NDArray[np.float32] = (levels / levels.std()).astype(np.float32)
    return scaled


_GAUSSIAN = _gaussian_levels()


def tone(crop: Image, brightness: float = 1.0, contrast: float = 1.0, gamma: float = 1.0) -> Image:
    """Multiply by `brightness`, spread about the mean grey by `contrast`, raise to the power `gamma`.

    The power is of values in [0, 1]: above 1 darkens the middle greys.
    """
    values = _LEVELS * brightness
    if contrast != 1.0:
        mean = float(_LUMA @ cv2.mean(crop)[:3]) * brightness
        values = (values - mean) * contrast + mean
    values = np.clip(values, 0.0, 255.0)
    if gamma != 1.0:
        values = 255.0 * (values / 255.0) ** gamma
    return cv2.LUT(crop, np.rint(values).astype(np.uint8)).astype(np.uint8, copy=False)


def colour(crop: Image, saturation: float = 1.0, hue: float = 0.0) -> Image:
    """Turn colours about the grey axis of RGB by `hue` radians, then mix with grey: 0 is all grey."""
    cos, sin = math.cos(hue), math.sin(hue)
    same, before, after = cos + (1 - cos) / 3, (1 - cos) / 3 - _AXIS * sin, (1 - cos) / 3 + _AXIS * sin
    turn = np.array(((same, before, after), (after, same, before), (before, after, same)))
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA
    return cv2.transform(crop, mix @ turn).astype(np.uint8, copy=False)


def blur(crop: Image, sigma: float) -> Image:
    """Out of focus: Gaussian blur of so many pixels."""
    sigma *= crop.shape[0] / 112
    if sigma <= 0:
        return crop
    width = 2 * math.ceil(2.5 * sigma) + 1
    return cv2.GaussianBlur(crop, (width, width), sigma).astype(np.uint8, copy=False)


def motion(crop: Image, length: float, direction: float) -> Image:
    """Shaken: the mean along a line of so many pixels, at an angle in radians."""
    length *= crop.shape[0] / 112
    half = math.ceil(length / 2)
    x, y = math.cos(direction) * length / 2, math.sin(direction) * length / 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    # In sixteenths of a pixel, so that the line keeps its length and angle.
    ends = [(round((half + s * x) * 16), round((half + s * y) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    return cv2.filter2D(crop, -1, kernel / kernel.sum()).astype(np.uint8, copy=False)


def downscale(crop: Image, factor: float) -> Image:
    """Far away: made smaller to `factor` of the side, and large again."""
    size = crop.shape[0]
    small = max(1, round(size * factor))
    if small >= size:
        return crop
    reduced = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def jpeg(crop: Image, quality: float) -> Image:
    """Saved as JPEG of a quality from 1 to 100 and read again."""
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    return cast("Image", cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def noise(crop: Image, deviation: float, rng: np.random.Generator) -> Image:
    """Add normal noise of a standard deviation in grey levels, drawn for each pixel and channel.

    The numbers are drawn from 256 quantiles, ten times quicker than normal numbers; none is farther out than
    2.9 deviations.
    """
    drawn = np.frombuffer(rng.bytes(crop.size), np.uint8).reshape(crop.shape)
    added = cv2.LUT(drawn, np.rint(_GAUSSIAN * deviation).astype(np.int16))
    return cv2.add(crop, added, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def erase(
    crop: Image, area: float, aspect: float, place: tuple[float, float], rng: np.random.Generator
) -> Image:
    """Cover a rectangle with random pixels: Zhong et al. 2017, "Random Erasing Data Augmentation", RE-R.

    Args:
        crop: The crop.
        area: Of the rectangle, as a fraction of the crop's.
        aspect: Height over width; a rectangle that would be longer than the crop is cut off.
        place: Of its corner, (x, y), from 0 to 1 of where it can be.
        rng: Of its pixels.
    """
    size = crop.shape[0]
    height = min(size, round(size * math.sqrt(area * aspect)))
    width = min(size, round(size * math.sqrt(area / aspect)))
    left, top = round(place[0] * (size - width)), round(place[1] * (size - height))
    covered = crop.copy()
    covered[top : top + height, left : left + width] = rng.integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return covered
