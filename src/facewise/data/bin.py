"""InsightFace's verification files (`lfw.bin`, `cfp_fp.bin` …): pairs of photos and whether they match.

Such a file is a pickle of (images, same): a list of the bytes of image files, two a pair, and a list of
bools. A pickle is a program that can do anything, so it is never run: its few harmless instructions are
interpreted here, and any other one, or any name that is not needed to write down bytes and arrays, refuses
the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.plainpickle import PlainArray, read_plain_pickle
from facewise.errors import DatasetError
from facewise.image import decode, source_name
from facewise.types import Image

MAX_BYTES = 4 * 2**30
"""Size of a file above which it is refused: 12,000 crops of 112×112 pixels as PNG are 0.3 GB."""


@dataclass(frozen=True, slots=True, eq=False)
class BinPairs:
    """Pairs of photos in memory, as bytes of image files.

    Attributes:
        name: What to call them in messages.
        contents: Two a pair.
        same: (P,) bool, whether a pair shows the same person.
    """

    name: str
    contents: tuple[bytes, ...]
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.same)

    def image(self, index: int) -> Image:
        """The photo at an index of `contents`.

        Raises:
            ImageError: It cannot be read.
        """
        return decode(self.contents[index], name=f"image {index} of {self.name}")

    def pair(self, index: int) -> tuple[Image, Image]:
        """Both photos of a pair.

        Raises:
            ImageError: One cannot be read.
        """
        return self.image(2 * index), self.image(2 * index + 1)


def read_bin(path: str | os.PathLike[str]) -> BinPairs:
    """Read a verification file. Nothing in it is run, whatever it holds.

    Raises:
        DatasetError: The file is missing, too large, no such file, or holds anything else than images and
            bools.
    """
    path = Path(path)
    name = source_name(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DatasetError(f"{name} is larger than {MAX_BYTES // 2**30} GiB, so it is not read.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"There is no file {name}; check the path.") from None
    except OSError as error:
        raise DatasetError(f"Cannot read {name}: {error.strerror or error}.") from error
    found = read_plain_pickle(data, name)
    if not (isinstance(found, tuple | list) and len(found) == 2):
        raise DatasetError(f"{name} is no verification file: it is not a pair of images and answers.")
    contents, same = _contents(found[0], name), _answers(found[1], name)
    if not same or len(contents) != 2 * len(same):
        raise DatasetError(f"{name} holds {len(contents)} images and {len(same)} answers; two images a pair.")
    return BinPairs(name, contents, np.array(same, np.bool_))


def _contents(images: Any, name: str) -> tuple[bytes, ...]:
    if not isinstance(images, list | tuple):
        raise DatasetError(f"{name} is no verification file: it begins with no list of images.")
    return tuple(_content(image, f"Image {i} of {name}") for i, image in enumerate(images))


def _content(image: Any, what: str) -> bytes:
    if isinstance(image, PlainArray):
        if len(image.shape) != 1 or image.dtype != np.uint8:
            raise DatasetError(
                f"{what} is an array of {image.dtype}, {image.shape}, not of an image's bytes."
            )
        return image.data
    if not isinstance(image, bytes):
        raise DatasetError(f"{what} is a {type(image).__name__}, not an image's bytes.")
    return image


def _answers(answers: Any, name: str) -> list[bool]:
    if isinstance(answers, PlainArray) and len(answers.shape) == 1 and answers.dtype == np.bool_:
        return [bool(byte) for byte in answers.data]
    if not isinstance(answers, list | tuple) or not all(
        a is True or a is False or a in (0, 1) for a in answers
    ):
        raise DatasetError(f"{name} is no verification file: its answers are not all true or false.")
    return [bool(answer) for answer in answers]
