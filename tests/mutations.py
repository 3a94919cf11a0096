"""Damaged images, made the same way every time: small originals in each format, and what may befall them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

Mutation = Callable[[bytes, np.random.Generator, Sequence[bytes]], bytes]

MAGIC = (
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    b"BM",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"8BPS",
    b"%PDF",
)


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth colour gradient with some noise on it, RGB uint8 `(height, width, 3)`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    ramp = np.stack([x * 255 / width, y * 255 / height, (x + y) * 127 / (width + height)], axis=2)
    return np.clip(ramp + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    """The image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def originals() -> list[bytes]:
    """Small, whole images that use much of what each of the six formats offers."""
    rgb = Image.fromarray(picture(67, 41))
    small = Image.fromarray(picture(19, 23, seed=1))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(picture(67, 41, seed=2)[:, :, 0]))
    grey, palette = rgb.convert("L"), rgb.quantize(32)
    grey16 = Image.fromarray(picture(40, 30)[:, :, 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "Maker", "Software " * 10
    lossless = {"lossless": True}
    several = {"save_all": True, "append_images": [small.resize(rgb.size)]}
    made = [encode(rgb, "JPEG", exif=exif), encode(rgb, "JPEG", progressive=True, subsampling=0)]
    made += [encode(grey, "JPEG"), encode(rgb.convert("CMYK"), "JPEG"), encode(small, "JPEG", quality=30)]
    made += [encode(image, "PNG") for image in (rgb, rgba, grey, palette, grey16, grey.convert("1"))]
    made += [encode(rgb, "PNG", exif=exif), encode(rgb, "PNG", **several)]
    made += [encode(rgb, "WEBP", exif=exif), encode(rgba, "WEBP"), encode(rgb, "WEBP", **lossless)]
    made += [encode(rgb, "WEBP", **several)]
    made += [encode(image, "BMP") for image in (rgb, rgba, grey, palette, grey.convert("1"))]
    made += [encode(palette, "GIF"), encode(palette, "GIF", transparency=3), encode(rgb, "GIF", **several)]
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made.append(encode(rgb, "TIFF", compression=compression, exif=exif))
    made += [encode(image, "TIFF") for image in (rgba, palette, grey16, rgb.convert("CMYK"))]
    made.append(encode(rgb, "TIFF", compression="tiff_lzw", **several))
    return made


def truncated(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """Cut off anywhere; every fourth time within the last 16 bytes, where it is hardest to notice."""
    keep = len(data) - int(rng.integers(1, 17)) if rng.random() < 0.25 else int(rng.integers(0, len(data)))
    return data[: max(keep, 0)]


def bits_flipped(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """One to 20 bits changed anywhere, half the time in the first 64 bytes only."""
    changed = bytearray(data)
    reach = min(len(data), 64) if rng.random() < 0.5 else len(data)
    for place in rng.integers(0, reach, int(rng.integers(1, 21))):
        changed[place] ^= 1 << int(rng.integers(0, 8))
    return bytes(changed)


def overwritten(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A run of up to 200 bytes replaced by noise, zeros or 0xFF."""
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    noise = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    run = (noise, bytes(length), b"\xff" * length)[rng.integers(0, 3)]
    return (data[:start] + run + data[start + length :])[: len(data)]


def spliced(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """The beginning of one image and the end of another, or a part left out, repeated or put in twice."""
    other = others[rng.integers(0, len(others))] if rng.random() < 0.5 else data
    return data[: rng.integers(0, len(data))] + other[rng.integers(0, len(other)) :]


def magic_changed(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """Another format's first bytes on this format's content."""
    magic = MAGIC[rng.integers(0, len(MAGIC))]
    return magic + data[len(magic) :]


def size_changed(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """Other dimensions in the header, checksum mended: from nought to the most there is room for."""
    place, code = _size_fields(data)
    changed = bytearray(data)
    most = 2 ** (8 * struct.calcsize(code)) - 1
    value = int(rng.choice([0, 1, 2, 50, 300, 5_000, 9_000, most // 2, most // 2 + 1, most]))
    place += struct.calcsize(code) * int(rng.integers(0, 2))
    struct.pack_into(code, changed, min(place, len(data) - 4), min(value, most))
    if data.startswith(b"\x89PNG"):
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    return bytes(changed)


def _size_fields(data: bytes) -> tuple[int, str]:  # noqa: PLR0911  one a format
    """Where the width or height, whichever comes first, is stored and how; a TIFF's tag count otherwise."""
    if data.startswith(b"\xff\xd8"):
        frame = next(at for at in (data.find(b"\xff\xc0\0"), data.find(b"\xff\xc2\0")) if at >= 0)
        return frame + 5, ">H"
    if data.startswith(b"\x89PNG"):
        return 16, ">I"
    if data.startswith(b"RIFF"):
        return (24, "<H") if data[12:16] == b"VP8X" else (26 if data[12:16] == b"VP8 " else 21, "<H")
    if data.startswith(b"BM"):
        return 18, "<I"
    if data.startswith(b"GIF"):
        return 6, "<H"
    if data[4:8] == b"ftyp":
        return data.index(b"ispe") + 8, ">I"
    if not data.startswith(b"II*"):
        return 2, ">H"  # JPEG XL packs its size into bits
    directory = struct.unpack_from("<I", data, 4)[0]
    return directory + 2 + 8, "<I"  # the first tag is ImageWidth; its value lies 8 bytes in


def length_changed(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A length, count or offset of 2 or 4 bytes set to an extreme, anywhere in the first 200 bytes."""
    code = str(rng.choice([">I", "<I", ">H", "<H"]))
    most = 2 ** (8 * struct.calcsize(code)) - 1
    changed = bytearray(data)
    place = int(rng.integers(2, max(3, min(len(data), 200) - 4)))
    value = int(rng.choice([0, 1, 3, 0x7FFF, most // 2 + 1, most - 1, most]))
    struct.pack_into(code, changed, place, min(value, most))
    return bytes(changed)


def exif_changed(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """EXIF put into a JPEG, PNG or TIFF-like file: any orientation, of a wrong type, looping, or huge."""
    value = int(rng.choice([0, 1, 5, 8, 9, 255, 0xFFFFFFFF]))
    kind, count = int(rng.integers(0, 14)), int(rng.choice([0, 1, 2, 0xFFFF, 0xFFFFFFFF]))
    entry = struct.pack("<HHII", 0x0112, kind, count, value)
    entries = entry * int(rng.choice([1, 1, 1, 5_000]))
    following = int(rng.choice([0, 8, 0x7FFFFFFF]))  # 8 is the directory itself
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries) // 12) + entries + struct.pack("<I", following)
    if data.startswith(b"\xff\xd8"):
        body = b"Exif\0\0" + tiff
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if data.startswith(b"\x89PNG"):
        return data[:33] + png_chunk(b"eXIf", tiff) + data[33:]
    return tiff + data


MUTATIONS: tuple[Mutation, ...] = (
    truncated,
    bits_flipped,
    overwritten,
    spliced,
    magic_changed,
    size_changed,
    length_changed,
    exif_changed,
)


def mutated_images(n: int, seed: int, originals: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield `n` damaged images.

    Args:
        n: How many.
        seed: The same seed and originals give the same images.
        originals: Whole images to damage, such as `originals()`.

    Yields:
        What was done, as `number-original-mutation`, and the damaged bytes (some still are good images).
    """
    rng = np.random.default_rng(seed)
    for number in range(n):
        which = number % len(originals)
        mutation = MUTATIONS[rng.integers(0, len(MUTATIONS))]
        yield f"{number}-{which}-{mutation.__name__}", mutation(originals[which], rng, originals)
