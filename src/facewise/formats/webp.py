"""WebP: the plain kind by OpenCV, which gives Pillow's bits in half the time; and damage in every kind.

Of damage libwebp notices only what makes it run out of data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import cast

import cv2
import numpy as np

from facewise.formats.refused import check_pixels
from facewise.types import Image

_CUT = 8
"""Bytes taken away: encoders end with up to four of filling."""


def decode_plain(data: bytes, limit: int) -> Image | None:
    """Decode a lossy picture without transparency, profile or EXIF; None of anything else.

    Raises:
        Refused: It has more pixels than `limit`.
    """
    if data[12:16] != b"VP8 " or data[23:26] != b"\x9d\x01\x2a" or len(data) < 30:
        return None
    width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 26))
    check_pixels(width, height, limit)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    if image is None or image.shape != (height, width, 3):
        return None
    return cast("Image", image)


def is_damaged(data: bytes) -> bool:
    """Whether the picture (of several, the first) leaves data over that its decoder should have needed.

    Both of WebP's codings lose their place where bytes are changed, and then need more data or less than
    there is. More than there is libwebp refuses, so it must refuse a sound picture whose data ends a little
    early. Lossless codes find their places again at times, and then as much is needed as there is: of 100
    photos with 200 bytes of zeros in their middle, about five pass.

    Args:
        data: A file that libwebp decodes.
    """
    return any(_is_decodable(kind, body[:-_CUT]) for kind, body in _pictures(data) if len(body) > 4 * _CUT)


def _pictures(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunk of the first picture, which is the file's or its first frame's."""
    for kind, body in _chunks(data, 12):
        if kind == b"ANMF":
            yield from ((inner, part) for inner, part in _chunks(body, 16) if inner in {b"VP8 ", b"VP8L"})
            return
        if kind in {b"VP8 ", b"VP8L"}:
            yield kind, body
            return


def _chunks(data: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _is_decodable(kind: bytes, body: bytes) -> bool:
    chunk = kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    file = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    try:
        return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE) is not None
    except cv2.error:
        return False
