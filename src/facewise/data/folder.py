"""A folder of people: one sub-folder of photos a person."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.photos import SUFFIXES, find_photos

Tell: TypeAlias = Callable[[str], None]
"""Takes a sentence about what a dataset leaves out, so that nothing is left out in silence."""


def warn(text: str) -> None:
    """Tell it as a Python warning, where nobody said how else."""
    warnings.warn(text, stacklevel=3)


def folder_source(root: str | os.PathLike[str], *, tell: Tell = warn) -> FileSource:
    """The people of a folder with a sub-folder of photos each.

    A person's name is that of the sub-folder; photos may lie in folders inside it. Hidden files and folders
    are passed over.

    Args:
        root: The folder.
        tell: Told what else is in the folder and so is no part of the dataset: photos that lie in no person's
            folder, sub-folders without photos, and files that are no photos by their ending.

    Returns:
        The photos by person and path; keys are paths relative to `root`, with `/`.

    Raises:
        DatasetError: There is no such folder, or nobody in it.
        ImageError: A folder cannot be listed.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {source_name(root)}; check the path.")
    people = folders_in(root)
    photos = [(person.name, photo) for person in people for photo in find_photos(person)]
    if not photos:
        raise DatasetError(
            f"The folder {source_name(root)} holds no people: "
            "put each one's photos in a sub-folder of its own."
        )
    _tell_left_out(root, people, {name for name, _ in photos}, tell)
    return labelled(
        source_name(root), root, [(photo.relative_to(root).as_posix(), name) for name, photo in photos]
    )


def labelled(name: str, root: Path, photos: Iterable[tuple[str, str]]) -> FileSource:
    """A source of (key, person) pairs; people are numbered in the order of their names.

    Raises:
        DatasetError: There are no photos, or a key comes twice.
    """
    entries = list(photos)
    names = sorted({person for _, person in entries})
    number = {person: i for i, person in enumerate(names)}
    labels = np.array([number[person] for _, person in entries], np.int64)
    return FileSource(name, root, [key for key, _ in entries], labels, names)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, by name."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())


def several(number: int, what: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(items: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 5 more`: enough to know what is meant."""
    names = [source_name(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _tell_left_out(root: Path, people: list[Path], with_photos: set[str], tell: Tell) -> None:
    where = f"Left out of {source_name(root)}:"
    loose = [photo.name for photo in find_photos(root, recursive=False)]
    if loose:
        tell(f"{where} {several(len(loose), 'photo')} in nobody's folder ({some(loose)}).")
    empty = [person.name for person in people if person.name not in with_photos]
    if empty:
        tell(f"{where} {several(len(empty), 'folder')} without a photo ({some(empty)}).")
    endings = Counter(ending for person in people for ending in _other_files(person))
    if endings:
        listed = ", ".join(f"{number} {ending}" for ending, number in endings.most_common(5))
        tell(f"{where} {several(endings.total(), 'file')} with no ending of a photo ({listed}).")


def _other_files(folder: Path) -> Iterable[str]:
    """The endings of the visible files in a folder that `find_photos` does not take for photos."""
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            ending = Path(name).suffix.lower()
            if not name.startswith(".") and ending not in SUFFIXES:
                yield ending or "without ending"
