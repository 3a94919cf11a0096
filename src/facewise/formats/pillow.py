"""The formats that Pillow decodes: PNG, WebP, BMP, GIF, TIFF, AVIF, and what `jpeg` leaves to it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image

from facewise.errors import PhotoTooLargeError
from facewise.formats import jpeg, tiff, webp
from facewise.formats.colour import scaled_to_8_bits, to_rgb
from facewise.formats.refused import Refused, check_pixels, decoding
from facewise.formats.upright import quiet, upright
from facewise.types import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
_DARK = 15
"""The most that 12 bits leave in the high byte of 16, which is all that Pillow keeps of colour."""


def decode_with_pillow(data: bytes, kind: str, limit: int) -> tuple[Image, bool]:
    """Decode one of `FORMATS`; of several pictures, the first.

    Returns:
        RGB pixels, upright, and whether the data is damaged though it could be decoded.

    Raises:
        Refused: It is damaged, cut short, or of more pixels than `limit`.
    """
    if kind == "TIFF" and tiff.is_floating_point(data):
        wrong = "it is a TIFF of floating-point numbers, which have no agreed white"
        raise Refused(wrong, "convert it to 8 bits first")
    if kind == "TIFF":
        tiff.silence_libtiff()
    with decoding():
        try:
            with quiet():
                picture = PIL.Image.open(io.BytesIO(data), formats=(kind,))
                check_pixels(*picture.size, limit)
                # These may warn while they are decoded; the others decode outside the lock, in parallel.
                if kind == "TIFF" or b"acTL" in data:
                    picture.load()
        except PIL.Image.DecompressionBombError as error:
            wrong = f"it has more than {limit:,} pixels"
            raise Refused(wrong, "make it smaller first", PhotoTooLargeError) from error
        picture.load()
        image = to_rgb(_brightened(picture, data))
        return upright(image, picture.getexif), _is_damaged(picture, data, kind)


def _is_damaged(picture: PIL.Image.Image, data: bytes, kind: str) -> bool:
    if kind == "WEBP":
        return webp.is_damaged(data)
    if kind == "TIFF":
        return tiff.is_damaged(picture, data)
    header = jpeg.read_header(data) if kind == "JPEG" else None
    return header is not None and jpeg.is_damaged(data, header)


def _brightened(picture: PIL.Image.Image, data: bytes) -> PIL.Image.Image:
    """The picture, read anew where it has 16 bits per colour of which fewer are in use."""
    deep = (
        tiff.is_deep_colour(data) if picture.format == "TIFF" else picture.format == "PNG" and data[24] == 16
    )
    if not deep or picture.mode not in {"RGB", "RGBA"} or np.asarray(picture).max() > _DARK:
        return picture
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.dtype != np.uint16 or whole.shape[:2] != picture.size[::-1] or whole.ndim != 3:
        return picture
    colours = scaled_to_8_bits(whole[:, :, 2::-1])
    made = PIL.Image.fromarray(colours)
    if picture.mode == "RGBA":
        made.putalpha(picture.getchannel("A"))
    made.info["icc_profile"] = picture.info.get("icc_profile")
    return made
