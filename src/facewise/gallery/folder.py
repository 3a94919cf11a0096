"""A folder of people: one sub-folder of photos each, named like the person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from facewise.errors import DatasetError, GalleryError
from facewise.gallery.names import clean_name
from facewise.gallery.results import Rejection


@dataclass(slots=True)
class PersonFolder:
    """One person's part of a folder of people: photos to read, and what is no photo."""

    name: str
    photos: list[Path] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def people_in(folder: Path) -> list[PersonFolder]:
    """The people of a folder with a sub-folder of photos each, by name; hidden files are left out.

    Files beside the sub-folders and folders inside them are rejected by name, the former under an empty name.

    Raises:
        DatasetError: There is no such folder, or nobody in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}.")
    entries = _visible(folder)
    plan = [_person_in(entry) for entry in entries if entry.is_dir()]
    if not plan:
        raise DatasetError(
            f"The folder {folder} holds no people: put each one's photos in a sub-folder of its own."
        )
    loose = [
        Rejection(str(entry), "it lies in no person's folder") for entry in entries if not entry.is_dir()
    ]
    return plan + ([PersonFolder("", [], loose)] if loose else [])


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _person_in(folder: Path) -> PersonFolder:
    entries = _visible(folder)
    person = PersonFolder(folder.name)
    person.rejected += [
        Rejection(str(entry), "it is a folder inside a person's folder")
        for entry in entries
        if entry.is_dir()
    ]
    photos = [entry for entry in entries if not entry.is_dir()]
    try:
        person.name = clean_name(folder.name)
    except GalleryError as error:
        person.rejected += [Rejection(str(photo), str(error)) for photo in photos or [folder]]
    else:
        person.photos = photos
        if not entries:
            person.rejected.append(Rejection(str(folder), "it holds no photo"))
    return person


def all_photos(plan: Iterable[PersonFolder]) -> Iterator[Path]:
    """Everybody's photos in one stream, so that many people with few photos are still read in parallel."""
    return chain.from_iterable(person.photos for person in plan)
