"""Files of ours that lie beside a user's: no link is followed, and nothing is touched that may be another's.

A name proves little: a key or a backup may have it. So a file counts as ours where it is a plain file, of
whoever runs this or owns its folder, and begins as what we write there does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facewise.errors import FacewiseError
from facewise.filenames import shown

_CHUNK = 1 << 20
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_LINKS = {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}
"""What systems say of a link, a socket or a folder that is to be opened as a file."""


class NotOursError(FacewiseError):
    """A file has the name of one of ours and is not ours: it is left as it is."""


@contextmanager
def opened(path: Path, *, begins: bytes | None = None, write: bool = False) -> Iterator[int]:
    """The descriptor of a file of ours.

    Args:
        path: The file.
        begins: What it begins with; None is anything.
        write: Open it for writing as well.

    Raises:
        NotOursError: A link, no plain file, another user's, or it begins otherwise.
        OSError: It is not there or cannot be opened.
    """
    try:
        handle = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _NO_LINK | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in _LINKS:
            raise _not_ours(path, "it is a link or no plain file") from error
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise _not_ours(path, "it is no plain file")
        if os.name == "posix" and facts.st_uid not in {0, os.geteuid(), path.parent.stat().st_uid}:
            raise _not_ours(path, "it belongs to another user")
        if begins is not None:
            head = os.read(handle, len(begins))
            os.lseek(handle, 0, os.SEEK_SET)
            if head != begins:
                raise _not_ours(path, "it is something else than Facewise keeps there")
        yield handle
    finally:
        os.close(handle)


def erase(path: Path, begins: bytes | None = None) -> bool:
    """Zeros over a file of ours and deletes it; whatever is not ours is left as it is.

    One that has a second name (a hard link) only loses this one: its bytes are then another's too.

    Args:
        path: The file.
        begins: As for `opened`; None only where the name itself is a secret of ours.

    Returns:
        Whether there is no such file now.

    Raises:
        OSError: It cannot be written or deleted.
    """
    try:
        with opened(path, begins=begins, write=True) as handle:
            facts = os.fstat(handle)
            alone = facts.st_nlink == 1
            if alone:
                zero(handle, _CHUNK)
            here = path.lstat()
            if (here.st_dev, here.st_ino) == (facts.st_dev, facts.st_ino):
                path.unlink()
            if alone:  # last: who is killed before leaves a file that is known for ours
                zero(handle)
    except FileNotFoundError:
        return True
    except NotOursError:
        return False
    return True


def open_empty(path: Path) -> int:
    """The descriptor of a file that stays empty, as a lock is; made where it is missing.

    Raises:
        NotOursError: A link, no plain file, or there is something in it.
        OSError: It cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o644)
    except OSError as error:
        if error.errno in _LINKS:
            raise _not_ours(path, "it is a link or no plain file") from error
        raise
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size:
        os.close(handle)
        raise _not_ours(path, "there is something in it")
    return handle


def zero(handle: int, start: int = 0) -> None:
    """Zeros over an open file from a place on, on disk when this returns."""
    length, done = os.fstat(handle).st_size, start
    while done < length:
        done += os.pwrite(handle, bytes(min(_CHUNK, length - done)), done)
    os.fsync(handle)


def is_open_to_all(folder: Path) -> bool:
    """Whether everybody may exchange the files of a folder: it is writable by all, and not as `/tmp` is."""
    mode = folder.stat().st_mode
    return os.name == "posix" and bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def has_other_name(path: Path) -> bool:
    """Whether a file has a second name (a hard link), under which its bytes are another's as well."""
    with suppress(OSError):
        return path.stat().st_nlink > 1
    return False


def _not_ours(path: Path, why: str) -> NotOursError:
    return NotOursError(f"{shown(str(path))} is left alone, as {why}: move it away, and try again.")
