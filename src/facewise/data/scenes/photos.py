"""Photos with their faces, kept ready to be pasted: pixels in several sizes, mapped from disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.files import atomic_write
from facewise.types import FloatArray, Image

LEAST_SIDE = 24
"""Pixels of the shorter side of the smallest copy of a photo."""

IDENTITY = "photos.json"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A photo and what is known of it; all coordinates are pixels of its full size.

    Attributes:
        key: Its dataset and path.
        drawn: Whether the people in it are drawn.
        held_out: Whether it is kept for measuring.
        levels: (H, W, 3) RGB uint8 and copies of half, a quarter, … the size.
        boxes: (F, 4) float32, the main face first.
        landmarks: (F, 5, 2) float32.
        sure: (F,) False where something may be a face or not.
        clear: (R, 4) int rectangles x1, y1, x2, y2 without any face.
    """

    key: str
    drawn: bool
    held_out: bool
    levels: tuple[Image, ...]
    boxes: FloatArray
    landmarks: FloatArray
    sure: NDArray[np.bool_]
    clear: NDArray[np.int32]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its full size."""
        return self.levels[0].shape[0], self.levels[0].shape[1]


def pyramid(image: Image) -> tuple[Image, ...]:
    """A photo and copies of half the size each, down to `LEAST_SIDE`."""
    levels = [np.ascontiguousarray(image)]
    while min(levels[-1].shape[:2]) >= 2 * LEAST_SIDE:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.uint8))
    return tuple(levels)


def write_part(folder: Path, number: int, photos: Sequence[LabelledPhoto], dropped: Sequence[str]) -> None:
    """Write some photos; the part is there when its `.npz` is, which is written last.

    Args:
        folder: Of the store.
        number: Of the part.
        photos: What to keep.
        dropped: Keys of photos that were left out.
    """
    with atomic_write(folder / f"{number:05d}.pixels") as temporary, temporary.open("wb") as file:
        for photo in photos:
            for level in photo.levels:
                file.write(level.tobytes())
    arrays: dict[str, Any] = {
        "keys": np.array([photo.key for photo in photos], dtype=str),
        "drawn": np.array([photo.drawn for photo in photos], bool),
        "held_out": np.array([photo.held_out for photo in photos], bool),
        "sizes": np.array([photo.size for photo in photos], np.int32).reshape(-1, 2),
        "faces": np.array([len(photo.boxes) for photo in photos], np.int32),
        "boxes": np.concatenate([photo.boxes for photo in photos] or [np.empty((0, 4), np.float32)]),
        "landmarks": np.concatenate(
            [photo.landmarks for photo in photos] or [np.empty((0, 5, 2), np.float32)]
        ),
        "sure": np.concatenate([photo.sure for photo in photos] or [np.empty(0, bool)]),
        "clears": np.array([len(photo.clear) for photo in photos], np.int32),
        "clear": np.concatenate([photo.clear for photo in photos] or [np.empty((0, 4), np.int32)]),
        "dropped": np.array(list(dropped), dtype=str),
    }
    with atomic_write(folder / f"{number:05d}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def has_part(folder: Path, number: int) -> bool:
    """Whether a part is there, whole."""
    return (folder / f"{number:05d}.npz").is_file()


class PhotoStore:
    """The photos of a folder that `prepare_photos` made. It pickles as its path; processes share pixels."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open a folder.

        Raises:
            DatasetError: It holds no prepared photos, or not all of them.
        """
        self.folder = Path(folder)
        try:
            identity = json.loads((self.folder / IDENTITY).read_text(encoding="utf-8"))
            parts = [np.load(self.folder / f"{number:05d}.npz") for number in range(int(identity["parts"]))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{self.folder} holds no prepared photos, or not all of them; prepare them again ({error})."
            ) from error
        self.data_hash = str(identity["hash"])
        self._parts = [_Part(self.folder / f"{n:05d}.pixels", part) for n, part in enumerate(parts)]
        self._places = [(p, i) for p, part in enumerate(self._parts) for i in range(len(part.keys))]
        self.keys = tuple(key for part in self._parts for key in part.keys)
        self.held_out = np.concatenate([part.held_out for part in self._parts])
        self.drawn = np.concatenate([part.drawn for part in self._parts])
        self.dropped = tuple(str(key) for part in parts for key in part["dropped"])
        """Keys of the photos that were left out because the looks at them disagreed."""
        if not len(self.keys):
            raise DatasetError(f"No photo is left in {self.folder}; the detector must find faces in some.")
        self._kept = lru_cache(maxsize=4096)(self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        return PhotoStore, (self.folder,)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> LabelledPhoto:
        return self._kept(index)

    def _read(self, index: int) -> LabelledPhoto:
        part, place = self._places[index]
        return self._parts[part].photo(place)


class _Part:
    def __init__(self, pixels: Path, arrays: Any) -> None:
        self.keys = [str(key) for key in arrays["keys"]]
        self.drawn, self.held_out = arrays["drawn"], arrays["held_out"]
        self._sizes = arrays["sizes"]
        self._faces = np.concatenate([[0], np.cumsum(arrays["faces"])])
        self._clears = np.concatenate([[0], np.cumsum(arrays["clears"])])
        self._boxes, self._marks, self._sure = arrays["boxes"], arrays["landmarks"], arrays["sure"]
        self._clear = arrays["clear"]
        self._shapes = [_shapes(int(height), int(width)) for height, width in self._sizes]
        bytes_of = [sum(3 * h * w for h, w in shapes) for shapes in self._shapes]
        self._offsets = np.concatenate([[0], np.cumsum(bytes_of)]).astype(np.int64)
        if pixels.stat().st_size != self._offsets[-1]:
            raise DatasetError(f"{pixels} is damaged; remove its folder and prepare the photos again.")
        self._pixels = np.memmap(pixels, np.uint8, "r") if self._offsets[-1] else np.empty(0, np.uint8)

    def photo(self, place: int) -> LabelledPhoto:
        start, levels = int(self._offsets[place]), []
        for height, width in self._shapes[place]:
            end = start + 3 * height * width
            levels.append(np.asarray(self._pixels[start:end]).reshape(height, width, 3))
            start = end
        faces = slice(self._faces[place], self._faces[place + 1])
        return LabelledPhoto(
            self.keys[place],
            bool(self.drawn[place]),
            bool(self.held_out[place]),
            tuple(levels),
            self._boxes[faces],
            self._marks[faces],
            self._sure[faces],
            self._clear[self._clears[place] : self._clears[place + 1]],
        )


def _shapes(height: int, width: int) -> list[tuple[int, int]]:
    shapes = [(height, width)]
    while min(shapes[-1]) >= 2 * LEAST_SIDE:
        shapes.append((shapes[-1][0] // 2, shapes[-1][1] // 2))
    return shapes
