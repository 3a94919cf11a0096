"""A private file of lines that grows at its end, whole line by whole line, and is put aside when large."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock


class LineFile:
    """`audit.log`, with older files `audit.log.1`, `audit.log.2` … beside it.

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
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._between():
            self._opened()

    def append(self, data: bytes) -> None:
        """Writes whole lines and syncs them; what does not fit on the disk is not written by half."""
        with self._between():
            file = self._opened()
            size = os.fstat(file).st_size
            if size and size + len(data) > self._max_bytes:
                file, size = self._rotated(), 0
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise

    def room(self) -> int:
        """Bytes that the disk still has for whoever runs this."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def backwards(self) -> Iterator[bytes]:
        """The lines, last first, the older files' after the newest's."""
        for path in (self.path, *(self._older(i) for i in range(1, self._keep + 1))):
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
            self._guard = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":  # half a line, of a power cut
            os.write(self._file, b"\n")
        _sync_folder(self.path.parent)
        return self._file

    def _rotated(self) -> int:
        """A new, empty file, and the one before it among the older ones."""
        for i in range(self._keep, 0, -1):
            younger = self._older(i - 1) if i > 1 else self.path
            if younger.exists():
                younger.replace(self._older(i))
        if self._keep == 0:
            self.path.unlink()
        return self._opened()

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


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
