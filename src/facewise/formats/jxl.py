"""JPEG XL with libjxl (pylibjxl), an optional extra."""

from __future__ import annotations

import numpy as np
import PIL.Image

from facewise.formats.colour import to_rgb
from facewise.formats.refused import check_pixels, decoding
from facewise.types import Image


def decode_jxl(data: bytes, limit: int) -> Image:
    """The picture, or the first of several, turned as it says.

    Raises:
        Refused: Damaged, or of more pixels than `limit`.
    """
    import pylibjxl  # noqa: PLC0415  an extra

    with decoding():
        about = pylibjxl.probe(data)
        check_pixels(about["width"], about["height"], limit)
        pixels, metadata = pylibjxl.decode(data, metadata=True)
        picture = PIL.Image.fromarray(np.ascontiguousarray(pixels))
        picture.info["icc_profile"] = metadata.get("icc")
        return to_rgb(picture)
