"""Camera RAW with LibRaw (rawpy), an optional extra, in a process of its own.

LibRaw reads the files of hundreds of cameras, each in its own way, and writes to stderr what it makes of a
damaged one. A process has limits, and its end is the end of one photo only.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from importlib.util import find_spec

import numpy as np

from facewise.errors import PhotoTooLargeError
from facewise.formats.refused import Refused, check_pixels
from facewise.types import Image

SECONDS = 120
"""After which a photo is given up; 24 megapixels take about two."""


_UNREAD = (
    "it is a camera RAW file, damaged or cut short or of a camera that LibRaw does not know",
    "export it as JPEG with the program of the camera",
)


def decode_raw(data: bytes, limit: int) -> Image:
    """The picture as LibRaw develops it, with the camera's white balance, upright.

    Raises:
        Refused: Damaged, of an unknown camera, of more pixels than `limit`, or the extra is missing.
    """
    if find_spec("rawpy") is None:
        raise Refused(
            "it is a camera RAW file", "`pip install facewise[raw]` to read it, or export it as JPEG"
        )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603  this Python and a module of ours
            [sys.executable, "-m", "facewise.formats.raw_worker", str(limit)],
            input=data, capture_output=True, timeout=SECONDS, check=False, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        wrong = f"it is a camera RAW file that took longer than {SECONDS} s"
        raise Refused(wrong, "export it as JPEG", PhotoTooLargeError) from error
    if len(done.stdout) < 8:
        raise Refused(*_UNREAD)
    width, height = struct.unpack_from("<II", done.stdout)
    check_pixels(width, height, limit)
    if done.returncode or len(done.stdout) != 8 + 3 * width * height:
        raise Refused(*_UNREAD)
    return np.frombuffer(done.stdout, np.uint8, offset=8).reshape(height, width, 3).copy()
