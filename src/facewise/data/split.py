"""Splits: which photo belongs to which part, by photo or by person, and that nothing leaks between parts."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np

from facewise.data.content import content_hashes
from facewise.data.csvfile import read_csv
from facewise.data.source import Source, Subset
from facewise.errors import DatasetError, SettingError
from facewise.files import write_bytes
from facewise.image import source_name
from facewise.photos import some

By = Literal["photo", "identity"]
PART_NAMES = {2: ("train", "test"), 3: ("train", "val", "test")}
"""What the parts are called where nobody says."""


@dataclass(frozen=True, slots=True)
class Split:
    """Photos and their parts.

    Attributes:
        keys: Of the photos, as the source has them.
        people: The person of each.
        parts: The part of each.
    """

    keys: tuple[str, ...]
    people: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, in order of first appearance."""
        return tuple(dict.fromkeys(self.parts))

    @property
    def shared_people(self) -> set[str]:
        """Those with photos in more than one part: everybody or nobody, if `split` made it."""
        pairs = Counter(person for person, _ in set(zip(self.people, self.parts, strict=True)))
        return {person for person, parts in pairs.items() if parts > 1}

    def part(self, source: Source, name: str) -> Subset:
        """The photos of one part.

        Where parts share people, all of them keep the numbers of `source`, so that labels agree between
        parts; else the people of the part are numbered anew.

        Args:
            source: The dataset that was split, or what was prepared from it.
            name: Of the part.

        Raises:
            DatasetError: There is no such part, or a photo of it is not in `source`.
        """
        wanted = [key for key, part in zip(self.keys, self.parts, strict=True) if part == name]
        if not wanted:
            raise DatasetError(f"The split has no part {name!r}; it has {', '.join(self.names)}.")
        place = {key: i for i, key in enumerate(source.keys)}
        # A prepared dataset knows which photos had no face to prepare.
        expected: frozenset[str] = getattr(source, "without", frozenset())
        missing = [key for key in wanted if key not in place and key not in expected]
        if missing:
            raise DatasetError(
                f"{len(missing)} photos of the part {name} are not in {source.name}, "
                f"{source_name(missing[0])} among them: was the split made of another dataset?"
            )
        indices = [place[key] for key in wanted if key in place]
        if not indices:
            raise DatasetError(f"No photo of the part {name} is left in {source.name}.")
        return Subset(source, indices, keep_names=bool(self.shared_people))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a CSV of key, person and part.

        Raises:
            FacewiseError: The file cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("key", "person", "part"))
        writer.writerows(zip(self.keys, self.people, self.parts, strict=True))
        write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def load_split(path: str | os.PathLike[str]) -> Split:
    """Read a CSV of key, person and part, as `Split.save` writes it or as somebody else made it.

    Raises:
        DatasetError: The file is missing or malformed, or a photo comes twice; the line is named.
    """
    path = Path(path)
    seen: dict[str, int] = {}
    rows = []
    for line, row in read_csv(path, ("key", "person", "part")):
        if row[0] in seen:
            raise DatasetError(
                f"Line {line} of {source_name(path)} gives {source_name(row[0])} a part again, "
                f"after line {seen[row[0]]}."
            )
        seen[row[0]] = line
        rows.append(row)
    if not rows:
        raise DatasetError(f"{source_name(path)} is a split without photos.")
    keys, people, parts = zip(*rows, strict=True)
    return Split(keys, people, parts)


def split(
    source: Source,
    fractions: Sequence[float] = (0.8, 0.2),
    *,
    by: By = "photo",
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Split:
    """Divide a dataset.

    A photo's or person's place is drawn from its own name and the seed, so that the order in which files are
    found changes nothing.

    Args:
        source: The dataset.
        fractions: Of the parts; they add up to 1.
        by: `photo` divides the photos of each person: whoever has as many photos as there are parts, or more,
            has one at least in each, and whoever has fewer has one in the first part. `identity` divides the
            people, so that nobody is in two parts.
        names: Of the parts; by default train and test, or train, val and test.
        seed: Another one gives another split.

    Returns:
        A part for every photo, in the order of the source.

    Raises:
        SettingError: Fractions or names make no sense.
        DatasetError: A part would be empty.
    """
    fractions = tuple(fractions)
    titles = _part_names(fractions, names)
    people = [source.names[label] for label in source.labels]
    divide = {"photo": _by_photo, "identity": _by_identity}.get(by)
    if divide is None:
        raise SettingError(f"A dataset is split by photo or by identity, not by {by!r}.")
    part_of = divide(list(zip(source.keys, people, strict=True)), fractions, seed)
    found = tuple(titles[part_of[key]] for key in source.keys)
    for title in titles:
        if title not in found:
            raise DatasetError(
                f"The part {title} would be empty: {source.name} has {len(people)} photos of "
                f"{len(set(people))} people, too few for {len(titles)} parts by {by}."
            )
    return Split(tuple(source.keys), tuple(people), found)


def leaks(a: Source, b: Source, *, people: bool = False) -> None:
    """Check that two datasets, such as a training and a test set, have no photo in common.

    Args:
        a: One.
        b: The other.
        people: Check that they have no person in common either, by name.

    Raises:
        DatasetError: They have a key or the content of a photo in common, or a person.
        ImageError: A photo cannot be read.
    """
    _refuse("photos by key", set(a.keys) & set(b.keys), a, b)
    if people:
        both = set(_present(a)) & set(_present(b))
        _refuse("people", both, a, b)
    known = dict(zip(content_hashes(a), a.keys, strict=True))
    again = {
        f"{known[digest]} = {key}"
        for digest, key in zip(content_hashes(b), b.keys, strict=True)
        if digest in known
    }
    _refuse("photos by content", again, a, b)


def _refuse(what: str, common: set[str], a: Source, b: Source) -> None:
    if common:
        raise DatasetError(
            f"The two parts ({a.name}, {len(a.keys)} photos; {b.name}, {len(b.keys)} photos) have "
            f"{len(common)} {what} in common, so one leaks into the other: {some(sorted(common))}; "
            "`facewise data check` lists duplicates."
        )


def _present(source: Source) -> list[str]:
    return [source.names[label] for label in np.unique(source.labels)]


def _part_names(fractions: tuple[float, ...], names: Sequence[str] | None) -> tuple[str, ...]:
    if len(fractions) < 2 or not all(0 < f < 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise SettingError(
            f"The parts {', '.join(f'{f:g}' for f in fractions)} make no split: give two or more fractions "
            "between 0 and 1 that add up to 1."
        )
    default = PART_NAMES.get(len(fractions)) or tuple(f"part{i + 1}" for i in range(len(fractions)))
    titles = default if names is None else tuple(names)
    if len(titles) != len(fractions) or len(set(titles)) != len(titles) or not all(t.strip() for t in titles):
        raise SettingError(f"{len(fractions)} parts need as many different names, not {', '.join(titles)!r}.")
    return titles


def _by_identity(
    photos: Iterable[tuple[str, str]], fractions: tuple[float, ...], seed: int
) -> dict[str, int]:
    entries = list(photos)
    people = sorted({person for _, person in entries}, key=lambda person: _draw(seed, person))
    ends = [round(end * len(people)) for end in accumulate(fractions)]
    part = {person: int(np.searchsorted(ends, i, side="right")) for i, person in enumerate(people)}
    return {key: part[person] for key, person in entries}


def _by_photo(photos: Iterable[tuple[str, str]], fractions: tuple[float, ...], seed: int) -> dict[str, int]:
    of_person = defaultdict(list)
    for key, person in photos:
        of_person[person].append(key)
    part: dict[str, int] = {}
    for person, keys in of_person.items():
        keys.sort(key=lambda key: _draw(seed, key))
        counts = _counts(len(keys), fractions, seed, person)
        part.update(zip(keys, np.repeat(np.arange(len(counts)), counts).tolist(), strict=True))
    return part


def _counts(photos: int, fractions: tuple[float, ...], seed: int, person: str) -> list[int]:
    """How many of a person's photos go to each part: one each first, the rest to whom most is missing."""
    counts = [0] * len(fractions)
    if photos < len(fractions):
        # The first part, then others drawn by their size (Efraimidis and Spirakis 2006: the k largest
        # u^(1/w), here as the smallest -log(u) / w).
        draws = [-math.log(_draw(seed, f"{person}/{i}")) / f for i, f in enumerate(fractions)]
        chosen = [0, *sorted(range(1, len(fractions)), key=draws.__getitem__)]
        for i in chosen[:photos]:
            counts[i] = 1
        return counts
    counts = [max(1, math.floor(photos * f + 1e-9)) for f in fractions]
    while sum(counts) != photos:
        missing = [photos * f - count for f, count in zip(fractions, counts, strict=True)]
        if sum(counts) < photos:
            counts[int(np.argmax(missing))] += 1
        else:
            # Some part had its one photo for less than that; the largest gives.
            missing = [m if count > 1 else math.inf for m, count in zip(missing, counts, strict=True)]
            counts[int(np.argmin(missing))] -= 1
    return counts


def _draw(seed: int, name: str) -> float:
    """A number in (0, 1), uniform, that depends on seed and name alone."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()
    return (int.from_bytes(digest[:6], "big") + 0.5) / 2**48
