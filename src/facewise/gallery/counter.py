"""How far galleries have come, noted in a file elsewhere: an older copy in a gallery's place is told.

A gallery counts its changes, and with a key nobody else can change that number; but nothing in an old copy of
the whole file says that it is old. So the last number and the random token of that change are also kept in a
small text file, one line a gallery, where whoever can put back the gallery cannot put back that.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from facewise.errors import (
    FacewiseError,
    GalleryError,
    SettingError,
    StorageFullError,
    UnusableGalleryError,
)
from facewise.filenames import shown
from facewise.files import atomic_write, one_at_a_time, remove_leftovers
from facewise.gallery.beside import refuse_key_beside
from facewise.owned import opened

COUNTER_FILE_VARIABLE = "FACEWISE_COUNTER_FILE"
"""The environment variable that names the file."""

_BEGINS = b"# facewise counters 1\n"
_MOST_BYTES = 1 << 24
_REKEYED = "rekeyed"


@dataclass(frozen=True, slots=True)
class Moment:
    """What a gallery had come to.

    Attributes:
        gallery: Its random id.
        changes: How many it has seen.
        state: The random token of the last one.
    """

    gallery: str
    changes: int
    state: str


class Counter:
    """The file of the last changes.

    Args:
        path: It is made with the first gallery that is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, location: str, look: Callable[[], Moment]) -> None:
        """Refuses a gallery that had come further, and notes one that has.

        Args:
            location: The gallery, for people.
            look: Reads what it has come to. After the counter: others may change both meanwhile.

        Raises:
            UnusableGalleryError: It is an older copy, or another one than was changed last.
            FacewiseError: The counter file cannot be used.
        """
        lines = self._read()
        now = look()
        known = lines.get(now.gallery)
        self._refuse_older(location, known, now)
        if known != now:
            with self._writing() as lines:
                if now.gallery not in lines or lines[now.gallery].changes < now.changes:
                    lines[now.gallery] = now

    @contextmanager
    def step(self, location: str, before: Moment, after: Moment) -> Iterator[None]:
        """Notes a change that is committed within the block; where that fails, it is not noted.

        With another id after it, the gallery was given another key: no copy of the old one is its latest.

        Raises:
            UnusableGalleryError: The file knows of later changes than `before`, or cannot be written.
            StorageFullError: There is no room for it. All are raised before the block.
        """
        with ExitStack() as until:
            try:
                with self._writing(until) as lines:
                    self._refuse_older(location, lines.get(before.gallery), before)
                    if before.gallery != after.gallery:
                        lines[before.gallery] = Moment(before.gallery, before.changes + 1, _REKEYED)
                    lines[after.gallery] = after
            except UnusableGalleryError:
                raise
            except (FacewiseError, OSError) as error:
                raise _not_changed(location, error) from error
            yield  # all that can fail is done, but for the name

    @contextmanager
    def _writing(self, until: ExitStack | None = None) -> Iterator[dict[str, Moment]]:
        """The lines, to be changed; they are in place at the end, or where `until` is closed."""
        with ExitStack() as own:
            stack = until or own
            stack.enter_context(one_at_a_time(self.path.with_name(f"{self.path.name}.lock")))
            remove_leftovers(self.path)
            temporary = stack.enter_context(atomic_write(self.path, private=True))
            lines = self._read()
            yield lines
            with temporary.open("wb") as file:
                text = "".join(f"{one.gallery} {one.changes} {one.state}\n" for one in lines.values())
                file.write(_BEGINS + text.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())

    def _refuse_older(self, location: str, known: Moment | None, now: Moment) -> None:
        if known is None or now.changes > known.changes or now == known:
            return
        others = " others" if now.changes == known.changes else ""
        raise UnusableGalleryError(
            f"The gallery {location} is not the latest: it has seen {now.changes} changes, and {self._shown} "
            f"knows of {known.changes}{others}. Put the latest back; or, if this is to be it, take the line "
            f"that begins with {now.gallery} out of that file."
        )

    def _read(self) -> dict[str, Moment]:
        try:
            with opened(self.path, begins=_BEGINS) as handle:
                facts = os.fstat(handle)
                data = os.read(handle, _MOST_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as error:
            told = error.strerror or error
            raise SettingError(f"The counter file {self._shown} cannot be read: {told}.") from error
        if os.name == "posix" and facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingError(f"Others may write the counter file {self._shown}: `chmod go-w` it.")
        try:
            found = [line.split(" ") for line in data.decode("ascii").splitlines()[1:]]
            return {gallery: Moment(gallery, int(changes), state) for gallery, changes, state in found}
        except ValueError as error:
            raise SettingError(
                f"The counter file {self._shown} is damaged: restore it, or delete it to begin anew."
            ) from error

    @property
    def _shown(self) -> str:
        return shown(str(self.path))


def _not_changed(location: str, error: FacewiseError | OSError) -> GalleryError:
    cause = error.__cause__ if isinstance(error, FacewiseError) else error
    if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError(
            f"There is no room to count the change, so the gallery {location} was not changed: free space "
            "and try again."
        )
    return UnusableGalleryError(f"The gallery {location} was not changed, as that cannot be counted: {error}")


def counter_of(location: Path, counter_file: str | os.PathLike[str] | None) -> Counter | None:
    """The counter in this file, or else in the one that the environment names by `FACEWISE_COUNTER_FILE`.

    Raises:
        SettingError: It has the name of a file that lies beside the gallery.
    """
    named = counter_file if counter_file is not None else os.environ.get(COUNTER_FILE_VARIABLE) or None
    refuse_key_beside(location, [named], "counter")
    return None if named is None else Counter(Path(named))


def moment_of(db: sqlite3.Connection) -> Moment:
    """What a gallery has come to."""
    row = db.execute("SELECT gallery, generation, state FROM meta").fetchone()
    if row is None:
        raise GalleryError("The gallery is damaged (no meta row): restore it from a copy.")
    try:
        return Moment(str(row[0]), int(row[1]), str(row[2]))
    except (TypeError, ValueError) as error:
        raise GalleryError("The gallery is damaged (its meta row): restore it from a copy.") from error
