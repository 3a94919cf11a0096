"""Who is of which group, by a CSV: photo → race, sex, age … as whoever made the file says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from facewise.data.csvfile import columns_of, read_csv
from facewise.data.lfw import Pair
from facewise.errors import DatasetError, SettingError, nearest_known
from facewise.image import source_name
from facewise.textfile import listed_path

AGE_BANDS = (18, 30, 45, 60)
"""Ages at which a band of the column `age` begins: under 18, 18 to 29, 30 to 44, 45 to 59, 60 and older."""

JOINED = "+"
"""`race+sex` are the groups of both together."""


@dataclass(frozen=True, slots=True)
class GroupFile:
    """Attributes of photos.

    Attributes:
        name: What to call the file in messages.
        root: The folder its paths are relative to.
        columns: The attributes read.
        rows: Absolute path of a photo → its attributes in that order, empty where unknown.
        bands: Where the bands of `age` begin.
    """

    name: str
    root: Path
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    bands: tuple[float, ...]

    def of_photos(self, photos: Sequence[str], root: Path) -> dict[str, tuple[str, ...]]:
        """The attributes of those of these photos that are in the file.

        Raises:
            DatasetError: None is.
        """
        known = {photo: self.rows.get(_absolute(root / photo)) for photo in photos}
        found = {photo: row for photo, row in known.items() if row is not None}
        if not found:
            raise DatasetError(
                f"{self.name} tells of none of the {len(photos)} photos: its paths are relative to "
                f"{source_name(self.root)}, where {source_name(photos[0])} of the pairs is not."
            )
        return found


@dataclass(frozen=True, slots=True)
class PairGroups:
    """The group of every pair by one attribute, or by several together.

    Attributes:
        by: The attribute, or several joined by `+`.
        labels: (P,) the group both photos of a pair are of; empty where they are of two, or one is of none.
        across: How many pairs are of two groups.
        unknown: How many pairs have a photo whose group is not known.
    """

    by: str
    labels: tuple[str, ...]
    across: int
    unknown: int

    def only(self, places: Sequence[int]) -> PairGroups:
        """Those of the pairs at these places; what was said of the others stays counted."""
        return replace(self, labels=tuple(self.labels[i] for i in places))


def read_groups(
    path: str | os.PathLike[str],
    by: Sequence[str],
    root: str | os.PathLike[str] | None = None,
    *,
    bands: Sequence[float] = AGE_BANDS,
) -> GroupFile:
    """Read the attributes of photos.

    The first line of the CSV names the columns: `path`, relative to the folder of the CSV, and any others. A
    blank field is an unknown attribute. Numbers in the column `age` are put into bands.

    Args:
        path: The file.
        by: Columns, or several of them joined by `+`.
        root: The folder its paths are relative to; None is the folder of the file.
        bands: Ages at which a band begins, rising.

    Raises:
        DatasetError: The file is missing or malformed, or a photo comes twice with different attributes.
        SettingError: There is no such column, or the bands do not rise.
    """
    path = Path(path)
    name, folder = source_name(path), path.parent if root is None else Path(root)
    columns = tuple(dict.fromkeys(column for one in by for column in one.lower().split(JOINED)))
    if not columns or not all(columns):
        raise SettingError("Say which columns make the groups, as in race,sex,race+sex.")
    there = columns_of(path) - {"path", ""}
    for column in columns if there else ():
        if column not in there:
            raise SettingError(f"{name} has no column {column}{nearest_known(column, sorted(there))}")
    starts = tuple(float(band) for band in bands)
    if any(a >= b for a, b in pairwise(starts)) or not all(0 < s < 200 for s in starts):
        raise SettingError(f"The ages at which bands begin must rise, as in 18,30,45, not {list(bands)}.")
    rows: dict[str, tuple[str, ...]] = {}
    for line, (photo, *values) in read_csv(path, ("path", *columns), blank=columns):
        where = f"Line {line} of {name}"
        known = tuple(_value(c, v, starts, where) for c, v in zip(columns, values, strict=True))
        place = _absolute(folder / listed_path(photo, folder))
        if rows.setdefault(place, known) != known:
            raise DatasetError(f"{where} contradicts an earlier line about {source_name(photo)}.")
    return GroupFile(name, folder, columns, rows, starts)


def group_pairs(groups: GroupFile, by: Sequence[str], pairs: Sequence[Pair], root: Path) -> list[PairGroups]:
    """The groups of pairs, once for each attribute or attributes joined.

    Args:
        groups: Of the photos.
        by: As in `read_groups`.
        pairs: The pairs.
        root: The folder the pairs' paths are relative to.

    Raises:
        DatasetError: None of their photos is in the file.
    """
    photos = sorted({photo for pair in pairs for photo in (pair.a, pair.b)})
    known = groups.of_photos(photos, root)
    found = []
    for one in by:
        at = [groups.columns.index(column) for column in one.lower().split(JOINED)]
        label = {photo: _label([row[i] for i in at]) for photo, row in known.items()}
        two = [(label.get(pair.a, ""), label.get(pair.b, "")) for pair in pairs]
        found.append(
            PairGroups(
                by=one.lower(),
                labels=tuple(a if a == b else "" for a, b in two),
                across=sum(bool(a and b) and a != b for a, b in two),
                unknown=sum(not (a and b) for a, b in two),
            )
        )
    return found


def given_groups(labels: Sequence[str]) -> PairGroups:
    """The groups that a file of pairs names itself."""
    return PairGroups("group", tuple(labels), 0, sum(not label for label in labels))


def age_band(age: float, starts: Sequence[float] = AGE_BANDS) -> str:
    """The band of an age in years: `under 18`, `18 to 29`, …, `60 and older`."""
    if not starts:
        return "any age"
    place = sum(age >= start for start in starts)
    if place == 0:
        return f"under {starts[0]:g}"
    if place == len(starts):
        return f"{starts[-1]:g} and older"
    low, high = starts[place - 1], starts[place]
    whole = low == int(low) and high == int(high)
    return f"{low:g} to {high - 1:g}" if whole else f"{low:g} to under {high:g}"


def _value(column: str, text: str, starts: tuple[float, ...], where: str) -> str:
    if column != "age" or not text:
        return text
    try:
        age = float(text)
    except ValueError:
        return text  # a band already
    if not 0 <= age < 200:
        raise DatasetError(f"{where} gives the age {text}, which nobody has; leave unknown ages blank.")
    return age_band(age, starts)


def _label(values: Sequence[str]) -> str:
    return ", ".join(values) if all(values) else ""


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links
