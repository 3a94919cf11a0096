"""The tables of a gallery's SQLite file, and how a file of an older Facewise gets them."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache

from facewise.errors import GalleryError

APPLICATION_ID = 0x46574731
"""`FWG1` in the file's header: what makes a SQLite file a Facewise gallery."""

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
    CREATE TABLE vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL); -- D float32, little-endian; or sealed
    CREATE TABLE photos (id INTEGER PRIMARY KEY, data BLOB NOT NULL); -- a JPEG and zeros; or that sealed
    CREATE TABLE wiped ( -- cells of those two that are zeroed and free; see `facewise.gallery.cells`
      kind TEXT NOT NULL,
      length INTEGER NOT NULL,
      cell INTEGER NOT NULL,
      PRIMARY KEY (kind, length, cell)
    ) WITHOUT ROWID;
    CREATE TABLE samples_2 (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      person_id INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
      vector INTEGER NOT NULL, -- its cell
      photo INTEGER, photo_bytes INTEGER, -- cell and length of the JPEG; NULL if none is kept
      fingerprint TEXT NOT NULL,
      source TEXT NOT NULL,
      source_hash TEXT NOT NULL,
      score REAL, size REAL, sharpness REAL, yaw REAL, pitch REAL, roll REAL, -- NULL if not measured
      created TEXT NOT NULL
    );
    INSERT INTO vectors (id, data) SELECT id, embedding FROM samples ORDER BY id;
    INSERT INTO samples_2
      SELECT id, person_id, id, NULL, NULL, fingerprint, source, source_hash,
             score, size, sharpness, yaw, pitch, roll, created FROM samples ORDER BY id;
    DELETE FROM sqlite_sequence WHERE name = 'samples_2';
    INSERT INTO sqlite_sequence (name, seq)
      SELECT 'samples_2', seq FROM sqlite_sequence WHERE name = 'samples';
    DROP TABLE samples;
    ALTER TABLE samples_2 RENAME TO samples;
    CREATE INDEX samples_person ON samples(person_id);
    CREATE INDEX samples_source_hash ON samples(source_hash);
    """,
    """
    ALTER TABLE meta ADD COLUMN seal BLOB; -- see `facewise.gallery.seals`; NULL: no key, or one of before
    ALTER TABLE people ADD COLUMN seal BLOB; -- as above
    CREATE TABLE notes ( -- see `facewise.gallery.notes`
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      text TEXT NOT NULL
    );
    """,
)
"""Statement scripts that take a file from version i to i + 1; `user_version` says how many have run."""


_SET = re.compile(r"--[^\n]*|[\s\"]")
"""What the text of a table may differ by: comments, blanks, and the quotes of one that was renamed."""


def now() -> str:
    """This second in UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def migrate(db: sqlite3.Connection, location: str, key: bytes | None) -> None:
    """Brings a file to the current schema within the open transaction; a new one gets its meta row.

    Args:
        db: The file.
        location: Its path, for people.
        key: The user's key, with which a new gallery is encrypted, or None.

    Raises:
        GalleryError: No gallery, or of a newer Facewise.
    """
    version = schema_version(db, location)
    for i, script in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in statements(script):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {i}")
    if version == 0:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _begin(db, key)


def _begin(db: sqlite3.Connection, key: bytes | None) -> None:
    """The meta row of a new gallery: its id, its date, and with a key its own data key."""
    gallery, vault, wrapped = secrets.token_hex(16), None, None
    if key is not None:
        from facewise.gallery.seals import Seals  # noqa: PLC0415  who has no key needs no cryptography
        from facewise.vault import new_vault  # noqa: PLC0415  as above

        vault, wrapped = new_vault(key, gallery)
    db.execute(
        "INSERT INTO meta (id, created, gallery, wrapped_key, state) VALUES (1, ?, ?, ?, ?)",
        (now(), gallery, wrapped, secrets.token_hex(16)),
    )
    if vault is not None:
        Seals(db, vault).write()


def schema_of(db: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """The tables, indexes, triggers and views of a file, however their text is set."""
    rows = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_master").fetchall()
    return frozenset(
        (kind, name, table, _SET.sub("", sql))
        for kind, name, table, sql in rows
        if not name.startswith("sqlite_stat")  # of ANALYZE
    )


@cache
def expected_schema() -> frozenset[tuple[str, ...]]:
    """What `schema_of` says of a file as it is made here."""
    with closing(sqlite3.connect(":memory:")) as db:
        for script in MIGRATIONS:
            for statement in statements(script):
                db.execute(statement)
        return schema_of(db)


def statements(script: str) -> Iterator[str]:
    """`executescript` would commit the open transaction, so the script is run statement by statement."""
    lines = ""
    for line in script.splitlines(keepends=True):
        lines += line
        if sqlite3.complete_statement(lines):
            yield lines
            lines = ""


def schema_version(db: sqlite3.Connection, location: str) -> int:
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
