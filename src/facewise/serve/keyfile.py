"""The SQLite file that API keys are kept in: its table, how it is opened, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facewise.errors import FacewiseError, GalleryError, SettingError, StorageFullError
from facewise.gallery.beside import refuse_foreign_logs
from facewise.gallery.uri import parse_uri
from facewise.owned import is_open_to_all

_APPLICATION_ID = 0x46574B31  # FWK1
_VERSION = 1
_BUSY_SECONDS = 10.0
_SMALLEST = 512
"""Bytes of the smallest database there can be."""

_TABLE = """
CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: the audit log names keys by it
  name TEXT NOT NULL,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint TEXT NOT NULL,
  scopes TEXT NOT NULL, -- separated by spaces
  rate_number REAL, rate_seconds REAL, -- NULL: the service's own rate
  created REAL NOT NULL, -- seconds since 1970, as all times here
  expires REAL, revoked REAL, last_used REAL
)
"""


class KeyStoreError(FacewiseError):
    """The keys file is missing, damaged, readable by others, or refuses what it was asked to do."""


def keys_file(gallery: str | os.PathLike[str]) -> Path:
    """Where the keys of the service of this gallery are kept: beside it, `people.db.keys`.

    Args:
        gallery: Its path or URI.

    Raises:
        SettingError: It is on another machine, and so has no folder to put a file beside it.
        GalleryError: It is no path or URI of a gallery.
    """
    uri = parse_uri(gallery)
    if uri.path is None:
        raise SettingError(f"The gallery {uri} is not a file: say with --keys FILE where its keys are kept.")
    return Path(f"{uri.path}.keys")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns SQLite's and the system's errors into one plain sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise _plain(path, error) from error
    except OSError as error:
        raise KeyStoreError(
            f"The keys file {path} cannot be opened: {error.strerror or error}; check its permissions and "
            "its folder, or name another file with --keys."
        ) from error


def _plain(path: Path, error: sqlite3.Error) -> FacewiseError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFullError(
                f"The disk is full, so the keys file {path} was not changed: free space and try again."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return KeyStoreError(
                f"The keys file {path} is kept busy by another process: try again when that is done."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return KeyStoreError(
                f"The keys file {path} cannot be written: check the permissions of it and its folder, "
                "or name another file with --keys."
            )
        case sqlite3.SQLITE_NOTADB:
            return KeyStoreError(f"{path} is not a Facewise keys file.")
        case _:
            return KeyStoreError(f"The keys file {path} is damaged or in no state to be used ({error}).")


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing keys file.

    Raises:
        KeyStoreError: It is missing, no keys file, or of a newer Facewise.
    """
    try:
        refuse_foreign_logs(path)
    except GalleryError as error:
        raise KeyStoreError(str(error)) from error
    with told(path):
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # whoever uses it has a lock
        )
        try:
            _refuse_foreign(db, path)
            # A revoked key stays revoked through a power cut; a deleted byte is zero.
            for pragma in ("synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
    return db


def prepare(path: Path, *, create: bool) -> None:
    """Makes a missing file, for its owner alone, and refuses one that others may write to.

    Raises:
        KeyStoreError: Missing and not to be made, a folder, no keys file, or writable by others.
        StorageFullError: There is no room to make it.
    """
    if path.is_dir():
        raise KeyStoreError(f"{path} is a folder, not a keys file.")
    folder = path.resolve().parent
    if folder.is_dir() and is_open_to_all(folder):
        raise KeyStoreError(
            f"Everybody may write to the folder of the keys file {path}, and so put another in its place: "
            f"`chmod o-w {folder}`, or name a file elsewhere with --keys."
        )
    if (planted := _planted(path)) is not None:
        raise KeyStoreError(
            f"{planted} belongs to another user, who could so give themselves keys: remove it."
        )
    if not path.exists() and not create:
        raise KeyStoreError(
            f"There is no keys file {path}: `facewise keys new` makes one, or check the path."
        )
    with told(path):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            # Not looked into: closing a file that is opened beside SQLite drops the locks that its other
            # connections in this process have on it. SQLite takes one byte for an empty database, and knows
            # by itself that something longer is none.
            if 0 < path.stat().st_size < _SMALLEST:
                raise KeyStoreError(f"{path} is not a Facewise keys file.") from None
        mode = path.stat().st_mode if os.name == "posix" else 0
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeyStoreError(
                f"Others may write to the keys file {path}, and so give themselves keys: `chmod 600` it."
            )
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            raise KeyStoreError(
                f"Others may read the keys file {path}, and so learn who has keys for what: `chmod 600` it."
            )
    db = connect(path)
    try:
        with told(path):
            _use_wal(db)
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.execute(_TABLE)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {_VERSION}")
            db.execute("COMMIT")
    finally:
        db.close()


def _planted(path: Path) -> Path | None:
    """The keys file, or one that SQLite reads with it, if it is neither this user's nor root's."""
    if os.name != "posix":
        return None
    real = path.resolve()
    for file in (real, *(real.with_name(real.name + ending) for ending in ("-journal", "-wal", "-shm"))):
        with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
            if file.lstat().st_uid not in {0, os.geteuid()}:
                return file
    return None


def _use_wal(db: sqlite3.Connection) -> None:
    """Write-ahead log: a check waits for no change. The switch ignores the busy timeout: waited for here."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return  # a file system that cannot share memory keeps another mode: as safe, only slower


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN")  # one moment's facts: another process may be making the file
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    db.execute("COMMIT")
    if application != _APPLICATION_ID and not (empty and application == version == 0):
        raise KeyStoreError(f"{path} is not a Facewise keys file.")
    if version > _VERSION:
        raise KeyStoreError(
            f"The keys file {path} was written by a newer Facewise (version {version}, this one knows "
            f"{_VERSION}): update Facewise."
        )
