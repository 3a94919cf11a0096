"""JPEG XL with libjxl (pylibjxl), an optional extra."""

from __future__ import annotations

import numpy as np
import PIL.Image

from facewise.formats.colour import to_rgb
from facewise.formats.refused import DAMAGED, Refused, check_pixels
from facewise.types import Image


def decode_jxl(data: bytes, limit: int) -> Image:
    """The picture, or the first of several, turned as it says.

    Raises:
        Refused: Damaged, of more pixels than `limit`, or the extra is missing.
    """
    try:
        import pylibjxl  # noqa: PLC0415  an extra
    except ImportError as error:
        raise Refused("it is a JPEG XL photo", "`pip install facewise[jxl]` to read it") from error
    try:
        about = pylibjxl.probe(data)
        check_pixels(about["width"], about["height"], limit)
        pixels, metadata = pylibjxl.decode(data, metadata=True)
    except (RuntimeError, ValueError) as error:
        raise Refused(*DAMAGED) from error
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels))
    picture.info["icc_profile"] = metadata.get("icc")
    return to_rgb(picture)
