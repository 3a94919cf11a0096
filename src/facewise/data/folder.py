"""A folder of people: one sub-folder of photos a person."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.photos import Tell, endings_left_out, left_out_of_people, search_people, warn


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
    found = search_people(root)
    photos = [(name, photo) for name in found for photo in found[name].photos]
    if not photos:
        raise DatasetError(
            f"The folder {source_name(root)} holds no people: "
            "put each one's photos in a sub-folder of its own."
        )
    for sentence in left_out_of_people(root, found):
        tell(sentence)
    source = labelled(
        source_name(root), root, [(photo.relative_to(root).as_posix(), name) for name, photo in photos]
    )
    source.left_out = endings_left_out(found)
    return source


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
