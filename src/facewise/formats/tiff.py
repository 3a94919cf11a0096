"""What a TIFF, and the camera RAW files that look like one, say of themselves, without being decoded."""

from __future__ import annotations

import contextlib
import struct
from functools import cache
from pathlib import Path
from typing import Any, cast

import PIL
import PIL.Image
import simplejpeg

_PHOTOMETRIC, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _DNG_VERSION = 262, 330, 339, 50706
_BITS_PER_SAMPLE, _COMPRESSION = 258, 259
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _JPEG_TABLES = 273, 279, 324, 325, 347
_FILTERS, _LINEAR_RAW = 32803, 34892
"""Photometric interpretations of sensor data, before and after demosaicing (DNG 1.7)."""

_SIZES = {1: 1, 3: 2, 4: 4, 13: 4}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I"}
_MOST = 64
"""Directories and values that are looked at."""

_MOST_TAGS = 1_000
"""Of a directory."""


def directory(data: bytes, at: int | None = None) -> dict[int, tuple[int, ...]]:
    """The whole numbers of a directory of a classic TIFF; empty if it is none.

    Args:
        data: The file.
        at: Where the directory starts; None is the first one.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return {}
    found: dict[int, tuple[int, ...]] = {}
    try:
        at = struct.unpack_from(order + "I", data, 4)[0] if at is None else at
        (count,) = struct.unpack_from(order + "H", data, at)
        for i in range(min(count, _MOST_TAGS)):
            tag, kind, many = struct.unpack_from(order + "HHI", data, at + 2 + 12 * i)
            if kind not in _SIZES:
                continue
            place = at + 2 + 12 * i + 8
            if many * _SIZES[kind] > 4:
                (place,) = struct.unpack_from(order + "I", data, place)
            found[tag] = struct.unpack_from(f"{order}{min(many, _MOST)}{_CODES[kind]}", data, place)
    except struct.error:
        pass  # cut short: what was read before counts
    return found


@cache
def silence_libtiff() -> None:
    """Keep libtiff, as Pillow brings it, from writing to stderr what is wrong with a file.

    There is no way to it from Python but through the library itself; where it is not a file of its own (on
    Windows), it goes on writing.
    """
    import ctypes  # noqa: PLC0415  few photos are TIFFs

    package = Path(PIL.__file__).parent
    for path in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path))
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def is_raw(data: bytes) -> bool:
    """Whether a file that begins as a TIFF holds a camera's sensor data, as DNG, CR2, NEF and others do."""
    first = directory(data)
    inside = [directory(data, at) for at in first.get(_SUB_DIRECTORIES, ())]
    if _DNG_VERSION in first or data[8:10] == b"CR":
        return True
    return any((one.get(_PHOTOMETRIC) or (0,))[0] in {_FILTERS, _LINEAR_RAW} for one in (first, *inside))


def is_floating_point(data: bytes) -> bool:
    """Whether its pixels are floating-point numbers."""
    return 3 in directory(data).get(_SAMPLE_FORMAT, ())


def is_deep_colour(data: bytes) -> bool:
    """Whether it is colour of 16 bits per sample."""
    bits = directory(data).get(_BITS_PER_SAMPLE, ())
    return len(bits) >= 3 and set(bits) == {16}


def is_damaged(picture: PIL.Image.Image, data: bytes) -> bool:
    """Whether a strip or tile of a decoded TIFF is a damaged JPEG."""
    tags = cast("dict[int, Any]", getattr(picture, "tag_v2", {}))
    if tags.get(_COMPRESSION) != 7:
        return False
    tables = bytes(tags.get(_JPEG_TABLES, b""))
    of_strips = (tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ()))
    starts, lengths = of_strips if of_strips[0] else (tags.get(_TILES, ()), tags.get(_TILE_BYTES, ()))
    for start, length in zip(starts, lengths, strict=False):
        strip = data[start : start + length]
        if _warns(tables[:-2] + strip[2:] if tables else strip):
            return True
    return False


def _warns(jpeg: bytes) -> bool:
    """Whether libjpeg-turbo decodes it, but not without a warning."""
    try:
        colours = (
            "CMYK" if simplejpeg.decode_jpeg_header(jpeg, strict=False)[2] in {"CMYK", "YCCK"} else "RGB"
        )
        simplejpeg.decode_jpeg(jpeg, colours, strict=False)
    except ValueError:
        return False  # libtiff has its own way in, which takes more
    try:
        simplejpeg.decode_jpeg(jpeg, colours)
    except ValueError:
        return True
    return False
