"""Labeled Faces in the Wild on disk: people, photos and the official pair files.

Huang et al. 2007, "Labeled Faces in the Wild", UMass technical report 07-49.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facewise.data.folder import labelled
from facewise.data.source import FileSource, Source
from facewise.errors import DatasetError
from facewise.photos import find_photos, folders_in
from facewise.textfile import text_lines, whole_number


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos and whether they show the same person.

    Attributes:
        a: Path of a photo relative to the folder of people.
        b: Path of the other.
        same: Whether they show the same person.
        fold: 0-based fold of View 2; 0 for a file without folds.
    """

    a: str
    b: str
    same: bool
    fold: int


@dataclass(frozen=True, slots=True)
class Lfw:
    """LFW on disk.

    Attributes:
        images: The folder of people, `NAME/NAME_0001.jpg` in it.
        people: Name → its photos relative to `images`, by number.
        pairs: Of the official pair file.
    """

    images: Path
    people: dict[str, tuple[str, ...]]
    pairs: tuple[Pair, ...]


def load_lfw(root: str | os.PathLike[str], pairs: str | os.PathLike[str] | None = None) -> Lfw:
    """Find the photos and read the pairs.

    Args:
        root: Folder with `pairs.txt` and the people, or with the people in `images/`, `lfw/` or
            `lfw-deepfunneled/`.
        pairs: The pair file; None is `pairs.txt` in `root`.

    Raises:
        DatasetError: A folder or file is missing, a line is malformed, or a photo of a pair is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}; give the folder of LFW that holds pairs.txt.")
    images = images_of(root)
    parsed = read_pairs(root / "pairs.txt" if pairs is None else Path(pairs))
    people = _people(images)
    there = {photo for photos in people.values() for photo in photos}
    missing = sorted({photo for pair in parsed for photo in (pair.a, pair.b)} - there)
    if missing:
        raise DatasetError(
            f"{len(missing)} photos of the pairs are not under {images}, {missing[0]} among them; "
            "the protocol needs all of them."
        )
    return Lfw(images, people, parsed)


def lfw_people(
    root: str | os.PathLike[str], *, exclude_pairs: Iterable[str | os.PathLike[str]] = (), at_least: int = 1
) -> FileSource:
    """People of LFW to train on.

    Args:
        root: See `load_lfw`; no pair file is needed but those named.
        exclude_pairs: Pair files, relative to `root`: whoever is in one of them, in any photo, is left out. A
            model to be scored on `pairsDevTest.txt` must not have seen its people, by any photo of theirs.
        at_least: Only people with so many photos.

    Returns:
        Their photos; keys are paths relative to the folder of people, as in `Pair`.

    Raises:
        DatasetError: A folder or file is missing or malformed, or nobody is left.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}; give the folder of LFW.")
    images = images_of(root)
    excluded = {name for file in exclude_pairs for name in people_of(read_pairs(root / file))}
    kept = {
        name: photos
        for name, photos in _people(images).items()
        if name not in excluded and len(photos) >= at_least
    }
    if not kept:
        raise DatasetError(f"Nobody of {images} is left with {at_least} photos and in none of the pairs.")
    return labelled(str(root), images, [(photo, name) for name in kept for photo in kept[name]])


def people_of(pairs: Iterable[Pair]) -> set[str]:
    """The people whose photos are in the pairs."""
    return {photo.partition("/")[0] for pair in pairs for photo in (pair.a, pair.b)}


def pairs_within(pairs: Iterable[Pair], source: Source) -> tuple[Pair, ...]:
    """The pairs of which both photos are in a source, by key."""
    there = set(source.keys)
    return tuple(pair for pair in pairs if pair.a in there and pair.b in there)


def images_of(root: Path) -> Path:
    """The folder of people in an LFW folder."""
    names = ("images", "lfw", "lfw-deepfunneled")
    return next((root / name for name in names if (root / name).is_dir()), root)


def _people(images: Path) -> dict[str, tuple[str, ...]]:
    people = {}
    for folder in folders_in(images):
        found = find_photos(folder, recursive=False, suffixes=(".jpg",))
        photos = tuple(f"{folder.name}/{photo.name}" for photo in found)
        if photos:
            people[folder.name] = photos
    return people


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Read an official pair file, of View 2 (`pairs.txt`) or View 1 (`pairsDevTest.txt`).

    The first line gives the number of folds and of pairs per kind and fold, or the latter alone; see
    `pair_of` for the others. Files without a count line are one fold.

    Raises:
        DatasetError: The file is missing or malformed; the line is named.
    """
    lines = list(text_lines(path, "pair file"))
    header = _counts(lines[0]) if lines else []
    per_fold = 2 * header[1] if len(header) == 2 else 0
    found: list[Pair] = []
    for number, line in enumerate(lines[1:] if header else lines, start=2 if header else 1):
        if not line.strip():
            continue
        pair = pair_of(line, len(found) // per_fold if per_fold else 0)
        if pair is None:
            raise DatasetError(
                f"Line {number} of {path} is no pair: expected `name number number` or "
                "`name number name number`."
            )
        found.append(pair)
    _check_counts(path, header, found)
    return tuple(found)


def pair_of(line: str, fold: int = 0) -> Pair | None:
    """The pair a line is: `name number number` of one person, `name number name number` of two; or None.

    Between the fields are tabs, blanks, semicolons or commas. A name may hold blanks as well, where the
    numbers leave no doubt which they are.

    Raises:
        DatasetError: A name leads out of the folder of people.
    """
    for separator in ("\t", None, ";", ","):
        fields = [field.strip() for field in line.split(separator)]
        while fields and not fields[-1]:  # a spreadsheet gives all rows as many separators
            fields.pop()
        found = _pair_of_fields(fields, fold)
        if found is not None:
            return found
    return _pair_of_fields(_fields_by_numbers(line.split()), fold)


def _fields_by_numbers(words: Sequence[str]) -> list[str]:
    """The fields of a line whose names may be of several words, none of which is a number."""
    numbers = [i for i, word in enumerate(words) if whole_number(word) is not None]
    if len(numbers) != 2:
        return []
    first = numbers[0]
    between = [" ".join(words[first + 1 : -1])] if first < len(words) - 2 else []
    return [" ".join(words[:first]), words[first], *between, words[-1]]


def _pair_of_fields(fields: Sequence[str], fold: int) -> Pair | None:
    if len(fields) not in (3, 4) or not fields[0]:
        return None
    first, second = whole_number(fields[1]), whole_number(fields[-1])
    if first is None or second is None:
        return None
    other = fields[0] if len(fields) == 3 else fields[2]
    return Pair(_photo(fields[0], first), _photo(other, second), len(fields) == 3, fold)


def _counts(line: str) -> list[int]:
    """The numbers of a count line; none of another line."""
    numbers = [whole_number(field) for field in line.split()]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def _check_counts(path: Path, header: list[int], found: list[Pair]) -> None:
    if not found:
        raise DatasetError(f"{path} holds no pairs.")
    if not header:
        return
    each = header[-1]
    folds = header[0] if len(header) == 2 else 1
    for fold in range(folds):
        same = sum(pair.same for pair in found if pair.fold == fold)
        total = sum(pair.fold == fold for pair in found)
        if same != each or total != 2 * each:
            raise DatasetError(
                f"{path} promises {each} same and {each} different pairs a fold, "
                f"but fold {fold + 1} has {same} and {total - same}."
            )
    if len(found) != folds * 2 * each:
        raise DatasetError(f"{path} promises {folds * 2 * each} pairs, but holds {len(found)}.")


def _photo(name: str, number: int) -> str:
    if "/" in name or "\\" in name or name in (".", ".."):
        raise DatasetError(f"{name!r} in a pair file is no person's name.")
    return f"{name}/{name}_{number:04d}.jpg"
