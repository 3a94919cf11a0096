"""Writing a file so that it is there whole or not at all.

A user's results have the permissions that the umask gives any new file. What holds people's templates, or a
key, is for its owner alone whatever the umask.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from facewise.errors import FacewiseError, FileNameError
from facewise.filenames import shown
from facewise.owned import erase, open_empty

NAME_REFUSED = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
"""What systems say of a name that is too long, not in their encoding, or has a character of their own."""

_KEPT = (b"facewise-key-", b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83",
         b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")  # fmt: skip
"""How a key begins, a database, its write-ahead log and its journal: no result takes the place of one."""

_LONGEST_SUFFIX = 16
"""Bytes; what follows the last dot of a longer one is no format but part of a name."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[Path]:
    """A temporary file beside `path`; on success it is synced and renamed to `path`, else removed.

    Args:
        path: Where the file will be. Its folder is made if missing.
        private: For the owner alone (mode 0600), as people's templates must be; else by the umask.

    Yields:
        The temporary path to write to.

    Raises:
        FileNameError: The file system has no room for the name, or does not take its characters.
        FacewiseError: The folder or file cannot be written, the disk is full, or `path` is a key or database.
    """
    target = Path(path)
    _refuse_kept(target)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(target, private)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        temporary = None
        _sync(target.parent)
    except OSError as error:
        kind = FileNameError if error.errno in NAME_REFUSED else FacewiseError
        raise kind(f"Cannot write {shown(str(target))}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, atomically; bytes of a file name in it that are none are escaped.

    Raises:
        FacewiseError: The file cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def json_text(data: Any, *, indent: int | None = 2) -> str:
    """JSON with its letters as they are; all escaped where some are no text, as in names that are not UTF-8.

    Raises:
        ValueError: A number is infinite or none, which JSON cannot say.
    """
    text = json.dumps(data, indent=indent, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(data, indent=indent, allow_nan=False)
    return text


def _refuse_kept(target: Path) -> None:
    """A slip of the pen in a path must not cost a key or a gallery."""
    head = b""
    with suppress(OSError):
        if target.is_file():
            with target.open("rb") as file:
                head = file.read(max(map(len, _KEPT)))
    if head.startswith(_KEPT):
        kind = "a key file" if head.startswith(_KEPT[0]) else "a database"
        raise FacewiseError(f"{shown(str(target))} is {kind}, which is not written over: name another.")


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Removes what a killed process left half-written of a file: it may hold people's templates."""
    target = Path(path)
    ours = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{8}" + re.escape(_suffix(target)))
    with suppress(OSError):
        for leftover in target.parent.iterdir():
            if ours.fullmatch(leftover.name):
                with suppress(OSError):
                    erase(leftover)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        FacewiseError: The file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def text_path(path: Path) -> Iterator[str]:
    """The absolute path of a file as text that is UTF-8, for libraries that end the process over any other.

    Args:
        path: The file, which is there. To be opened within the block, to read or to write.

    Raises:
        FileNameError: The name is no UTF-8, and nowhere can a link be made that is.
    """
    plain = str(path.absolute())
    if plain.isascii() or _is_utf8(plain):
        yield plain
        return
    with ExitStack() as until:
        try:
            folder = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="facewise-")))
            link = folder / f"link{path.suffix if path.suffix.isascii() else ''}"
            link.symlink_to(plain)
        except OSError as error:
            raise FileNameError(
                f"Cannot use {shown(str(path))}: its name is no UTF-8, and no link to it can be made "
                f"({error.strerror or error}); rename it."
            ) from error
        yield str(link)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        release = lock_file(target, busy)
    except OSError as error:
        raise FacewiseError(f"Cannot write to {target.parent}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        release()


def lock_file(path: Path, busy: FacewiseError | None = None) -> Callable[[], None]:
    """Takes the lock of `one_at_a_time` in a folder that is there, and gives what gives it back.

    Raises:
        FacewiseError: `busy`, or what is there is no lock file of ours.
        OSError: The file cannot be opened.
    """
    if sys.platform == "win32":
        from filelock import FileLock, Timeout  # noqa: PLC0415  every model is read through this module

        lock = FileLock(path, timeout=-1 if busy is None else 0)
        try:
            lock.acquire()
        except Timeout as error:
            raise busy or error from None
        return lock.release
    import fcntl  # noqa: PLC0415  not on Windows

    # Not FileLock: it empties the file that it locks, whosever that is.
    handle = open_empty(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(handle)
        raise busy or error from None
    except BaseException:
        os.close(handle)
        raise
    return lambda: os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _new_file(target: Path, private: bool) -> Path:
    """An empty file that will become `target`."""
    # The suffix is kept: writers such as OpenCV and NumPy choose or append a format by it.
    while True:
        path = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}{_suffix(target)}")
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
            os.close(handle)
            if private:
                path.chmod(0o600)
            return path


def _suffix(target: Path) -> str:
    return target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""


def _prefix(target: Path) -> str:
    """What the temporary files of a target begin with: short, as the target's name may fill all the room."""
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"
