"""Turning pixels the way up that EXIF says."""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import cast

import cv2
import PIL.Image

from facewise.types import Image

_ORIENTATION_TAG = 0x0112

_TURN: dict[int, Callable[[Image], object]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""EXIF orientation → what brings the stored pixels upright (Exif 2.32, tag 274)."""

_QUIET = threading.Lock()
"""Held while the warning filters, which all threads share, are changed: two at once would mix them up."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Python's warnings."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parse_exif(body: bytes) -> PIL.Image.Exif:
    """EXIF as a JPEG holds it."""
    exif = PIL.Image.Exif()
    exif.load(body)
    return exif


def upright(image: Image, read_exif: Callable[[], PIL.Image.Exif]) -> Image:
    """Pixels the right way up; as they are where the EXIF cannot be read, as many programs write it wrong."""
    try:
        with quiet():
            orientation = read_exif().get(_ORIENTATION_TAG)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, EOFError, struct.error):
        return image
    turn = _TURN.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else cast("Image", turn(image))
