"""A private file of entries that grows at its end, whole line by whole line, and is put aside when large.

Each entry has a number, one more than the one before it, and the beginning of a SHA-256 of itself and of what
that was for the one before: so one that was changed, taken out or put in shows. The newest number is kept in
the lock file as well, so that entries missing at the end show too.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from filelock import FileLock

from facewise import owned

_LINK = 32
"""Hex digits of a SHA-256 that an entry has."""

_END = re.compile(rb',"n":([0-9]{1,18})(?:,"after":"([0-9a-f]{32})?")?,"chain":"([0-9a-f]{32})"}')
_HEAD = re.compile(r"([0-9]{1,18}) ([0-9a-f]{32})")
_HEAD_BYTES = 64
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain has come to: the number of its newest entry, 0 for none, and that one's link."""

    number: int = 0
    link: str = ""


@dataclass(slots=True)
class Found:
    """What a look through the files of a log found.

    Attributes:
        entries: How many have their place in the chain.
        first: Number of the oldest that is there; those before went as files were put aside and deleted.
        last: The newest.
        old: Entries without a place, of a Facewise that gave them none, before all others.
        wrong: What is not as it was written, a sentence each.
        links: Of every entry.
    """

    entries: int = 0
    first: int = 0
    last: Head = field(default_factory=Head)
    old: int = 0
    wrong: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)


class LineFile:
    """`audit.log`, with older files `audit.log.1`, `audit.log.2` … beside it.

    A file or link of such a name that is none of them is left alone, and its number left out.

    One thread at a time may use it; several processes may.

    Args:
        path: The newest file, made for its owner alone; its folder is made if missing.
        max_bytes: Where it would grow beyond this it becomes `.1`, `.1` becomes `.2` …
        keep: How many older files are kept; the oldest is deleted.

    Raises:
        OSError: The file cannot be made or opened, as from every method.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path, self._max_bytes, self._keep = path, max_bytes, keep
        self._file: int | None = None
        self._guard: int | None = None
        self._known: tuple[tuple[int, int, int], Head] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._between():
            self._opened()

    def append(self, entries: Sequence[bytes]) -> None:
        """Writes entries, JSON objects of one line each, and syncs them.

        What does not fit on the disk is not written by half.
        """
        with self._between():
            file = self._opened()
            size, head = os.fstat(file).st_size, self._head(file)
            data, end = _linked(entries, head, starts=not size)
            if size and size + len(data) > self._max_bytes:
                file, size = self._rotated(), 0
                data, end = _linked(entries, head, starts=True)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
            self._known = (_identity(file), end)
            if self._guard is not None:
                os.pwrite(self._guard, f"{end.number} {end.link}".ljust(_HEAD_BYTES).encode(), 0)

    def _head(self, file: int) -> Head:
        """Of the newest entry: as the file says, or the lock file where that knows of a newer one."""
        if self._known is not None and self._known[0] == _identity(file):
            return self._known[1]
        kept = Head() if self._guard is None else _kept_head(self._guard)
        seen = next((_place(line) for line in _backwards(self.path) if _place(line)), None)
        return max(kept, seen or Head(), key=lambda head: head.number)

    def room(self) -> int:
        """Bytes that the disk still has for whoever runs this."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def backwards(self) -> Iterator[bytes]:
        """The lines, last first, the older files' after the newest's."""
        for path in (self.path, *self._older()):
            yield from _backwards(path)

    def close(self) -> None:
        """Ends the use of the file."""
        self._leave()
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def _leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _between(self) -> AbstractContextManager[object]:
        """No other process writes or rotates meanwhile."""
        lock = f"{self.path}.lock"
        if sys.platform == "win32":
            return FileLock(lock, mode=0o600, thread_local=False)
        if self._guard is None:
            self._guard = _open_ours(lock, os.O_RDWR | os.O_CREAT, _LOCK)
        return _flocked(self._guard)

    def _opened(self) -> int:
        """The open file; opened anew where it was moved away, by another process's rotation or by hand."""
        if self._file is not None:
            try:
                here, there = os.fstat(self._file), self.path.stat()
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return self._file
            except FileNotFoundError:
                pass
            self._leave()
        self._file = _open_ours(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _LOG)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":  # half a line, of a power cut
            os.write(self._file, b"\n")
        _sync_folder(self.path.parent)
        return self._file

    def _rotated(self) -> int:
        """A new, empty file, and the one before it among the older ones."""
        files = [self.path, *self._older()]
        for younger, older in zip(files[-2::-1], files[:0:-1], strict=True):
            if younger.exists():
                younger.replace(older)
        if self._keep == 0:
            self.path.unlink()
        return self._opened()

    def _older(self) -> list[Path]:
        """Where older files are or will be, the youngest first."""
        files = (self.path.with_name(f"{self.path.name}.{number}") for number in count(1))
        return list(islice(filter(_is_free_or_ours, files), self._keep))


_LOG = re.compile(rb'\{"')
"""How a log begins, if there is anything in it."""

_LOCK = re.compile(rb"[0-9]+ [0-9a-f]{32} *")
"""How the lock file begins, likewise."""


def _open_ours(path: str | Path, flags: int, begins: re.Pattern[bytes]) -> int:
    """A file of ours, made for its owner where it is missing.

    Raises:
        OSError: It cannot be opened, or a link or something else is in its place.
    """
    none = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | none, 0o600)
    head = os.pread(handle, _HEAD_BYTES, 0) if stat.S_ISREG(os.fstat(handle).st_mode) else b"none"
    if head and not begins.match(head):
        os.close(handle)
        raise OSError(errno.EEXIST, f"{path} is something else than Facewise keeps there", str(path))
    return handle


def _is_free_or_ours(path: Path) -> bool:
    try:
        with owned.opened(path, begins=b'{"'):
            return True
    except FileNotFoundError:
        return True
    except (OSError, owned.NotOursError):
        return False


def look_through(path: Path) -> Found:
    """Reads a log's files, oldest first, and holds every entry against the chain; writes nothing.

    Args:
        path: Its newest file.

    Raises:
        OSError: A file cannot be read.
    """
    older = [file for file in path.parent.glob(f"{glob.escape(path.name)}.*") if file.suffix[1:].isdecimal()]
    older = [file for file in older if _is_free_or_ours(file)]
    older.sort(key=lambda file: -int(file.suffix[1:]))
    found, before, head = Found(), None, Head()
    with _read_guard(f"{path}.lock") as guard:
        for file in (*older, path):
            before = _look_through(file, found, before)
        if guard is not None:
            head = _kept_head(guard)
    if found.entries and not head.number:
        found.wrong.append(f"{path.name}.lock, which knows the newest entry, is gone or was emptied")
    elif head.number > found.last.number:
        found.wrong.append(f"entries {_span(found.last.number + 1, head.number)} are missing at the end")
    elif head.number >= found.first > 0 and head.link not in found.links:
        found.wrong.append(f"entry {head.number} is not the one that was written")
    return found


@contextmanager
def _read_guard(path: str) -> Iterator[int | None]:
    """The lock file, held while nobody writes; None where there is none."""
    try:
        guard = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        if sys.platform == "win32":
            yield guard
        else:
            with _flocked(guard):
                yield guard
    finally:
        os.close(guard)


def _kept_head(guard: int) -> Head:
    found = _HEAD.match(os.pread(guard, _HEAD_BYTES, 0).decode("ascii", "replace"))
    return Head(int(found[1]), found[2]) if found else Head()


def _linked(entries: Sequence[bytes], head: Head, *, starts: bool) -> tuple[bytes, Head]:
    """Entries as lines in their places, and where the chain has come to.

    The first of a file names what it follows, which may be gone when it is looked at.
    """
    lines: list[bytes] = []
    for entry in entries:
        number = head.number + 1
        after = f',"after":"{head.link}"' if starts and not lines else ""
        body = entry.rstrip()[:-1] + f',"n":{number}{after}'.encode()
        head = Head(number, _link(head.link, body))
        lines.append(body + f',"chain":"{head.link}"}}\n'.encode())
    return b"".join(lines), head


def _link(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + b"\n" + body).hexdigest()[:_LINK]


def _place(line: bytes) -> Head | None:
    """Where in the chain a line stands; None for one that has no place."""
    found = _END.search(line[-_TAIL_BYTES:])
    return Head(int(found[1]), found[3].decode()) if found else None


def _look_through(path: Path, found: Found, before: Head | None) -> Head | None:
    """Adds what one file holds; `before` is the newest entry of the files before it, None for none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return before
    with file:
        for line in file:
            text = line.rstrip(b"\n")
            place, end = _place(text), _END.search(text)
            if place is None or end is None or end.end() != len(text):
                _note_placeless(text, found, before, path.name)
                continue
            after = end[2].decode() if end[2] else before.link if before else ""
            if before is not None and place.number != before.number + 1:
                if place.number > before.number:
                    span = _span(before.number + 1, place.number - 1)
                    found.wrong.append(f"entries {span} are missing, in {path.name}")
                else:
                    found.wrong.append(f"entry {place.number} comes after {before.number}, in {path.name}")
            elif before is not None and after != before.link:
                found.wrong.append(f"entry {place.number} does not follow the one before it, in {path.name}")
            elif _link(after, text[: text.rindex(b',"chain":')]) != place.link:
                found.wrong.append(f"entry {place.number} was changed, in {path.name}")
            found.first = found.first or place.number
            found.entries += 1
            found.links.add(place.link)
            before = found.last = place
    return before


def _note_placeless(text: bytes, found: Found, before: Head | None, name: str) -> None:
    if not text:
        return
    try:
        whole = isinstance(json.loads(text), dict)
    except ValueError:
        whole = False
    if whole and before is None:
        found.old += 1
    elif whole:  # half a line is what a power cut leaves; that it stands for no entry, the numbers show
        found.wrong.append(f"an entry without a place was put in, in {name}")


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _identity(file: int) -> tuple[int, int, int]:
    facts = os.fstat(file)
    return facts.st_dev, facts.st_ino, facts.st_size


@contextmanager
def _flocked(handle: int) -> Iterator[None]:
    """Holds a lock file that stays open: opening it again for each entry took as long as the entry."""
    import fcntl  # noqa: PLC0415  not on Windows

    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _backwards(path: Path, block: int = 1 << 16) -> Iterator[bytes]:
    """The lines of a file, last first; nothing where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            start = max(0, at - block)
            file.seek(start)
            first, *lines = (file.read(at - start) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            at, rest = start, first
        if rest:
            yield rest


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
