"""Camera RAW with LibRaw (rawpy), an optional extra."""

from __future__ import annotations

import io

import numpy as np

from facewise.formats.refused import Refused, check_pixels, decoding
from facewise.types import Image

UNREAD = (
    "it is a camera RAW file, damaged or cut short or of a camera that LibRaw does not know",
    "export it as JPEG with the program of the camera",
)


_PIXELS_OF_BYTE = 8
"""No camera packs more into a byte; LibRaw would develop what is missing, for minutes."""


def decode_raw(data: bytes, limit: int) -> Image:
    """The picture as LibRaw develops it, with the camera's white balance, upright.

    Raises:
        Refused: Damaged, of an unknown camera, or of more pixels than `limit`.
    """
    import rawpy  # noqa: PLC0415  an extra

    with decoding(*UNREAD), rawpy.imread(io.BytesIO(data)) as raw:
        width, height = raw.sizes.raw_width, raw.sizes.raw_height
        check_pixels(width, height, limit)
        if width * height > _PIXELS_OF_BYTE * len(data):
            raise Refused(*UNREAD)
        pixels = raw.postprocess(use_camera_wb=True)
    if pixels.ndim == 2 or pixels.shape[2] == 1:  # a sensor without colour filters
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] != 3:
        raise Refused(*UNREAD)
    return pixels
