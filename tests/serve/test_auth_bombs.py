"""Bombs: small files of images that are large, refused by their headers before they are unpacked."""

from __future__ import annotations

import resource
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("fastapi")

from guarded import (
    PHOTO_FIELDS,
    Guarded,
    Route,
    as_json,
    assert_bad_photo,
    assert_refused,
    fill,
    json_with,
    start,
    upload_of,
)

from facewise.serve.settings import ServiceSettings

FIELDS = [pytest.param(route, name, id=f"{route} {name}") for route, name in PHOTO_FIELDS]


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("bombs")
    with start(folder, tiny_detector_file, tiny_embedder_file) as http:
        yield fill(http, ServiceSettings(gallery=str(folder / "people.db")))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says how large it is, and has next to nothing in it."""
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return start + png_chunk(b"IDAT", data or zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")


def real_png(width: int, height: int) -> bytes:
    """A whole PNG, one bit a pixel: a hundred million pixels in 12 kB."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return start + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def gif_header(width: int, height: int) -> bytes:
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff" + b","
        + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02D\x01\0;"
    )  # fmt: skip


def tiff_header(width: int, height: int) -> bytes:
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
        (278, 4, height), (279, 4, width * height % 2**32),
    ]  # fmt: skip
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + rows + b"\0\0\0\0"


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    ) + b"\0" * 100  # fmt: skip


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP of up to 16,384 × 16,384 pixels, with next to nothing in it."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", bits) + b"\0" * 5
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp_extended(width: int, height: int) -> bytes:
    """A WebP whose canvas is large and whose picture is not."""
    small = BytesIO()
    PIL.Image.new("RGB", (8, 8)).save(small, "WEBP", lossless=True)
    canvas = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + canvas + small.getvalue()[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def jpeg_header(width: int, height: int) -> bytes:
    small = BytesIO()
    PIL.Image.new("L", (16, 16)).save(small, "JPEG")
    data = bytearray(small.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def saved(kind: str, mode: str = "1", **options: Any) -> bytes:
    """A whole image of 10,000 × 10,000 pixels, as small as its format makes it."""
    out = BytesIO()
    PIL.Image.new(mode, (10_000, 10_000)).save(out, kind, **options)
    return out.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG header": lambda: png_header(10_000, 10_000),
    "PNG header, wide": lambda: png_header(2**31 - 1, 1),
    "PNG header, largest": lambda: png_header(2**31 - 1, 2**31 - 1),
    "PNG header, beyond": lambda: png_header(2**32 - 1, 2**32 - 1),
    "PNG": lambda: real_png(10_000, 10_000),
    "GIF header": lambda: gif_header(10_000, 10_000),
    "GIF": lambda: saved("GIF", "L"),
    "TIFF header": lambda: tiff_header(10_000, 10_000),
    "TIFF header, largest": lambda: tiff_header(2**32 - 1, 2**32 - 1),
    "TIFF": lambda: saved("TIFF", compression="group4"),
    "TIFF, deflated": lambda: saved("TIFF", compression="tiff_adobe_deflate"),
    "BMP header": lambda: bmp_header(10_000, 10_000),
    "BMP header, negative": lambda: bmp_header(-10_000, -10_000),
    "WebP header": lambda: webp_header(10_000, 10_000),
    "WebP canvas": lambda: webp_extended(10_000, 10_000),
    "JPEG header": lambda: jpeg_header(10_000, 10_000),
    "JPEG header, largest": lambda: jpeg_header(65_535, 65_535),
    "JPEG": lambda: saved("JPEG", "L", quality=1),
    "JPEG 2000": lambda: saved("JPEG2000", "L"),
    "PPM header": lambda: b"P6 10000 10000 255\n" + b"\0" * 100,
}


def peak_mib() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(guarded: Guarded, kind: str) -> None:
    bomb = BOMBS[kind]()
    assert len(bomb) < 2 * 2**20
    route = PHOTO_FIELDS[0][0]
    before = peak_mib()
    answer = upload_of(guarded, route, "photo", bomb)
    more = peak_mib() - before
    assert_refused(answer, "photo_too_large", "bad_photo")
    # Ten thousand by ten thousand pixels are 286 MiB as RGB.
    assert more < 60, f"{more:.0f} MiB more"


@pytest.mark.parametrize(("route", "name"), FIELDS)
def test_no_field_takes_a_bomb(guarded: Guarded, route: Route, name: str) -> None:
    for bomb in (real_png(10_000, 10_000), webp_header(10_000, 10_000), tiff_header(10_000, 10_000)):
        before = peak_mib()
        answer = upload_of(guarded, route, name, bomb)
        assert_bad_photo(route, answer, "photo_too_large", "bad_photo")
        answer = json_with(guarded, route, name, as_json(bomb, several=route.photos[name]))
        assert_bad_photo(route, answer, "photo_too_large", "bad_photo")
        assert peak_mib() - before < 60


def test_the_size_that_is_allowed_is_allowed(guarded: Guarded) -> None:
    """40 megapixels are decoded; the bombs above are refused for what lies beyond."""
    route = PHOTO_FIELDS[0][0]
    answer = upload_of(guarded, route, "photo", real_png(8_000, 5_000))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (8_000, 5_000)
    assert_refused(upload_of(guarded, route, "photo", real_png(8_001, 5_000)), "photo_too_large")


def test_too_many_bytes_and_too_many_photos(guarded: Guarded) -> None:
    route = PHOTO_FIELDS[0][0]
    noise = np.random.default_rng(0).bytes(10 * 2**20 + 1)
    answer = upload_of(guarded, route, "photo", noise)
    assert answer.status_code == 413
    cluster = next(route for route, name in PHOTO_FIELDS if route.path == "/v1/cluster")
    files = [("photos", (f"{i}.png", b"x", "image/png")) for i in range(51)]
    answer = guarded.ask(cluster, guarded.key["identify"], files=files)
    assert answer.status_code == 413
    assert "at most 50 photos" in answer.json()["detail"]
