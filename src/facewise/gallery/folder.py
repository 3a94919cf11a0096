"""A folder of people: one sub-folder of photos each, named like the person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from facewise.errors import DatasetError, GalleryError
from facewise.gallery.names import clean_name
from facewise.gallery.results import Rejection

if TYPE_CHECKING:
    from facewise.photos import Tell


@dataclass(slots=True)
class PersonFolder:
    """One person's part of a folder of people: photos to read, and photos that are refused unread."""

    name: str
    photos: list[Path] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def people_in(folder: Path, tell: Tell) -> list[PersonFolder]:
    """The people of a folder with a sub-folder of photos each, by name; see `facewise.photos`.

    Args:
        folder: The folder of people. Photos may lie in folders inside theirs.
        tell: Told what else is in it.

    Raises:
        DatasetError: There is no such folder, or nobody in it.
        ImageError: A folder cannot be listed.
    """
    # Only here: they need the image library.
    from facewise.photos import (  # noqa: PLC0415
        left_out_of_people,
        refuse_one_level_too_high,
        search_people,
    )

    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}.")
    refuse_one_level_too_high(folder)
    found = search_people(folder)
    plan = [_person(name, inside.photos) for name, inside in found.items() if inside.photos]
    if not plan:
        raise DatasetError(
            f"The folder {folder} holds no people: put each one's photos in a sub-folder of its own."
        )
    for sentence in left_out_of_people(folder, found):
        tell(sentence)
    return plan


def _person(name: str, photos: list[Path]) -> PersonFolder:
    try:
        return PersonFolder(clean_name(name), photos)
    except GalleryError as error:
        return PersonFolder(name, [], [Rejection(str(photo), str(error)) for photo in photos])


def all_photos(plan: Iterable[PersonFolder]) -> Iterator[Path]:
    """Everybody's photos in one stream, so that many people with few photos are still read in parallel."""
    return chain.from_iterable(person.photos for person in plan)
