"""The stored bytes of a dataset's photos: what duplicates are told by, and what a pipeline reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from facewise.concurrency import side_by_side
from facewise.data.source import FileSource, Source, Subset
from facewise.errors import FacewiseError, ImageError
from facewise.hardware import available_threads
from facewise.image import ImageSource, content_hash, load
from facewise.types import Image


@runtime_checkable
class Stored(Protocol):
    """A source that keeps photos as the bytes of image files, though not one a file."""

    def content(self, index: int) -> bytes:
        """The bytes of the photo.

        Raises:
            ImageError: They cannot be read.
        """
        ...


def stored_photo(source: Source, index: int) -> Path | bytes | Image:
    """A photo as the source keeps it: its path, its bytes, or its pixels where it is no file.

    Raises:
        ImageError: It cannot be read. A path is not looked at.
    """
    if isinstance(source, Subset):
        return stored_photo(source.source, int(source.indices[index]))
    if isinstance(source, FileSource):
        return source.path(index)
    if isinstance(source, Stored):
        return source.content(index)
    return source.read(index)


def photo_hash(source: Source, index: int) -> str:
    """The sha256 of a photo's bytes, in hex; of its shape and pixels where it is no file.

    Raises:
        ImageError: It cannot be read.
    """
    photo = stored_photo(source, index)
    if isinstance(photo, Path | bytes):
        return content_hash(load(photo))
    return hashlib.sha256(repr(photo.shape).encode() + photo.tobytes()).hexdigest()


def content_hashes(source: Source) -> list[str]:
    """`photo_hash` of every photo.

    Raises:
        ImageError: One cannot be read.
    """
    return list(side_by_side(lambda i: photo_hash(source, i), range(len(source.keys)), available_threads()))


class StoredPhotos:
    """The photos a pipeline is to read, as they are stored; one that cannot be had is told in `errors`."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source, self.indices = source, indices
        self.errors: dict[int, FacewiseError] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[ImageSource]:
        for i in self.indices:
            try:
                yield stored_photo(self.source, i)
            except ImageError as error:
                self.errors[i] = error
                yield b""
