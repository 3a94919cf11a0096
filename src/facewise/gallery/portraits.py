"""What may be kept of a photo beside its embedding, so that people can see whom a sample shows."""

from __future__ import annotations

import cv2
import numpy as np

from facewise.errors import ImageError
from facewise.gallery.photos import Keep
from facewise.image import ImageSource, read_hashed, source_name
from facewise.types import Face, Image

PORTRAIT_SIZE = 256
"""Longer side of a portrait, in pixels, at most."""

PHOTO_SIZE = 1600
"""Longer side of a kept photo, in pixels, at most."""

_MARGIN = 0.5  # of the box's longer side, on each side: hair, chin and a little of the shoulders
_QUALITY = 90


def kept_photo(photo: ImageSource, face: Face, keep: Keep, sha256: str = "") -> bytes | None:
    """A new JPEG of a photo: pixels only, so that no place, time or camera of its metadata is kept.

    Args:
        photo: The photo the face was found in.
        face: Whom to show; its box is in pixels of the photo, the right way up.
        keep: What to keep.
        sha256: The photo's hash when the face was found in it; empty to not compare.

    Returns:
        JPEG bytes, never larger than the original in pixels; None to keep nothing.

    Raises:
        ImageError: The photo cannot be read, or has changed since.
    """
    if keep == "none":
        return None
    image, digest = read_hashed(photo)
    if sha256 and digest != sha256:
        raise ImageError(f"{source_name(photo)} has changed while it was read: try again.")
    return _jpeg(_portrait(image, face), PORTRAIT_SIZE) if keep == "face" else _jpeg(image, PHOTO_SIZE)


def _portrait(image: Image, face: Face) -> Image:
    """The face with a margin, square where the photo is large enough."""
    left, top, right, bottom = (float(v) for v in face.box)
    reach = (0.5 + _MARGIN) * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = image.shape[:2]
    # At least one pixel, also of a box that lies at the photo's edge or beyond.
    x0, y0 = min(max(0, round(x - reach)), width - 1), min(max(0, round(y - reach)), height - 1)
    x1, y1 = max(min(width, round(x + reach)), x0 + 1), max(min(height, round(y + reach)), y0 + 1)
    return image[y0:y1, x0:x1]


def _jpeg(image: Image, longest: int) -> bytes:
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:  # OpenCV says no more than that
        raise ImageError(f"A picture of {width} x {height} pixels cannot be written as JPEG.")
    return data.tobytes()
