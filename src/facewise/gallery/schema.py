"""The gallery's SQLite file: its tables, how it is opened, and its errors in plain words.

Foreign files are recognised before anything is written to them: not even the journal mode is changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from facewise.errors import GalleryError, StorageFullError

APPLICATION_ID = 0x46574731
"""`FWG1` in the file's header: what makes a SQLite file a Facewise gallery."""

BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      created TEXT NOT NULL,
      generation INTEGER NOT NULL DEFAULT 0, -- grows with every change: what a saved index is compared with
      fingerprint TEXT, model TEXT, size INTEGER, flip INTEGER -- NULL until the first enrolment
    );
    CREATE TABLE people (
      id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: an index may still know the old one
      name TEXT NOT NULL UNIQUE,
      created TEXT NOT NULL
    );
    CREATE TABLE samples (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      person_id INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
      embedding BLOB NOT NULL CHECK (typeof(embedding) = 'blob'), -- D float32, little-endian
      fingerprint TEXT NOT NULL,
      source TEXT NOT NULL,
      source_hash TEXT NOT NULL,
      score REAL, size REAL, sharpness REAL, yaw REAL, pitch REAL, roll REAL, -- NULL if not measured
      created TEXT NOT NULL
    );
    CREATE INDEX samples_person ON samples(person_id);
    CREATE INDEX samples_source_hash ON samples(source_hash);
    """,
    """
    ALTER TABLE meta ADD COLUMN gallery TEXT; -- random: tells this gallery from all others
    ALTER TABLE meta ADD COLUMN wrapped_key BLOB; -- the data key under the user's key; NULL: not encrypted
    ALTER TABLE meta ADD COLUMN state TEXT; -- random, new with every change
    UPDATE meta SET gallery = lower(hex(randomblob(16))), state = lower(hex(randomblob(16)));
    CREATE TABLE states ( -- what `state` once was
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      token TEXT NOT NULL UNIQUE
    );
    CREATE TABLE groups (
      person_id INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
      name TEXT NOT NULL,
      PRIMARY KEY (person_id, name)
    ) WITHOUT ROWID;
    CREATE TABLE photos (
      sample_id INTEGER PRIMARY KEY REFERENCES samples(id) ON DELETE CASCADE,
      jpeg BLOB NOT NULL CHECK (typeof(jpeg) = 'blob')
    );
    """,
)
"""Statement scripts that take a file from version i to i + 1; `user_version` says how many have run."""


def now() -> str:
    """This second in UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def told(location: str) -> Iterator[None]:
    """Turns SQLite's errors into one plain sentence."""
    try:
        yield
    except sqlite3.Error as error:
        kind = StorageFullError if _code(error) == sqlite3.SQLITE_FULL else GalleryError
        raise kind(_sentence(location, error)) from error


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _sentence(location: str, error: sqlite3.Error) -> str:
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"The gallery {location} is kept busy by another process: try again when that is done."
        case sqlite3.SQLITE_FULL:
            return f"The disk is full, so the gallery {location} was not changed: free space and try again."
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"The gallery {location} cannot be written: check the permissions of it and its folder."
        case sqlite3.SQLITE_NOTADB:
            return f"{location} is not a Facewise gallery."
        case sqlite3.SQLITE_CORRUPT:
            return f"The gallery {location} is damaged ({error}): restore it from a copy or an export."
        case _:
            return f"The gallery {location} cannot do this: {error}."


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """An open gallery file, made or brought to the current schema where needed.

    Raises:
        GalleryError: Missing (and not to be created), no gallery, of a newer Facewise, damaged or in use.
    """
    if path.is_dir():
        raise GalleryError(f"{path} is a folder, not a gallery file.")
    if not path.exists():
        if not create:
            raise GalleryError(f"There is no gallery {path}: enrol somebody first, or check the path.")
        _make_private(path)
    _refuse_other_files(path)
    with told(str(path)):
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions are begun and ended here, in so many words
            check_same_thread=False,  # the store has a lock
        )
        try:
            _prepare(db, str(path))
        except BaseException:
            db.close()
            raise
        return db


def _make_private(path: Path) -> None:
    """An empty file only its owner reads; SQLite gives the -wal and -shm files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be created: {error.strerror}.") from error


def _refuse_other_files(path: Path) -> None:
    """SQLite takes a file of a few bytes for an empty database and writes over it; this does not."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be opened: {error.strerror}.") from error
    if start and start != b"SQLite format 3\0":
        raise GalleryError(f"{path} is not a Facewise gallery.")


def _prepare(db: sqlite3.Connection, location: str) -> None:
    _version(db, location)
    db.execute("PRAGMA page_size = 8192")  # a 512-value embedding fits three times; counts in a new file only
    _use_wal(db)
    db.execute("PRAGMA synchronous = FULL")  # an acknowledged enrolment survives a power cut
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")  # zeros over what is deleted
    db.execute("PRAGMA temp_store = MEMORY")  # and no copy of it in a temporary file
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db, location)
        for i, script in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {i}")
        if version == 0:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(
                "INSERT INTO meta (id, created, gallery, state) "
                "VALUES (1, ?, lower(hex(randomblob(16))), lower(hex(randomblob(16))))",
                (now(),),
            )
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit the open transaction, so the script is run statement by statement."""
    lines = ""
    for line in script.splitlines(keepends=True):
        lines += line
        if sqlite3.complete_statement(lines):
            yield lines
            lines = ""


def _version(db: sqlite3.Connection, location: str) -> int:
    """The file's schema version, 0 for an empty file; refuses a file that is no gallery or too new."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application == 0 and version == 0 and empty:
        return 0
    if application != APPLICATION_ID:
        raise GalleryError(f"{location} is not a Facewise gallery.")
    if version > len(MIGRATIONS):
        raise GalleryError(
            f"The gallery {location} was written by a newer Facewise (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): update Facewise."
        )
    return version


def _use_wal(db: sqlite3.Connection) -> None:
    """Write-ahead log: readers wait for no writer. The switch ignores the busy timeout: waited for here."""
    deadline = time.monotonic() + BUSY_SECONDS
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return  # a file system that cannot share memory keeps another mode: as safe, only slower
