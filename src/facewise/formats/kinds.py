"""Telling what a file is by how it begins, and what a folder's files are by their names."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from facewise.formats.tiff import is_raw

PLAIN_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif",
        ".tiff", ".heic", ".heif", ".hif", ".avif",
    }
)  # fmt: skip
JXL_SUFFIXES = frozenset({".jxl"})
RAW_SUFFIXES = frozenset(
    {
        ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2",
        ".pef", ".srw", ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".x3f", ".erf", ".mef", ".mos", ".rwl",
    }
)  # fmt: skip

EXTRAS: Final = {"jxl": ("pylibjxl", JXL_SUFFIXES), "raw": ("rawpy", RAW_SUFFIXES)}
"""Optional extra of the package → the module it brings, and the endings of the photos that needs it."""


def has(extra: str) -> bool:
    """Whether an optional extra of the package is installed."""
    return find_spec(EXTRAS[extra][0]) is not None


def suffixes() -> frozenset[str]:
    """Lower-case endings of the photos that are read with what is installed."""
    return PLAIN_SUFFIXES.union(*(endings for extra, (_, endings) in EXTRAS.items() if has(extra)))


def extra_for(suffix: str) -> str | None:
    """The optional extra that is missing for photos of an ending; None if none is."""
    return next((name for name, (_, endings) in EXTRAS.items() if suffix in endings and not has(name)), None)


_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"II\x1a\0\0\0HEAPCCDR", "RAW"),  # Canon's CRW
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"\0MRM", "RAW"),  # Minolta
    (b"FOVb", "RAW"),  # Sigma
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"})
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive, or a document in one"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble)"),
)
_TEXTS = ((b"<svg", "an SVG drawing"), (b"<!doctype html", "a web page"), (b"<html", "a web page"))


def kind_of(data: bytes) -> str:
    """`JPEG`, `PNG`, `WEBP`, `BMP`, `GIF`, `TIFF`, `HEIF`, `AVIF`, `JXL` or `RAW`; `""` of anything else."""
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in {b"II*\0", b"MM\0*"}:
        return "RAW" if is_raw(data) else "TIFF"
    if data[:4] in {b"II+\0", b"MM\0+"}:  # BigTIFF
        return "TIFF"
    return _of_boxes(data)


def described(data: bytes) -> str:
    """What a file is that is no image of a kind that is read, such as `a PDF document`; `""` if unknown."""
    for start, what in _OTHERS:
        if data.startswith(start):
            return what
    if data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:11] == b"AVI"):
        return "a video"
    text = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<?xml"):
        return "an SVG drawing" if b"<svg" in text else "an XML document"
    return next((what for start, what in _TEXTS if text.startswith(start)), "")


def _of_boxes(data: bytes) -> str:
    """By the brands of the ISO base media format (ISO/IEC 14496-12, 4.3)."""
    if data[4:8] != b"ftyp":
        return ""
    length = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, length - 3, 4))]
    if brands[0] == b"crx ":  # Canon's CR3
        return "RAW"
    if not _HEIF_BRANDS.isdisjoint(brands[:1]) and not {b"avif", b"avis"}.intersection(brands):
        return "HEIF"
    if {b"avif", b"avis"}.intersection(brands):
        return "AVIF"
    return "HEIF" if not _HEIF_BRANDS.isdisjoint(brands) else ""
