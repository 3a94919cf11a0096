"""How much work a file asks its decoder for, counted from its headers before it is decoded.

A decoder's work follows the pixels, which are bounded, times how often they are gone over, which a file
says: scans of a progressive JPEG, strips of a TIFF that lie over each other. What is read before the pixels
(chunks, segments, tags) is bounded by number. What cameras and editors write is far below all of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from facewise.errors import PhotoTooLargeError
from facewise.formats.refused import Refused

_MOST_TIMES = 20
"""How often as many pixels as are taken may be gone over: encoders write 10 scans, optimisers up to 15."""

_MOST_SCANS = 200
_MOST_SEGMENTS = 5_000
"""Of a JPEG, behind its first scan too."""

_MOST_CHUNKS = 50_000
"""Of a PNG or WebP: some write one a row."""

_MOST_BLOCKS = 10_000
"""Of a GIF before its first picture: comments and applications."""

_MOST_TAGS = 1_000
_MOST_STRIPS = 100_000
"""Strips and tiles of a TIFF."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN = b"\xff\xda"


def check_work(data: bytes, kind: str, limit: int) -> None:
    """Passes where decoding takes no more work than a photo of so many pixels may.

    Args:
        data: The whole file.
        kind: As of `kind_of`; of those that are decoded apart nothing is counted, their time is.
        limit: Most pixels.

    Raises:
        Refused: It asks for more.
    """
    match kind:
        case "JPEG":
            _check_jpeg(data, limit)
        case "PNG":
            _check_number(_chunks(data, 8, ">", 8, 12), _MOST_CHUNKS, "chunks")
        case "WEBP":
            _check_number(_chunks(data, 12, "<", 4, 8), _MOST_CHUNKS, "chunks")
        case "GIF":
            _check_number(_blocks(data), _MOST_BLOCKS, "blocks")
        case "TIFF":
            _check_tiff(data)


def _refused(wrong: str) -> Refused:
    return Refused(f"it has {wrong}", "save it again with a plain encoder", PhotoTooLargeError)


def _check_number(parts: Iterator[int], most: int, what: str) -> None:
    for number, _ in enumerate(parts):
        if number >= most:
            raise _refused(f"more than {most:,} {what}")


def _check_jpeg(data: bytes, limit: int) -> None:
    pixels = scans = segments = 0
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return
        if marker in {0x01, 0xD8}:  # these have no length
            continue
        segments += 1
        if segments > _MOST_SEGMENTS:
            raise _refused(f"more than {_MOST_SEGMENTS:,} segments")
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC} and at + 7 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 3)
            pixels = max(pixels, height * width)
        if marker == 0xDA:
            scans += 1
            most = min(_MOST_SCANS, _MOST_TIMES * limit // max(1, pixels))
            # No code is 0xFF with anything but zero behind it, so there are no more scans than this finds.
            if scans == 1 and data.count(_SCAN, at) < most:
                return
            if scans > most:
                raise _refused(f"more than {most} scans, each over all of its pixels")
        at += int.from_bytes(data[at : at + 2], "big")


def _chunks(data: bytes, at: int, order: str, name: int, beside: int) -> Iterator[int]:
    """Where each chunk of a PNG or WebP starts.

    Args:
        data: The file.
        at: Where the first one starts.
        order: Of the bytes of a length.
        name: Where a chunk's data starts; a PNG's length comes before its name, a WebP's behind.
        beside: Bytes of a chunk beside its data.
    """
    place = 0 if order == ">" else 4
    while at + name <= len(data):
        yield at
        (length,) = struct.unpack_from(f"{order}I", data, at + place)
        at += beside + length + (length % 2 if order == "<" else 0)


def _blocks(data: bytes) -> Iterator[int]:
    """Where each block of a GIF starts that comes before its first picture (GIF89a, sections 18 to 26)."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    while at + 2 < len(data):
        if data[at] != 0x21:
            if data[at] == 0x2C:
                return
            at += 1  # readers skip what is no block
            yield at
            continue
        at += 2
        while at < len(data):
            yield at
            length = data[at]
            at += 1 + length
            if not length:
                break


_TIFF_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
"""Type of a tag → bytes of one value (TIFF 6.0, section 2; BigTIFF)."""

_TIFF_LENGTHS = {279, 325}  # of strips, and of tiles
_TIFF_OFFSETS = {273, 324}
_JPEG_IN_TIFF = {6, 7}


def _check_tiff(data: bytes) -> None:
    """Of the first directory: how many tags, what they claim in all, whether strips lie over each other."""
    order = "<" if data[:2] == b"II" else ">"
    large = data[2:4] in {b"+\0", b"\0+"}
    count_of, entry, inline = ("Q", "HHQ8s", 8) if large else ("H", "HHI4s", 4)
    step = struct.calcsize(order + entry)
    try:
        (at,) = struct.unpack_from(order + ("Q" if large else "I"), data, 8 if large else 4)
        (count,) = struct.unpack_from(order + count_of, data, at)
        if count > _MOST_TAGS:
            raise _refused(f"more than {_MOST_TAGS:,} tags")
        at += struct.calcsize(order + count_of)
        claimed, strips, compression = 0, 0, 0
        for i in range(count):
            tag, kind, many, value = struct.unpack_from(order + entry, data, at + step * i)
            size = many * _TIFF_SIZES.get(kind, 0)
            claimed += size if size > inline else 0
            if claimed > 2 * len(data):
                raise _refused("tags that claim more than the whole file")
            if tag in _TIFF_OFFSETS:
                strips = max(strips, many)
            if tag == 259 and kind == 3:
                (compression,) = struct.unpack_from(order + "H", value)
            if tag in _TIFF_LENGTHS and many > 1 and kind in {3, 4, 16}:
                place = at + step * i + step - inline
                if size > inline:
                    (place,) = struct.unpack_from(order + ("Q" if large else "I"), data, place)
                code = {3: "H", 4: "I", 16: "Q"}[kind]
                if sum(struct.unpack_from(f"{order}{many}{code}", data, place)) > 2 * len(data):
                    raise _refused("strips that lie over each other")
    except struct.error:
        return  # cut short: its decoder says so
    if strips > _MOST_STRIPS:
        raise _refused(f"more than {_MOST_STRIPS:,} strips or tiles")
    if compression in _JPEG_IN_TIFF and data.count(_SCAN) > _MOST_TIMES + 2 * strips:
        raise _refused("strips of more scans than one")
