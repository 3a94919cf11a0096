"""A CSV of pairs of photos: the protocol of whoever has pairs of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facewise.data.csvfile import columns_of, read_csv
from facewise.data.lfw import Pair
from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.textfile import listed_path

_PEOPLE = (("identity_a", "person_a"), ("identity_b", "person_b"))
_SAME = {"1": True, "true": True, "same": True, "0": False, "false": False, "different": False}


@dataclass(frozen=True, slots=True)
class PairFile:
    """Pairs of photos, and what else is known of them.

    Attributes:
        name: What to call the file in messages.
        root: The folder that the pairs' paths are relative to.
        pairs: With the folds of the file; fold 0 where it has none.
        folded: Whether the file has folds.
        people: The two people of each pair, or None where the file names nobody.
        groups: The group each pair belongs to by the file, empty for none; None where it has no such column.
        twice: How many pairs are in the file a second time; each line counts.
    """

    name: str
    root: Path
    pairs: tuple[Pair, ...]
    folded: bool
    people: tuple[tuple[str, str], ...] | None
    groups: tuple[str, ...] | None
    twice: int

    def everybody(self) -> set[str]:
        """The people named; the photos where nobody is."""
        if self.people is not None:
            return {person for two in self.people for person in two}
        return {photo for pair in self.pairs for photo in (pair.a, pair.b)}

    def only(self, places: Sequence[int]) -> PairFile:
        """The pairs at these places, with all that is known of them."""
        return replace(
            self,
            pairs=tuple(self.pairs[i] for i in places),
            people=None if self.people is None else tuple(self.people[i] for i in places),
            groups=None if self.groups is None else tuple(self.groups[i] for i in places),
        )


def read_pair_file(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> PairFile:
    """Read a CSV of pairs; photos are not read.

    Its first line names the columns `a` and `b`, paths of photos; `same`, which is 1, true or same for two
    photos of one person and 0, false or different for others; and, if it has them, `fold`, `identity_a` and
    `identity_b` (or `person_a` and `person_b`), and `group`, which may be blank. Folds that are whole numbers
    keep them; others are numbered as they come. Other columns do not matter.

    Args:
        path: The file.
        root: The folder its paths are relative to; None is the folder of the file.

    Raises:
        DatasetError: The file is missing or malformed, or contradicts itself; the line is named.
    """
    path = Path(path)
    name, there = source_name(path), columns_of(path)
    folded, grouped = "fold" in there, "group" in there
    named = bool(there & {column for columns in _PEOPLE for column in columns})
    wanted: list[str | tuple[str, ...]] = ["a", "b", "same"]
    wanted += ["fold"] * folded + list(_PEOPLE) * named + ["group"] * grouped
    rows = [
        (f"Line {line} of {name}", fields) for line, fields in read_csv(path, tuple(wanted), blank={"group"})
    ]
    if not rows:
        raise DatasetError(f"{name} lists no pairs: add lines with two photos and whether they are the same.")
    folds = _numbered([fields[3] for _, fields in rows]) if folded else [0] * len(rows)
    folder = path.parent if root is None else Path(root)
    pairs = tuple(
        Pair(listed_path(fields[0], folder), listed_path(fields[1], folder), _same(fields[2], where), fold)
        for (where, fields), fold in zip(rows, folds, strict=True)
    )
    at = 3 + folded
    people = tuple((fields[at], fields[at + 1]) for _, fields in rows) if named else None
    wheres = [where for where, _ in rows]
    twice = _check_pairs(pairs, wheres)
    if people is not None:
        _check_people(pairs, people, wheres)
    return PairFile(
        name=name,
        root=folder,
        pairs=pairs,
        folded=folded,
        people=people,
        groups=tuple(fields[-1] for _, fields in rows) if grouped else None,
        twice=twice,
    )


def _same(text: str, where: str) -> bool:
    try:
        return _SAME[text.lower()]
    except KeyError:
        raise DatasetError(f"{where} says {text!r} for same: write 1 or 0, true or false.") from None


def _numbered(folds: Sequence[str]) -> list[int]:
    if all(fold.isascii() and fold.isdigit() and len(fold) < 10 for fold in folds):
        return [int(fold) for fold in folds]
    order = {fold: i for i, fold in enumerate(dict.fromkeys(folds))}
    return [order[fold] for fold in folds]


def _check_pairs(pairs: Sequence[Pair], wheres: Sequence[str]) -> int:
    """How many pairs come again; that no photo is paired with itself and no pair is both."""
    seen: dict[tuple[str, str], bool] = {}
    twice = 0
    for pair, where in zip(pairs, wheres, strict=True):
        if pair.a == pair.b:
            raise DatasetError(f"{where} pairs {source_name(pair.a)} with itself, which measures nothing.")
        key = (min(pair.a, pair.b), max(pair.a, pair.b))
        if seen.setdefault(key, pair.same) != pair.same:
            raise DatasetError(f"{where} contradicts an earlier line about the same two photos.")
        twice += 1
    return twice - len(seen)


def _check_people(pairs: Sequence[Pair], people: Sequence[tuple[str, str]], wheres: Sequence[str]) -> None:
    person: dict[str, str] = {}
    for pair, two, where in zip(pairs, people, wheres, strict=True):
        if pair.same != (two[0] == two[1]):
            said = "the same person" if pair.same else "different people"
            raise DatasetError(f"{where} says {said}, but names {two[0]} and {two[1]}.")
        for photo, who in zip((pair.a, pair.b), two, strict=True):
            if person.setdefault(photo, who) != who:
                raise DatasetError(
                    f"{where} says {source_name(photo)} shows {who}; an earlier line says {person[photo]}."
                )
