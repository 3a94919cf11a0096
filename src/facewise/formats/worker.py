"""The process that `facewise.formats.apart` starts: it decodes what comes in on stdin until that ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import IO

from facewise.errors import PhotoTooLargeError
from facewise.formats.apart import ANSWERED, ASKED, CPU_SECONDS, DECODED, REFUSED, TOO_LARGE
from facewise.formats.heif import decode_heif
from facewise.formats.jxl import decode_jxl
from facewise.formats.raw import decode_raw
from facewise.formats.refused import Refused
from facewise.sandbox import confine, limit_seconds

_BYTES = 8 * 2**30
"""Memory beside its own, of which most is set aside and not used: LibRaw takes 24 bytes per pixel."""

DECODERS = {"HEIF": decode_heif, "JXL": decode_jxl, "RAW": decode_raw}


def main() -> None:
    """Decode one photo after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it, whose end ends it
    confine(memory=_BYTES)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints
    source = sys.stdin.buffer
    while head := source.read(ASKED.size):
        kind, limit, length = ASKED.unpack(head)
        _answer(out, kind.rstrip(b"\0").decode(), limit, source.read(length))


def _answer(out: IO[bytes], kind: str, limit: int, data: bytes) -> None:
    pixels = b""
    limit_seconds(CPU_SECONDS)
    try:
        image = DECODERS[kind](data, limit)
        status, (height, width, channels), pixels = DECODED, image.shape, image.tobytes()
        assert channels == 3  # noqa: S101  what the reader counts on
    except Refused as refused:
        too_large = refused.kind is PhotoTooLargeError
        status, (height, width) = (TOO_LARGE, refused.size) if too_large else (REFUSED, (0, 0))
    out.write(ANSWERED.pack(status, width, height))
    out.write(pixels)
    out.flush()
