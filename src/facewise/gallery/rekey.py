"""Another key for a gallery: everything sealed anew in a new file, which takes the old one's place.

A new file, because then no page of it has ever held the old bytes, and because a process killed at any
moment leaves one whole gallery: the old or the new one. The new file is opened with the new key, as it is in
its file, and all of it compared before it takes the old one's place; then the old one is zeroed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from itertools import zip_longest
from pathlib import Path

import numpy as np

from facewise import owned
from facewise.errors import GalleryError
from facewise.gallery import notes, snapshot
from facewise.gallery.beside import erase_written_anew, refuse_foreign_logs, refuse_key_beside, written_anew
from facewise.gallery.counter import Moment, counter_of, moment_of
from facewise.gallery.rows import Content
from facewise.gallery.sqlite_file import ReadOnly, connect, told
from facewise.vault import Vault, read_key_file

_AT_ONCE = 5000


def rekey(
    path: Path,
    key_file: str | os.PathLike[str] | None,
    new_key_file: str | os.PathLike[str] | None,
    counter_file: str | os.PathLike[str] | None = None,
) -> int:
    """Seals a gallery anew under another user's key and a new data key; says how many samples.

    Saved indexes beside the gallery are deleted: they are made again when it is next searched.

    Args:
        path: The gallery's file, which nobody else may have open.
        key_file: Its key file now, or None if it is not encrypted.
        new_key_file: Its key file from now on, or None to keep it without encryption.
        counter_file: Where the number of changes is kept too (see `facewise.gallery.counter`); None is the
            file that the environment names, or none.

    Raises:
        GalleryError: No gallery, damaged, another key than its own, in use, or with a second name.
        StorageFullError: There is no room for a second copy: the gallery is as it was.
        SettingError: A key file is missing or none, or has the name of a file that lies beside the gallery.
    """
    refuse_key_beside(path, (key_file, new_key_file))
    counter = counter_of(path, counter_file)
    key = None if key_file is None else read_key_file(key_file)
    new_key = None if new_key_file is None else read_key_file(new_key_file)
    given, path = path, path.resolve() if path.exists() else path  # of a link, the file is replaced
    if owned.has_other_name(path):
        raise GalleryError(
            f"The gallery {path} has a second name (a hard link), where everything would stay under the old "
            "key: delete that name, or copy the gallery and rekey the copy."
        )
    db, cipher = connect(path, create=False, key=key)
    with closing(db), told(str(path)):
        _take(db, path)
        (gallery,) = db.execute("SELECT gallery FROM meta").fetchone() or ("",)
        new = written_anew(path, gallery)
        try:
            erase_written_anew(path, gallery)
            samples = _write(db, cipher, new, new_key)
            # The key as it is in its file now: what nothing opens must not take the place of what one opens.
            new_key = None if new_key_file is None else read_key_file(new_key_file)
            after = _compare(db, cipher, new, new_key)
            with owned.opened(path, write=True) as old:  # not closed before `db` is done: that ends its lock
                for index in {snapshot.path_of(str(path)), given.with_name(f"{given.name}.index")}:
                    snapshot.remove(index)
                with nullcontext() if counter is None else counter.step(str(path), moment_of(db), after):
                    new.replace(path)
                _sync(path.parent)
                owned.zero(old)
                db.close()
        except OSError as error:
            raise GalleryError(f"The gallery {path} cannot be written: {error.strerror}.") from error
        finally:
            with suppress(OSError):
                erase_written_anew(path, gallery)
    return samples


def is_encrypted(path: Path) -> bool:
    """Whether a gallery's content is sealed; False where it is no gallery, which opening it tells.

    Nothing is written, and no key is needed.
    """
    if not path.is_file():
        return False
    refuse_foreign_logs(path)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT wrapped_key FROM meta").fetchone()
    except sqlite3.Error:
        return False
    return row is not None and row[0] is not None


def _take(db: sqlite3.Connection, path: Path) -> None:
    """The file for this process alone; only where nobody else has it open can the log be done without."""
    if isinstance(db, ReadOnly):
        raise GalleryError(f"The gallery {path} cannot be written, it is read-only here.")
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        raise GalleryError(
            f"The gallery {path} is in use: stop the service or program that has it open, and try again."
        ) from error


def _write(old: sqlite3.Connection, cipher: Vault | None, path: Path, key: bytes | None) -> int:
    """Everything of the old gallery into a new file, on disk when this returns."""
    db, new_cipher = connect(path, create=True, key=key)
    with closing(db):
        read, write = Content(old, cipher), Content(db, new_cipher)
        read.hold()
        db.execute("BEGIN IMMEDIATE")
        write.begin()
        columns = ("created", "generation", "fingerprint", "model", "size", "flip")
        meta = old.execute(f"SELECT {', '.join(columns)} FROM meta").fetchone()  # noqa: S608  the names above
        if meta is None:
            raise GalleryError("The gallery is damaged (no meta row): restore it from a copy.")
        db.execute(f"UPDATE meta SET {', '.join(f'{c} = ?' for c in columns)}", meta)  # noqa: S608  as above
        db.executemany(
            "INSERT INTO people (id, name, created) VALUES (?, ?, ?)",
            old.execute("SELECT id, name, created FROM people ORDER BY id"),
        )
        db.executemany(
            "INSERT INTO groups (person_id, name) VALUES (?, ?)",
            old.execute("SELECT person_id, name FROM groups"),
        )
        samples = _copy_samples(old, read, db, write, int(meta[4] or 0))
        notes.copy(old, db)
        # Ids of what was removed from the end are not given out again either.
        db.execute("DELETE FROM sqlite_sequence WHERE name IN ('people', 'samples')")
        sequences = old.execute("SELECT name, seq FROM sqlite_sequence WHERE name IN ('people', 'samples')")
        db.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", sequences)
        write.settle()
        db.execute("COMMIT")
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise GalleryError(f"{path} is in use by another process: try again when that is done.")
    return samples


def _copy_samples(
    old: sqlite3.Connection, read: Content, new: sqlite3.Connection, write: Content, size: int
) -> int:
    """By person, then by id: who is loaded together lies together."""
    count = 0
    for rows in _parts(old.execute("SELECT * FROM samples ORDER BY person_id, id")):
        vectors = read.vectors([row[0] for row in rows], size)
        for (number, person, _, photo, length, *rest), vector in zip(rows, vectors, strict=True):
            jpeg = None if photo is None else read.photo(number)
            facts = (person, length, *rest)
            copy = (
                number,
                person,
                write.put_vector(number, vector, facts),
                None if jpeg is None else write.put_photo(number, jpeg, facts),
                length,
                *rest,
            )
            new.execute(f"INSERT INTO samples VALUES ({', '.join('?' * len(copy))})", copy)  # noqa: S608
        count += len(rows)
    return count


def _compare(old: sqlite3.Connection, cipher: Vault | None, path: Path, key: bytes | None) -> Moment:
    """Opens what was written with the new key, holds all of it against the old, and says what it has come to.

    Raises:
        GalleryError: It cannot be opened, or differs.
    """
    db, new_cipher = connect(path, create=False, key=key)
    with closing(db):
        facts = "id, person_id, photo_bytes, fingerprint, source, source_hash, score, sharpness, created"
        for query in (
            "SELECT id, name, created FROM people ORDER BY id",
            "SELECT person_id, name FROM groups ORDER BY person_id, name",
            f"SELECT {facts}, samples.size, yaw, pitch, roll FROM samples ORDER BY id",  # noqa: S608  the names above
        ):
            pairs = zip_longest(old.execute(query), db.execute(query))
            if any(one != other for one, other in pairs):
                raise GalleryError(f"The gallery was written differently to {path}: it is as it was.")
        size = int(old.execute("SELECT size FROM meta").fetchone()[0] or 0)
        read, again = Content(old, cipher), Content(db, new_cipher)
        again.hold()
        for rows in _parts(old.execute("SELECT id FROM samples ORDER BY id")):
            numbers = [row[0] for row in rows]
            same = np.array_equal(read.vectors(numbers, size), again.vectors(numbers, size))
            if not same or any(read.photo(n) != again.photo(n) for n in numbers):
                raise GalleryError(f"The gallery was written differently to {path}: it is as it was.")
        return moment_of(db)


def _parts(rows: sqlite3.Cursor) -> Iterator[list[tuple[int, ...]]]:
    while part := rows.fetchmany(_AT_ONCE):
        yield part


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
