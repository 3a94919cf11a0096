"""A CSV of photos and what their faces look like: age, gender, emotion, race; any of them may be missing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.csvfile import columns_of, read_csv
from facewise.errors import DatasetError, nearest_known
from facewise.image import source_name
from facewise.models.attributes import ATTRIBUTES, WORDS
from facewise.textfile import listed_path

OLDEST = 120.0
"""Years: nobody is known to have been older by more than two."""

LEARN, VALIDATE, TEST = 0, 1, 2
PARTS = {"train": LEARN, "val": VALIDATE, "test": TEST}
"""What the column `part` may say of a photo."""


@dataclass(frozen=True, slots=True)
class LabelledPhotos:
    """Photos with labels.

    Attributes:
        name: Of the CSV.
        root: Folder that `keys` are relative to.
        keys: Paths of the photos.
        labels: Attribute → (N,) years for age, NaN where it is not labelled; for the others the word's place
            in `WORDS`, -1 where it is not. Only what the CSV has a column of.
        part: (N,) a value of `PARTS`, or None where the CSV says nothing of it.
        bad: What is wrong with lines that are left out, each in a sentence.
    """

    name: str
    root: Path
    keys: tuple[str, ...]
    labels: Mapping[str, NDArray[np.float64]]
    part: NDArray[np.int64] | None
    bad: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, part: int) -> LabelledPhotos:
        """Those of one part.

        Raises:
            DatasetError: The CSV says nothing of parts, or has none of this one.
        """
        if self.part is None:
            raise DatasetError(f"{self.name} has no column part, so none of its photos is of one.")
        kept = np.flatnonzero(self.part == part)
        if not len(kept):
            raise DatasetError(f"No photo of {self.name} is of that part.")
        return self.at(kept)

    def at(self, places: NDArray[np.int64]) -> LabelledPhotos:
        """Those at these places, in their order."""
        labels = {name: values[places] for name, values in self.labels.items()}
        keys = tuple(self.keys[i] for i in places.tolist())
        return replace(self, keys=keys, labels=labels, part=None if self.part is None else self.part[places])


def labelled_photos(path: str | os.PathLike[str]) -> LabelledPhotos:
    """Read a CSV with the columns `path`, any of `age`, `gender`, `emotion` and `race`, and `part` if known.

    A field that is empty is a label that is missing. Lines whose labels make no sense are left out and told.

    Args:
        path: The file; photos are relative to its folder.

    Raises:
        DatasetError: It is missing or malformed, has no column of labels, or no good line.
    """
    path = Path(path)
    name, there = source_name(path), columns_of(path)
    columns = [column for column in ATTRIBUTES if column in there]
    parted = "part" in there
    if "path" in there and not columns:
        raise DatasetError(f"{name} has no labels: name a column {', '.join(ATTRIBUTES[:-1])} or race.")
    wanted = ("path", *columns, *(("part",) if parted else ()))
    rows: dict[str, list[float]] = {}
    bad = []
    for line, (photo, *fields) in read_csv(path, wanted, blank=columns):
        key, where = listed_path(photo, path.parent), f"Line {line} of {name}"
        try:
            last = [float(_part(fields.pop(), where))] if parted else []
            row = [_label(c, f, where) for c, f in zip(columns, fields, strict=True)] + last
        except DatasetError as wrong:
            bad.append(str(wrong))
            continue
        if key in rows:
            bad.append(f"{where} lists {source_name(key)} again.")
        else:
            rows[key] = row
    if not rows:
        raise DatasetError(bad[0] if bad else f"{name} lists no photos: add lines with a path and labels.")
    table = np.array(list(rows.values()), np.float64)
    labels = {column: table[:, i].copy() for i, column in enumerate(columns)}
    part = table[:, -1].astype(np.int64) if parted else None
    return LabelledPhotos(name, path.parent, tuple(rows), labels, part, tuple(bad))


def _label(column: str, field: str, where: str) -> float:
    """The label of a field, as in `LabelledPhotos.labels`."""
    if column == "age":
        if not field:
            return math.nan
        try:
            age = float(field)
        except ValueError:
            age = math.nan
        if not 0 <= age <= OLDEST:
            raise DatasetError(f"{where} has an age of {field!r}: ages are 0 to {OLDEST:.0f} years.")
        return age
    if not field:
        return -1.0
    word = field.lower()
    if word not in WORDS[column]:
        raise DatasetError(f"{where} has an unknown {column} {field!r}{nearest_known(word, WORDS[column])}")
    return float(WORDS[column].index(word))


def _part(field: str, where: str) -> int:
    if field.lower() not in PARTS:
        raise DatasetError(f"{where} has an unknown part {field!r}{nearest_known(field.lower(), PARTS)}")
    return PARTS[field.lower()]
