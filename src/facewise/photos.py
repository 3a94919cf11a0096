"""Finding the photos that files and folders named by a user stand for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from facewise.image import file_errors, local_path, source_name

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Lower-case file name endings that `find_photos` takes for photos."""


def find_photos(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = True,
    suffixes: Collection[str] = SUFFIXES,
) -> list[Path]:
    """The photos that paths stand for.

    Args:
        paths: Files, taken as they are whatever their name, and folders, searched for `suffixes` in any case.
            Hidden files and folders are passed over. Linked folders are followed, each real folder once.
        recursive: Search folders inside folders too.
        suffixes: Lower-case name endings to search folders for.

    Returns:
        The paths in the order given, those of a folder sorted, each path once. What merely looks like a photo
        (a broken link, a missing file) is listed, so that reading it tells what is wrong.

    Raises:
        ImageError: A path is no local path, or a folder cannot be listed.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[str, Path] = {}
    for entry in given:
        name = source_name(entry)
        path = Path(local_path(entry, name))
        # A missing file is listed as well: reading it tells so, and the others are not lost for it.
        for photo in sorted(_search(path, recursive, suffixes)) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(photo), photo)  # noqa: PTH100 - Path.resolve would follow links
    return list(found.values())


def _search(folder: Path, recursive: bool, suffixes: Collection[str]) -> Iterator[Path]:
    """Yield the photos in a folder, unsorted."""
    seen: set[tuple[int, int]] = set()
    # Links wait until every real folder was searched: a photo is found under its own path if it has one here.
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        with file_errors(source_name(current)):
            info = current.stat()
            entries = sorted(current.iterdir())
        if (info.st_dev, info.st_ino) in seen:
            continue
        seen.add((info.st_dev, info.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry):  # noqa: PTH112 - unlike Path.is_dir never raises, whatever the link
                if recursive:
                    (links if entry.is_symlink() else folders).append(entry)
            elif entry.suffix.lower() in suffixes:
                yield entry
