"""HEIC and other HEIF, as phones write it, with libheif and libde265 (pi-heif, which only decodes)."""

from __future__ import annotations

import io

import PIL.Image

from facewise.formats.colour import to_rgb
from facewise.formats.refused import DAMAGED, Refused, check_pixels
from facewise.types import Image


def decode_heif(data: bytes, limit: int) -> Image:
    """The primary picture, turned as the file's own boxes say; what its EXIF says of that does not count.

    Raises:
        Refused: Damaged, of a codec that libheif was built without, or of more pixels than `limit`.
    """
    try:
        import pi_heif  # noqa: PLC0415  of many photos none is one
    except ImportError as error:
        raise Refused("it is a HEIC photo, and pi-heif is not installed", "`pip install pi-heif`") from error
    try:
        file = pi_heif.open_heif(io.BytesIO(data))
        width, height = file.size
        check_pixels(width, height, limit)
        picture = PIL.Image.frombuffer(file.mode, file.size, file.data, "raw", file.mode, file.stride, 1)
        picture.info["icc_profile"] = file.info.get("icc_profile")
    except (ValueError, SyntaxError, EOFError, OSError, RuntimeError) as error:
        raise Refused(*DAMAGED) from error
    return to_rgb(picture)
