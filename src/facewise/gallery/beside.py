"""The files that lie beside a gallery's, by name: what SQLite, the saved index and a service keep there."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from facewise import owned
from facewise.errors import GalleryError, SettingError

_OURS = re.compile(r"(\.keys)?(-wal|-shm|-journal)?|\.index(\.lock)?|\.audit([.-].*)?", re.DOTALL)
"""What follows the gallery's name in theirs."""

_LOGS = {
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",),
    "-shm": ((3007000).to_bytes(4, sys.byteorder),),
}
"""How SQLite's logs and the memory that its processes share begin, or with zeros
(https://sqlite.org/fileformat2.html, sections 3 and 4.1; https://sqlite.org/walformat.html, section 2)."""

_SHARED = 4096
"""The shared memory is a file of so many bytes, of a multiple, or of three while it is begun."""


def refuse_key_beside(
    gallery: Path, key_files: Iterable[str | os.PathLike[str] | None], what: str = "key"
) -> None:
    """Refuses key files, or others, that have the name of what is kept beside a gallery and written over.

    Raises:
        SettingError: One has, or is a link to it.
    """
    for key_file in key_files:
        if key_file is not None and is_beside(gallery, key_file):
            raise SettingError(
                f"The {what} file {os.fspath(key_file)} has the name of a file that Facewise or SQLite keeps "
                f"beside the gallery {gallery} and writes over: rename it."
            )


def is_beside(gallery: Path, other: str | os.PathLike[str]) -> bool:
    """Whether a path is a gallery's file, or one of those beside it, whether or not that is there yet."""
    for place in _places(gallery):  # a service's files lie beside a link, SQLite's beside the file
        for path in _places(Path(other)):
            name, of = path.name, place.name
            if path.parent == place.parent and name.startswith(of) and _OURS.fullmatch(name[len(of) :]):
                return True
    try:
        return gallery.samefile(other)
    except OSError:
        return False


def _places(path: Path) -> set[Path]:
    """A path as it is, and where it leads if it is a link."""
    try:
        return {path.parent.resolve() / path.name, path.resolve()}
    except (OSError, RuntimeError):  # links in a circle
        return {path}


def written_anew(path: Path, gallery: str) -> Path:
    """Where `rekey` writes a gallery's file anew: by its random id, a name that no user gives a file."""
    digest = hashlib.sha256(f"rekey\n{gallery}\n".encode() + os.fsencode(path.name)).hexdigest()
    return path.with_name(f".{digest[:32]}.rekey")


def erase_written_anew(path: Path, gallery: str) -> None:
    """Zeros and deletes what a killed `rekey` has left; for whoever keeps others from writing the gallery.

    Raises:
        GalleryError: A link or something else that is not ours has one of the names.
        OSError: It cannot be deleted.
    """
    new = written_anew(path, gallery)
    for ending in ("-wal", "-shm", "-journal", ""):
        if not owned.erase(file := new.with_name(new.name + ending)):
            raise GalleryError(f"{file} is in the way and none of ours: move it, and try again.")


def refuse_foreign_logs(gallery: Path) -> None:
    """Refuses what lies where SQLite keeps its logs of a database and is none: it would be written over.

    Raises:
        GalleryError: There is something else, or a link.
    """
    real = gallery.resolve()
    for ending, begins in _LOGS.items():
        path = real.with_name(real.name + ending)
        try:
            facts = path.lstat()
            good = stat.S_ISREG(facts.st_mode)
            if good and facts.st_size and ending == "-shm":
                good = facts.st_size == 3 or facts.st_size % _SHARED == 0
            if good and facts.st_size and not (ending == "-shm" and _is_open_here(facts)):
                good = _begins(path, begins)
        except OSError:  # gone meanwhile, or SQLite tells what is wrong
            continue
        if not good:
            raise GalleryError(
                f"{path} is in the way: SQLite keeps a file of that name beside {gallery} and would write "
                "over this one, which is something else; move it, and try again."
            )


def _begins(path: Path, begins: tuple[bytes, ...]) -> bool:
    """Whether a file begins so, or with zeros, as a log that is done with does."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        head = os.read(handle, len(begins[0]))
    finally:
        os.close(handle)
    return not head.strip(b"\0") or any(log.startswith(head) for log in begins)


def _is_open_here(facts: os.stat_result) -> bool:
    """Whether this process has a file open: closing it a second time would end its locks on it."""
    try:
        handles = list(Path("/dev/fd").iterdir())
    except OSError:
        return True
    for handle in handles:
        with suppress(OSError):
            found = os.fstat(int(handle.name))
            if (found.st_dev, found.st_ino) == (facts.st_dev, facts.st_ino):
                return True
    return False
