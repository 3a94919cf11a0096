"""Record files as datasets: InsightFace's layout of faces, and the plain one of im2rec."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.records import RecordFile
from facewise.data.source import IntArray, check
from facewise.errors import DatasetError, ImageError
from facewise.image import decode
from facewise.textfile import text_lines, whole_number
from facewise.types import Image


class RecordSource:
    """The photos of a `.rec` file; a key is a record's number.

    In InsightFace's layout record 0 holds no image but two labels, the numbers [first, end) of the records
    that stand for people; each of those holds two labels again, the numbers [first, end) of their images. In
    the plain layout every record is an image whose first label is the person.

    A person is called by the label of the images, or, where a `.lst` of im2rec (`number TAB label TAB path`)
    lies beside the file and puts each label into a folder of its own, by that folder.

    Args:
        path: The `.rec` file, with its `.idx` beside it; without one the file is gone through once.

    Raises:
        DatasetError: A file is missing, damaged, or of another layout.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = RecordFile(path)
        self.name = self.file.name
        place = {number: i for i, number in enumerate(self.file.numbers.tolist())}
        if len(place) != len(self.file):
            raise DatasetError(
                f"The index of {self.name} names a record twice; delete it to have it made anew."
            )
        header = self.file.read(place[0]) if 0 in place else None
        if header is not None and not header.content and len(header.labels) >= 2:
            self._positions, values = self._by_person(place, header.labels)
        else:
            self._positions = np.arange(len(self.file))
            values = np.array([self.file.label(i) for i in range(len(self.file))])
        if not np.isfinite(values).all():
            raise DatasetError(f"A label of {self.name} is no number.")
        people, self.labels = np.unique(values, return_inverse=True)
        numbers = self.file.numbers[self._positions]
        self.keys = tuple(map(str, numbers.tolist()))
        self.names = _names_in_list(self.file.path.with_suffix(".lst"), numbers, self.labels) or tuple(
            str(int(value)) if value.is_integer() else repr(value) for value in people.tolist()
        )
        check(self)

    @property
    def identity(self) -> str:
        """Text that changes with the file."""
        info = self.file.path.stat()
        return f"{self.file.path.resolve()} {info.st_size} {info.st_mtime_ns}"

    def read(self, index: int) -> Image:
        """See `Source.read`."""
        return decode(self.content(index), name=f"record {self.keys[index]} of {self.name}")

    def content(self, index: int) -> bytes:
        """The bytes of a photo.

        Raises:
            ImageError: The record is damaged.
        """
        try:
            return self.file.read(int(self._positions[index])).content
        except DatasetError as error:
            raise ImageError(str(error)) from error

    def _by_person(
        self, place: dict[int, int], span: NDArray[np.float32]
    ) -> tuple[IntArray, NDArray[np.float64]]:
        """Positions of the images, and the label of each, in InsightFace's layout."""
        first, end = self._span(span)
        positions: list[int] = []
        values: list[float] = []
        for person in range(first, end):
            images = self.file.read(self._place(place, person)).labels
            found = [self._place(place, number) for number in range(*self._span(images))]
            positions += found
            values += [self.file.label(found[0])] * len(found) if found else []
        if first == end:  # nobody is listed: the images carry their label themselves
            positions = [self._place(place, number) for number in range(1, first)]
            values = [self.file.label(i) for i in positions]
        if len(positions) != first - 1:
            raise DatasetError(
                f"{self.name} promises {first - 1} images, but its people have {len(positions)}: "
                "it is damaged."
            )
        return np.array(positions, np.int64), np.array(values)

    def _span(self, labels: NDArray[np.float32]) -> tuple[int, int]:
        """The numbers [first, end) that two labels stand for."""
        if len(labels) >= 2 and np.isfinite(labels[:2]).all():
            first, end = int(labels[0]), int(labels[1])
            if 0 <= first <= end <= first + len(self.file):
                return first, end
        raise DatasetError(f"{self.name} is damaged: {labels[:2].tolist()} are no numbers of first and last.")

    def _place(self, place: dict[int, int], number: int) -> int:
        if number not in place:
            raise DatasetError(
                f"{self.name} has no record {number}, though it refers to it: it is cut short."
            )
        return place[number]


def _names_in_list(path: Path, numbers: IntArray, labels: IntArray) -> tuple[str, ...]:
    """The folder each label's photos lay in, by label; empty if the list does not say so for all of them."""
    if not path.is_file():
        return ()
    folders: dict[int, str] = {}
    for line in text_lines(path, odd_bytes=True):
        fields = line.split("\t")
        number, photo = whole_number(fields[0]), fields[-1].replace("\\", "/")
        if len(fields) >= 3 and number is not None and "/" in photo:
            folders[number] = photo.rsplit("/", 2)[-2]
    pairs = {(label, folders.get(number, "")) for number, label in zip(numbers.tolist(), labels, strict=True)}
    names = tuple(folder for _, folder in sorted(pairs))
    people = len(np.unique(labels))
    return names if len(pairs) == people == len(set(names)) and all(names) else ()
