"""HEIC and other HEIF, as phones write it, with libheif and libde265 (pi-heif, which only decodes)."""

from __future__ import annotations

import io

import PIL.Image

from facewise.formats.colour import to_rgb
from facewise.formats.refused import check_pixels, decoding
from facewise.types import Image


def decode_heif(data: bytes, limit: int) -> Image:
    """The primary picture, turned as the file's own boxes say; what its EXIF says of that does not count.

    Raises:
        Refused: Damaged, of a codec that libheif was built without, or of more pixels than `limit`.
    """
    import pi_heif  # noqa: PLC0415  only where it is needed

    with decoding():
        file = pi_heif.open_heif(io.BytesIO(data))
        width, height = file.size
        check_pixels(width, height, limit)
        picture = PIL.Image.frombuffer(file.mode, file.size, file.data, "raw", file.mode, file.stride, 1)
        picture.info["icc_profile"] = file.info.get("icc_profile")
        return to_rgb(picture)
