"""JPEG with libjpeg-turbo, which says when data is damaged; Pillow and OpenCV, on the same library, do not.

Where nothing is wrong all three give the same bits. A damaged scan is decoded into something of the right
size, and libjpeg only warns: of codes that run out too early or too late, mostly.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple, cast

import numpy as np
import simplejpeg

from facewise.types import Image

_FRAMES = {0xC0, 0xC1, 0xC2}
"""Markers of baseline, extended and progressive frames, with Huffman codes."""

_RUN = bytes(32)
"""Zeros in a scan from which they are no code: with any table that does not make a flat block of zeros, this
would be more than a block in which every coefficient is -1."""

_HARMLESS = ("Warning: unknown JFIF", "Unknown Adobe color transform", "Invalid SOS parameters")
"""How warnings begin that are about the header, and which no decoder minds."""

_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")


class Header(NamedTuple):
    """What a JPEG says of itself before its first scan.

    Attributes:
        width: Pixels.
        height: Pixels.
        components: 1 for grey, 3 for colours, 4 for inks.
        progressive: Whether it comes in several scans.
        exif: The body of its EXIF, with its identifier; empty if there is none.
        icc: Its colour profile; empty if there is none.
        xmp_turns: Whether its XMP names an orientation.
        tables: Bodies of its Huffman tables.
        scan: Where its first scan starts.
    """

    width: int
    height: int
    components: int
    progressive: bool
    exif: bytes
    icc: bytes
    xmp_turns: bool
    tables: tuple[bytes, ...]
    scan: int


def read_header(data: bytes) -> Header | None:
    """The header of an 8-bit JPEG of 1, 3 or 4 components; None of anything else."""
    exif, xmp_turns, position = b"", False, 2
    profile: dict[int, bytes] = {}
    tables: list[bytes] = []
    frame: tuple[int, int, int, bool] | None = None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : end]
        if marker == 0xDA:
            if frame is None:
                return None
            icc = b"".join(profile[i] for i in sorted(profile))
            return Header(*frame, exif, icc, xmp_turns, tuple(tables), end)
        if marker in _FRAMES and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            if bits != 8 or not width or not height or components not in {1, 3, 4} or frame is not None:
                return None
            frame = (width, height, components, marker == 0xC2)
        elif marker == 0xC4:
            tables.append(body)
        elif marker == 0xE1:
            if body.startswith(b"Exif\0"):
                exif = exif or body
            xmp_turns = xmp_turns or b"tiff:Orientation" in body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[14:]
        elif 0xC0 <= marker <= 0xCF and marker != 0xCC:
            return None  # lossless, arithmetic and hierarchical frames
        position = end
    return None


def decode_jpeg(data: bytes, header: Header) -> tuple[Image, bool] | None:
    """Decode grey or colour.

    Returns:
        RGB pixels as they are stored, and whether the data is damaged; None if libjpeg-turbo will not.
    """
    try:
        image, damaged = simplejpeg.decode_jpeg(data), _is_blanked(data, header)
    except ValueError as error:
        # It stops at the first warning as at an error; without its being strict, at errors only.
        try:
            image = simplejpeg.decode_jpeg(data, strict=False)
        except ValueError:
            return None
        damaged = not _is_harmless(str(error), data, header)
    if image.shape != (header.height, header.width, 3):
        return None
    return cast("Image", image), damaged


def is_damaged(data: bytes, header: Header) -> bool:
    """Whether what another decoder makes of a whole JPEG is made of damaged data."""
    colours = "CMYK" if header.components == 4 else "RGB"
    try:
        simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        try:
            simplejpeg.decode_jpeg(data, colours, strict=False)
        except ValueError:  # it cannot tell
            return False
        return not _is_harmless(str(error), data, header)
    return _is_blanked(data, header)


def _is_harmless(warning: str, data: bytes, header: Header) -> bool:
    if warning.startswith(_HARMLESS):
        return True
    extraneous = _EXTRANEOUS.match(warning)
    if extraneous is None:
        return False
    # Some cameras fill up what they write to a round length.
    end = data.find(b"\xff\xd9", header.scan)
    return len(set(data[max(header.scan, end - int(extraneous[1])) : end])) <= 1


def _is_blanked(data: bytes, header: Header) -> bool:
    """Whether a part of the scan is zeros that code nothing, as where a sector was lost.

    Codes find their places again behind it, so that at times as many blocks are found as there should be. A
    code of zeros alone is the first of its table; a flat block is zeros where that stands for "no change" and
    "no more" in every table. Progressive scans hold bits that are no codes, of which any may be zero.
    """
    at = -1 if header.progressive else data.find(_RUN, header.scan)
    if at < 0 or 0 <= data.find(b"\xff\xd9", header.scan) < at:
        return False
    return any(first != 0 for body in header.tables for first in _first_symbols(body))


def _first_symbols(body: bytes) -> list[int]:
    """Of each Huffman table in a segment, what its code of zeros alone stands for."""
    firsts, position = list[int](), 0
    while position + 17 < len(body):
        firsts.append(body[position + 17])
        position += 17 + sum(np.frombuffer(body, np.uint8, 16, position + 1).tolist())
    return firsts
