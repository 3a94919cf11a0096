"""What every dataset looks like to the rest: photos with labels, read one at a time by number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.image import read_image
from facewise.types import Image

IntArray: TypeAlias = NDArray[np.int64]


@runtime_checkable
class Source(Protocol):
    """A dataset of labelled photos. Implementations never change and pickle, so that processes share them.

    A key is a path relative to the dataset, or a record's number.
    """

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def keys(self) -> Sequence[str]:
        """One a photo, unique."""
        ...

    @property
    def labels(self) -> IntArray:
        """(N,) int64, the position of each person in `names`."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The people, each once."""
        ...

    def read(self, index: int) -> Image:
        """The photo, RGB uint8 (H, W, 3).

        Raises:
            ImageError: It cannot be read.
        """
        ...


class FileSource:
    """Photos that are files, as a folder of people or a CSV names them."""

    def __init__(
        self,
        name: str,
        root: str | os.PathLike[str],
        keys: Sequence[str],
        labels: IntArray,
        names: Sequence[str],
    ) -> None:
        """Keys are paths relative to `root`."""
        self.name, self.root = name, Path(root)
        self.left_out: dict[str, int] = {}
        """Files that lay among the photos, by ending: see `facewise.photos.Found`."""
        self.keys, self.labels, self.names = tuple(keys), np.asarray(labels, np.int64), tuple(names)
        check(self)

    def read(self, index: int) -> Image:
        """See `Source.read`."""
        return read_image(self.path(index))

    def path(self, index: int) -> Path:
        """Where the photo lies."""
        return self.root / self.keys[index]


class Subset:
    """Some photos of a source, in the order given; the people who are left are numbered anew."""

    def __init__(
        self, source: Source, indices: Sequence[int] | IntArray, *, keep_names: bool = False
    ) -> None:
        """Args: keep_names: Keep all people and their numbers, also those without a photo here."""
        self.source, self.indices = source, np.asarray(indices, np.int64)
        self.name = source.name
        self.keys = tuple(source.keys[i] for i in self.indices)
        labels = source.labels[self.indices]
        if keep_names:
            self.labels, self.names = labels, tuple(source.names)
        else:
            present, self.labels = np.unique(labels, return_inverse=True)
            self.names = tuple(source.names[i] for i in present)

    def read(self, index: int) -> Image:
        """See `Source.read`."""
        return self.source.read(int(self.indices[index]))


def with_at_least(source: Source, photos: int) -> Subset:
    """The people with at least so many photos.

    Raises:
        DatasetError: There are none.
    """
    counts = np.bincount(source.labels, minlength=len(source.names))
    kept = np.flatnonzero(counts[source.labels] >= photos)
    if not len(kept):
        raise DatasetError(
            f"Nobody in {source.name} has {photos} photos; the most anyone has is {counts.max()}."
        )
    return Subset(source, kept)


def check(source: Source) -> None:
    """That a source keeps its promises.

    Raises:
        DatasetError: It is empty, counts differ, a label is out of range, or a key or name comes twice.
    """
    if not len(source.keys):
        raise DatasetError(f"There are no photos in {source.name}.")
    if len(source.keys) != len(source.labels):
        raise DatasetError(f"{source.name} has {len(source.keys)} photos but {len(source.labels)} labels.")
    if source.labels.min() < 0 or source.labels.max() >= len(source.names):
        raise DatasetError(f"A label of {source.name} names nobody.")
    for what, entries in (("photo", source.keys), ("person", source.names)):
        if len(set(entries)) != len(entries):
            seen: set[str] = set()
            twice = next(e for e in entries if e in seen or seen.add(e))  # type: ignore[func-returns-value]
            raise DatasetError(f"The {what} {twice} comes twice in {source.name}.")
