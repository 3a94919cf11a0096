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
from facewise.photos import Found, folders_in, search_photos, told_endings

Tell: TypeAlias = Callable[[str], None]
"""Takes a sentence about what a dataset leaves out, so that nothing is left out in silence."""


def warn(text: str) -> None:
    """Tell it as a Python warning, where nobody said how else."""
    warnings.warn(text, stacklevel=3)


def folder_source(root: str | os.PathLike[str], *, tell: Tell = warn) -> FileSource:
    """The people of a folder with a sub-folder of photos each.

    A person's name is that of the sub-folder; photos may lie in folders inside it. See `facewise.photos` for
    what is passed over.

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
    found = {person.name: search_photos(person) for person in people}
    photos = [(name, photo) for name in found for photo in found[name].photos]
    if not photos:
        raise DatasetError(
            f"The folder {source_name(root)} holds no people: "
            "put each one's photos in a sub-folder of its own."
        )
    _tell_left_out(root, found, tell)
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


def several(number: int, what: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(items: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 5 more`: enough to know what is meant."""
    names = [source_name(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _tell_left_out(root: Path, found: dict[str, Found], tell: Tell) -> None:
    where = f"Left out of {source_name(root)}:"
    here = search_photos(root, recursive=False)
    if here.photos:
        loose = some(photo.name for photo in here.photos)
        tell(f"{where} {several(len(here.photos), 'photo')} in nobody's folder ({loose}).")
    empty = [name for name, inside in found.items() if not inside.photos]
    if empty:
        tell(f"{where} {several(len(empty), 'folder')} without a photo ({some(empty)}).")
    endings = sum((Counter(inside.left_out) for inside in found.values()), Counter())
    if endings:
        others = several(endings.total(), "file")
        tell(f"{where} {others} with no ending of a photo ({told_endings(dict(endings.most_common()))}).")
