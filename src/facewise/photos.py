"""Finding the photos that files and folders named by a user stand for, and telling what else lay there.

One rule for every search. Passed over without a word: hidden files and folders, which are those whose name
starts with a dot (macOS's `._photo.jpg` among them), and what systems leave in folders of photos (`CLUTTER`).
Counted as left out: every other file whose name has no ending of a photo.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from facewise.errors import DatasetError
from facewise.formats.kinds import extra_for, suffixes
from facewise.image import file_errors, local_path, source_name

SUFFIXES = suffixes()
"""Lower-case file name endings that `find_photos` takes for photos: what is installed reads them."""

CLUTTER = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",  # Windows
        "icon\r", "__macosx",  # macOS
        "@eadir", "#recycle",  # Synology
        "lost+found",
    }
)  # fmt: skip
"""Lower-case names of files and folders that are nobody's photos, and nothing to tell of."""


Tell: TypeAlias = Callable[[str], None]
"""Takes a sentence about what is left out, so that nothing is left out in silence."""


def warn(text: str) -> None:
    """Tell it as a Python warning, where nobody said how else."""
    warnings.warn(text, stacklevel=3)


@dataclass(slots=True)
class Found:
    """What a search found.

    Attributes:
        photos: The paths in the order given, those of a folder sorted, each path once.
        left_out: How many files in the folders have another ending, by that ending in lower case, the most
            frequent first; `""` is no ending.
    """

    photos: list[Path] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def find_photos(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = True,
    suffixes: Collection[str] = SUFFIXES,
) -> list[Path]:
    """The photos that paths stand for: `search_photos(...).photos`."""
    return search_photos(paths, recursive=recursive, suffixes=suffixes).photos


def search_photos(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = True,
    suffixes: Collection[str] = SUFFIXES,
) -> Found:
    """The photos that paths stand for, and what else is in their folders.

    Args:
        paths: Files, taken as they are whatever their name, and folders, searched for `suffixes` in any case.
            Linked folders are followed, each real folder once.
        recursive: Search folders inside folders too.
        suffixes: Lower-case name endings to search folders for.

    Returns:
        What was found. What merely looks like a photo (a broken link, a missing file) is listed, so that
        reading it tells what is wrong.

    Raises:
        ImageError: A path is no local path, or a folder cannot be listed.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[str, Path] = {}
    others: dict[str, str] = {}
    for entry in given:
        name = source_name(entry)
        path = Path(local_path(entry, name))
        # A missing file is listed as well: reading it tells so, and the others are not lost for it.
        # os.path, as Path.is_dir raises for a name that is too long.
        is_folder = os.path.isdir(path)  # noqa: PTH112
        for file in sorted(_files(path, recursive)) if is_folder else [path]:
            key, ending = os.path.abspath(file), file.suffix.lower()  # noqa: PTH100 - Path.resolve follows links
            if ending in suffixes or file is path:
                found.setdefault(key, file)
            else:
                others[key] = ending
    counts = Counter(ending for key, ending in others.items() if key not in found)
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Found(list(found.values()), dict(most_first))


def search_people(root: Path) -> dict[str, Found]:
    """What is in each folder of a folder of people, and in the folders inside it, by the folder's name.

    Raises:
        ImageError: A folder cannot be listed.
    """
    return {folder.name: search_photos(folder) for folder in folders_in(root)}


def refuse_one_level_too_high(folder: Path) -> None:
    """A folder whose only folder is one of people would be taken for a single person.

    Raises:
        DatasetError: It is one.
        ImageError: A folder cannot be listed.
    """
    inside = folders_in(folder)
    if len(inside) == 1 and len(folders_in(inside[0])) > 1 and not find_photos(inside[0], recursive=False):
        raise DatasetError(
            f"{source_name(folder)} holds one folder of folders, {source_name(inside[0].name)}: "
            f"name {source_name(inside[0])} if these are the people."
        )


def left_out_of_people(root: Path, found: Mapping[str, Found]) -> list[str]:
    """What is no person's photo in a folder of people, in sentences.

    Args:
        root: The folder.
        found: By `search_people`.

    Raises:
        ImageError: The folder cannot be listed.
    """
    where, told = f"Left out of {source_name(root)}:", []
    here = search_photos(root, recursive=False)
    if here.photos:
        loose = some(photo.name for photo in here.photos)
        told.append(f"{where} {several(len(here.photos), 'photo')} in nobody's folder ({loose}).")
    empty = [name for name, inside in found.items() if not inside.photos]
    if empty:
        told.append(f"{where} {several(len(empty), 'folder')} without a photo ({some(empty)}).")
    endings = endings_left_out(found)
    if endings:
        others = several(sum(endings.values()), "file")
        told.append(f"{where} {others} with no ending of a photo ({told_endings(endings)}).")
    return told


def endings_left_out(found: Mapping[str, Found]) -> dict[str, int]:
    """How many files in people's folders are no photos, as `Found.left_out` counts them."""
    total = sum((Counter(inside.left_out) for inside in found.values()), Counter[str]())
    return dict(total.most_common())


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, linked ones too, by name.

    Raises:
        ImageError: It cannot be listed.
    """
    return [entry for entry in _listed(folder) if os.path.isdir(entry)]  # noqa: PTH112 - never raises


def files_in(folder: Path, suffix: str) -> list[Path]:
    """The files in a folder with an ending, in lower case, by name.

    Raises:
        ImageError: It cannot be listed.
    """
    return [entry for entry in _listed(folder) if entry.suffix.lower() == suffix]


def told_endings(left_out: Mapping[str, int]) -> str:
    """`3 .heic, 1 .mov`, for people."""
    extras = sorted({extra for ending in left_out if (extra := extra_for(ending)) is not None})
    shown = [
        f"{number} {source_name(ending) if ending else 'without ending'}"
        for ending, number in left_out.items()
    ]
    needs = f" (`pip install facewise[{','.join(extras)}]` to read more)" if extras else ""
    rest = sum(list(left_out.values())[_SHOWN:])
    return ", ".join(shown[:_SHOWN]) + (f" and {rest} of other endings" if rest else "") + needs


def several(number: int, what: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(items: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 5 more`: enough to know what is meant."""
    names = [source_name(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


_SHOWN = 8
"""Endings told by name."""


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files in a folder, unsorted."""
    seen: set[tuple[int, int]] = set()
    # Links wait until every real folder was searched: a photo is found under its own path if it has one here.
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        with file_errors(source_name(current)):
            info = current.stat()
        if (info.st_dev, info.st_ino) in seen:
            continue
        seen.add((info.st_dev, info.st_ino))
        for entry in _listed(current):
            if not os.path.isdir(entry):  # noqa: PTH112 - unlike Path.is_dir never raises, whatever the link
                yield entry
            elif recursive:
                (links if entry.is_symlink() else folders).append(entry)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder but hidden things and clutter, by name."""
    with file_errors(source_name(folder)):
        return sorted(
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name.casefold() not in CLUTTER
        )
