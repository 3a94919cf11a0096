"""What there is of colours, depths and transparency, made RGB of 8 bits."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import PIL.Image

from facewise.formats.refused import Refused
from facewise.types import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG = 0x0102, 0x0106
_LEAST_CHANGE = 2
"""Grey levels: a profile that changes no colour by more is that of sRGB, written by another program."""

_PROFILE_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""Mode of a picture → what a profile for it says it is for (ICC.1:2022, table 19)."""


def to_rgb(picture: PIL.Image.Image) -> Image:
    """The pixels of a decoded picture in sRGB, over white where they are transparent.

    Raises:
        Refused: They are numbers without an agreed white.
    """
    if picture.mode.startswith("I;16"):
        return _from_grey16(picture)
    if picture.mode in {"I", "F"}:
        kind = "floating-point" if picture.mode == "F" else "32-bit"
        raise Refused(f"its pixels are {kind} numbers without an agreed white", "convert it to 8 bits first")
    icc = picture.info.get("icc_profile") or b""
    if picture.has_transparency_data:
        return over_white(_in_srgb(picture.convert("RGBA"), icc))
    if picture.mode not in _PROFILE_SPACES or not icc:
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    managed = _in_srgb(picture, icc)
    return np.array(managed if managed.mode == "RGB" else managed.convert("RGB"))


def array_in_srgb(image: Image, icc: bytes, *, grey: bool = False) -> Image:
    """Pixels of a profile in sRGB; the array itself where that changes nothing.

    Args:
        image: RGB `(H, W, 3)`, grey ones with three channels alike.
        icc: The profile, empty if there is none.
        grey: Whether it is grey, which takes a profile for grey.
    """
    if not icc or _transform(icc, "L" if grey else "RGB") is None:
        return image
    picture = PIL.Image.fromarray(np.ascontiguousarray(image[:, :, 0]) if grey else image)
    return np.array(_in_srgb(picture, icc))


def over_white(picture: PIL.Image.Image) -> Image:
    """An RGBA picture laid over white."""
    canvas = PIL.Image.new("RGB", picture.size, "white")
    canvas.paste(picture, mask=picture.getchannel("A"))
    return np.array(canvas)


def scaled_to_8_bits(deep: np.ndarray, bits: int = 16) -> np.ndarray:
    """Samples of up to 16 bits as uint8, rounded.

    Args:
        deep: Of an unsigned type.
        bits: The depth the file names. Of 16, samples that all fit into 12, 10 or 8 are taken to be of that
            depth: cameras and microscopes write such, and as 16 bits they would be black.
    """
    if bits == 16 and deep.size:
        used = int(deep.max()).bit_length()
        bits = next((depth for depth in (8, 10, 12) if used <= depth), bits)
    largest = 2**bits - 1
    scaled: np.ndarray = (deep.astype(np.uint32) * 255 + largest // 2) // largest
    return scaled.astype(np.uint8)


def _from_grey16(picture: PIL.Image.Image) -> Image:
    tags = getattr(picture, "tag_v2", {})
    grey = np.asarray(picture)
    # TIFF has 12-bit grey as well, which Pillow hands out as it is.
    scaled = scaled_to_8_bits(grey, int((tags.get(_BITS_PER_SAMPLE_TAG) or (16,))[0]))
    if tags.get(_PHOTOMETRIC_TAG) == 0:  # TIFF's WhiteIsZero, which Pillow undoes for 8 bits only
        scaled = 255 - scaled
    if "transparency" in picture.info:
        scaled[grey == picture.info["transparency"]] = 255
    image = np.repeat(scaled[:, :, None], 3, axis=2)
    return array_in_srgb(image, picture.info.get("icc_profile") or b"", grey=True)


# Profiles


def _in_srgb(picture: PIL.Image.Image, icc: bytes) -> PIL.Image.Image:
    """An L, RGB, RGBA or CMYK picture in sRGB; itself where it has no profile, or one that is of no use."""
    transform = _transform(icc, picture.mode) if icc else None
    if transform is None:
        return picture
    return _applied(picture, transform)


def _applied(picture: PIL.Image.Image, transform: ImageCmsTransform) -> PIL.Image.Image:
    from PIL.ImageCms import applyTransform  # noqa: PLC0415  few photos need it

    return cast("PIL.Image.Image", applyTransform(picture, transform))


@lru_cache(maxsize=32)
def _transform(icc: bytes, mode: str) -> ImageCmsTransform | None:
    """What takes a picture to sRGB; None where it would change nothing, or the profile is of no use."""
    if mode not in _PROFILE_SPACES or (mode != "CMYK" and _is_called_srgb(icc)):
        return None
    import io  # noqa: PLC0415

    from PIL import ImageCms  # noqa: PLC0415  few photos need it

    out = "RGBA" if mode == "RGBA" else "RGB"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space != _PROFILE_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, out)
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        changed = np.asarray(_applied(probe, transform).convert("RGB")).astype(int)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform if np.abs(changed - np.asarray(probe.convert("RGB"))).max() > _LEAST_CHANGE else None


def _probe(mode: str) -> PIL.Image.Image:
    """A picture of colours from everywhere."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    if mode == "L":
        return PIL.Image.fromarray(levels[None])
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    return PIL.Image.fromarray(grid).convert(mode)


def _is_called_srgb(icc: bytes) -> bool:
    """Whether a profile's own name starts with sRGB, so that nothing has to be loaded to see what it does."""
    count = min(int.from_bytes(icc[128:132], "big"), (len(icc) - 132) // 12, 100)
    for i in range(count):
        signature, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        if signature == b"desc":
            text = icc[offset : offset + min(size, 200)]
            # An ASCII text behind 12 bytes, or UTF-16 behind a table of languages.
            return text[12:16] == b"sRGB" or b"sRGB" in text[12:].replace(b"\0", b"")[:24]
    return False
