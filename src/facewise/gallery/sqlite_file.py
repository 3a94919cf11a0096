"""Opening a gallery's SQLite file, and its errors in plain words.

Foreign files are recognised before anything is written to them: not even the journal mode is changed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facewise.errors import GalleryError, ReadOnlyError, StorageFullError
from facewise.gallery.beside import erase_written_anew, refuse_foreign_logs
from facewise.gallery.schema import MIGRATIONS, migrate, schema_version

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.vault import Vault

BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction."""


@contextmanager
def told(location: str) -> Iterator[None]:
    """Turns SQLite's errors into one plain sentence."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_FULL or (_code(error) in _MAYBE_FULL and not _room(location)):
            raise StorageFullError(
                f"The disk is full, so the gallery {location} was not changed: free space and try again."
            ) from error
        kind = ReadOnlyError if _code(error) in _UNWRITABLE else GalleryError
        raise kind(_sentence(location, error)) from error


_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says of a full disk where it meets one outside the file and its log, and of a quota used up."""


def _room(location: str) -> bool:
    """Whether a little can still be written beside the gallery."""
    try:
        with tempfile.TemporaryFile(dir=Path(location).resolve().parent) as file:
            file.write(bytes(2**16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return True


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _sentence(location: str, error: sqlite3.Error) -> str:
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"The gallery {location} is kept busy by another process: try again when that is done."
        case code if code in _UNWRITABLE:
            return (
                f"The gallery {location} cannot be written, it is read-only here: "
                "check the permissions of it and its folder."
            )
        case sqlite3.SQLITE_NOTADB:
            return f"{location} is not a Facewise gallery."
        case sqlite3.SQLITE_CORRUPT:
            return f"The gallery {location} is damaged ({error}): restore it from a copy or an export."
        case _:
            return f"The gallery {location} cannot do this: {error}."


def connect(path: Path, *, create: bool, key: bytes | None = None) -> tuple[sqlite3.Connection, Vault | None]:
    """An open gallery file, made or brought to the current schema where needed, and what seals its content.

    One that cannot be written is opened for reading, see `ReadOnly`.

    Args:
        path: The file.
        create: Whether a missing file is made; with a key, encrypted.
        key: The user's key, or None.

    Raises:
        GalleryError: Missing (and not to be created), no gallery, of a newer Facewise, damaged or in use;
            encrypted with another key or none given, or a key given for one that is not encrypted.
    """
    with _OPENING:
        return _connected(path, create, key)


_OPENING = threading.Lock()
"""Files beside a gallery are looked at before SQLite opens them, never while it does in another thread:
closing one ends all locks that this process has on it."""


def _connected(path: Path, create: bool, key: bytes | None) -> tuple[sqlite3.Connection, Vault | None]:
    if path.is_dir():
        raise GalleryError(f"{path} is a folder, not a gallery file.")
    if not path.exists():
        if not create:
            raise GalleryError(f"There is no gallery {path}: enrol somebody first, or check the path.")
        _make_private(path)
    _refuse_other_files(path)
    refuse_foreign_logs(path)
    with told(str(path)):
        try:
            return _opened(path, "mode=rw", sqlite3.Connection, lambda db: _prepare(db, str(path), key))
        except sqlite3.OperationalError as error:
            if _code(error) not in _UNWRITABLE or not _room(str(path)):
                raise
        return _read_only(path, key)


_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
"""What SQLite says of a file, or of a folder for its log, that may not be written."""

_Prepared = TypeVar("_Prepared")


def _opened(
    path: Path, how: str, kind: type[sqlite3.Connection], prepare: Callable[[sqlite3.Connection], _Prepared]
) -> tuple[sqlite3.Connection, _Prepared]:
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{how}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun and ended here, in so many words
        check_same_thread=False,  # the store has a lock
        factory=kind,
    )
    try:
        return db, prepare(db)
    except BaseException:
        db.close()
        raise


class ReadOnly(sqlite3.Connection):
    """A gallery on a disk, or in a folder, that this process cannot write.

    Others may still write it, as the host of a container does. SQLite does not see that here, so `stamp` is
    to be looked at before each use, and the file opened anew where it has changed.
    """


def stamp(path: Path) -> tuple[object, ...]:
    """What changes when others write a gallery's file, or begin to."""
    real = path.resolve()
    return tuple(_facts(real.with_name(real.name + ending)) for ending in ("", "-wal", "-shm"))


def _facts(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_only(path: Path, key: bytes | None) -> tuple[sqlite3.Connection, Vault | None]:
    real = path.resolve()
    log = real.with_name(real.name + "-wal")
    # Of a file that is held for unchanging, the log is not read: only where there is nothing in it.
    unchanging = not log.exists() or not log.stat().st_size
    how = "mode=ro&immutable=1" if unchanging else "mode=ro"
    try:
        return _opened(path, how, ReadOnly, lambda db: _prepare_read_only(db, str(path), key))
    except sqlite3.OperationalError as error:
        if unchanging:
            raise
        raise GalleryError(
            f"The gallery {path} has changes in {log.name} that cannot be read where its folder is "
            "read-only: copy both files to a folder that can be written."
        ) from error


def _prepare_read_only(db: sqlite3.Connection, location: str, key: bytes | None) -> Vault | None:
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA trusted_schema = OFF")
    version = schema_version(db, location)
    if version < _READABLE:
        raise GalleryError(
            f"The gallery {location} is empty or of an older Facewise, and read-only here: "
            "open it once where it can be written."
        )
    return _unlock(db, location, key, version)


def _make_private(path: Path) -> None:
    """An empty file only its owner reads; SQLite gives the -wal and -shm files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError as error:
        if not path.exists():
            raise GalleryError(f"{path} is a link to nothing: remove it, or name another gallery.") from error
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be created: {error.strerror}.") from error


_READABLE = 2
"""The oldest schema whose tables are read as they are: the later ones only add what new keys have."""

_SMALLEST = 512
"""Bytes of the smallest SQLite page: no database is smaller."""


def _refuse_other_files(path: Path) -> None:
    """SQLite takes a file of a few bytes for an empty database and writes over it; this does not.

    By its size alone: opening and closing the file would end all locks that this process holds on it through
    SQLite, and another process could take away the log under it. Larger files SQLite refuses itself.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be opened: {error.strerror}.") from error
    if 0 < size < _SMALLEST:
        raise GalleryError(f"{path} is not a Facewise gallery.")


def _prepare(db: sqlite3.Connection, location: str, key: bytes | None) -> Vault | None:
    db.execute("BEGIN")  # one moment's facts: another process may be making the file
    version = schema_version(db, location)
    db.execute("COMMIT")
    if version:
        _unlock(db, location, key, version)  # a wrong key is told before anything is written
    db.execute("PRAGMA page_size = 16384")  # 512-value embeddings fill 7/8 of it; counts in a new file only
    _use_wal(db)
    db.execute("PRAGMA synchronous = FULL")  # an acknowledged enrolment survives a power cut
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")  # zeros over what is deleted
    db.execute("PRAGMA temp_store = MEMORY")  # and no copy of it in a temporary file
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
        migrate(db, location, key)
        (gallery,) = db.execute("SELECT gallery FROM meta").fetchone() or ("",)
        with suppress(OSError, GalleryError):  # who rekeys it next is told
            erase_written_anew(Path(location).resolve(), gallery)
    except BaseException:
        if db.in_transaction:  # a full disk has already rolled back
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    _empty_log(db)
    return _unlock(db, location, key, len(MIGRATIONS))


def _unlock(db: sqlite3.Connection, location: str, key: bytes | None, version: int) -> Vault | None:
    row = db.execute("SELECT gallery, wrapped_key FROM meta").fetchone() if version > 1 else None
    gallery, wrapped = row if row is not None else ("", None)  # no meta row: told when it is used
    if wrapped is None:
        if key is not None and (row is not None or version == 1):
            raise GalleryError(
                f"The gallery {location} is not encrypted: leave the key out, or encrypt it with "
                "`facewise gallery rekey --new-key-file`."
            )
        return None
    if key is None:
        raise GalleryError(
            f"The gallery {location} is encrypted: give its key with --key-file or FACEWISE_KEY_FILE."
        )
    from facewise.vault import open_vault  # noqa: PLC0415  see above

    try:
        return open_vault(key, wrapped, gallery)
    except GalleryError as error:
        raise GalleryError(f"The gallery {location} is encrypted with another key than this one.") from error


def _empty_log(db: sqlite3.Connection) -> None:
    """Deleted bytes are still in the log where a process died within its deletion: not for long."""
    db.execute("PRAGMA busy_timeout = 0")  # who is reading now is not waited for
    with suppress(sqlite3.OperationalError):  # a full disk keeps nobody from reading
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")


def _use_wal(db: sqlite3.Connection) -> None:
    """Write-ahead log: readers wait for no writer. The switch ignores the busy timeout: waited for here."""
    deadline = time.monotonic() + BUSY_SECONDS
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return  # a file system that cannot share memory keeps another mode: as safe, only slower
