"""A small file that asks its decoder for much work is refused by its headers, in any way it can ask."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import PIL.Image
import pytest

from facewise.errors import PhotoTooLargeError
from facewise.formats.refused import Refused
from facewise.formats.work import check_work
from facewise.image import decode

LIMIT = 40_000_000


def saved(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def scans(number: int, data: bytes | None = None, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    data = data or saved("JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + (between + data[last:end]) * number + data[end:]


def sized(data: bytes, width: int, height: int) -> bytes:
    """The JPEG, which says of itself that it is larger."""
    at = data.index(b"\xff\xc2")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    plain = saved("PNG")
    made = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return plain[:33] + b"".join(made) + plain[33:]


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + b"\0\0\0\0" + rest


def overlapping() -> bytes:
    """A TIFF of 4,000 strips, which are all the same bytes."""
    entries = 10
    end = 8 + 2 + 12 * entries + 4
    body = zlib.compress(bytes(3000))
    fields = [
        (256, 4, 1, 1000), (257, 4, 1, 4000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (273, 4, 4000, end), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 4000, end + 16000), (284, 3, 1, 1),
    ]  # fmt: skip
    return tiff(fields, struct.pack("<I", end + 32000) * 4000 + struct.pack("<I", 5000) * 4000 + body * 100)


BOMBS = {
    "scans": lambda: scans(3000),
    "scans behind an end that is none": lambda: scans(3000, between=segment(0xFE, b"\xff\xd9")),
    "scans over all that may be": lambda: sized(scans(25), 8000, 5000),
    "scans behind a motion picture": lambda: scans(3000) + bytes(100),
    "segments": lambda: b"\xff\xd8" + segment(0xFE, b"") * 6000 + saved("JPEG")[2:],
    "chunks of a PNG": lambda: png([(b"tEXt", b"a\0b")] * 51_000),
    "chunks of a WebP": lambda: saved("WEBP") + struct.pack("<4sI", b"EXIF", 0) * 51_000,
    "comments of a GIF": lambda: (gif := saved("GIF"))[:781] + b"!\xfe" + b"\1a" * 20_000 + b"\0" + gif[781:],
    "nothing in a GIF": lambda: saved("GIF")[:781] + bytes(20_000),
    "tags": lambda: tiff([(256 + i, 3, 1, 1) for i in range(2000)]),
    "tags that claim the file": lambda: tiff([(30_000 + i, 7, 900, 8) for i in range(900)]),
    "strips that lie over each other": overlapping,
    "more strips than rows": lambda: tiff([(273, 4, 200_000, 8)], bytes(800_000)),
    "scans in strips": lambda: tiff([(259, 3, 1, 7), (273, 4, 1, 200)], scans(300)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_work_is_counted_before_it_is_done(name, monkeypatch):
    for decoder in (
        "facewise.image.jpeg.decode_jpeg", "facewise.image.webp.decode_plain",
        "facewise.image.decode_with_pillow",
    ):  # fmt: skip
        monkeypatch.setattr(decoder, lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PhotoTooLargeError, match=r"(more than|claim|lie over|scans).*plain encoder"):
        decode(BOMBS[name](), max_pixels=LIMIT)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"restart_marker_blocks": 1}), ("PNG", {}),
        ("WEBP", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("BMP", {}), ("AVIF", {}), ("TIFF", {}),
        ("TIFF", {"compression": "jpeg"}), ("TIFF", {"compression": "tiff_deflate", "tiffinfo": {278: 1}}),
        ("TIFF", {"big_tiff": True}),
    ],
)  # fmt: skip
def test_what_encoders_write_is_far_below(kind, options):
    data = saved(kind, (400, 300), **options)
    assert decode(data).shape == (300, 400, 3)
    # Of so many pixels as there are each may be gone over as often as encoders do; those of JPEG most.
    check_work(data, kind, 400 * 300)


def test_as_many_scans_as_are_worth_their_pixels():
    assert decode(scans(150), damaged="use").shape == (48, 64, 3)
    check_work(sized(scans(8), 8000, 5000), "JPEG", LIMIT)
    with pytest.raises(Refused):
        check_work(sized(scans(15), 8000, 5000), "JPEG", LIMIT)
    # What follows the picture, as a film on phones, is none of its scans.
    check_work(saved("JPEG") + b"\xff\xda" * 5000, "JPEG", LIMIT)
    # A thumbnail before it, neither.
    data = saved("JPEG")
    check_work(data[:2] + segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 5000) + data[2:], "JPEG", LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_counting_trips_over_nothing(kind):
    data = saved(kind)
    chance = np.random.default_rng(7)
    for _ in range(300):
        broken = bytearray(data[: chance.integers(4, len(data))])
        for at in chance.integers(2, len(broken), 3):
            broken[at] = chance.integers(256)
        with suppress(Refused):
            check_work(bytes(broken), kind, LIMIT)
