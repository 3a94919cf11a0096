"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facewise.errors import FacewiseError


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[Path]:
    """A temporary file beside `path`; on success it is synced and renamed to `path`, else removed.

    Args:
        path: Where the file will be. Its folder is made if missing.
        private: For the owner alone (mode 0600), as people's templates must be; else by the umask.

    Yields:
        The temporary path to write to.

    Raises:
        FacewiseError: The folder or file cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: writers such as OpenCV and NumPy choose or append a format by it.
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        if not private:  # mkstemp made it so
            temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
        temporary = None
        _sync(target.parent)
    except OSError as error:
        raise FacewiseError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        FacewiseError: The file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def one_at_a_time(path: str | os.PathLike[str], busy: FacewiseError | None = None) -> Iterator[None]:
    """Hold the lock file `path`, so that two processes do not do the same work in one folder.

    The file stays; the system frees the lock of a process that was killed.

    Args:
        path: Its folder is made if missing.
        busy: Raised where another holds it; None waits.

    Raises:
        FacewiseError: `busy`, or the file cannot be written.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  every model is read through this module, few lock

    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target, timeout=-1 if busy is None else 0)
        lock.acquire()
    except Timeout as error:
        raise busy or error from None
    except OSError as error:
        raise FacewiseError(f"Cannot write to {target.parent}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
