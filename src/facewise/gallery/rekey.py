"""Another key for a gallery: everything sealed anew in a new file, which takes the old one's place.

A new file, because then no page of it has ever held the old bytes, and because a process killed at any
moment leaves one whole gallery: the old or the new one. The old file is zeroed once the new one is in place.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from facewise.errors import GalleryError
from facewise.gallery.rows import Content
from facewise.gallery.sqlite_file import ReadOnly, connect, told
from facewise.vault import Vault, read_key_file

_AT_ONCE = 5000
_CHUNK = 2**20


def rekey(
    path: Path,
    key_file: str | os.PathLike[str] | None,
    new_key_file: str | os.PathLike[str] | None,
) -> int:
    """Seals a gallery anew under another user's key and a new data key; says how many samples.

    Saved indexes beside the gallery are deleted: they are made again when it is next searched.

    Args:
        path: The gallery's file, which nobody else may have open.
        key_file: Its key file now, or None if it is not encrypted.
        new_key_file: Its key file from now on, or None to keep it without encryption.

    Raises:
        GalleryError: No gallery, damaged, another key than its own, or in use.
        StorageFullError: There is no room for a second copy: the gallery is as it was.
        SettingError: A key file is missing or none.
    """
    key = None if key_file is None else read_key_file(key_file)
    new_key = None if new_key_file is None else read_key_file(new_key_file)
    # Resolved: through a link, the file is replaced and not the link.
    path = path.resolve() if path.exists() else path
    new = path.with_name(f"{path.name}.rekey")
    db, cipher = connect(path, create=False, key=key)
    with closing(db), told(str(path)):
        _take(db, path)
        _erase_beside(path, ".rekey")
        try:
            samples = _write(db, cipher, new, new_key)
            with path.open("r+b") as old:  # not closed before `db` is done: that would end its lock
                _erase_beside(path, ".index")
                new.replace(path)
                _sync(path.parent)
                _zero(old.fileno())
                db.close()
        except OSError as error:
            raise GalleryError(f"The gallery {path} cannot be written: {error.strerror}.") from error
        finally:
            _erase_beside(path, ".rekey")
    return samples


def is_encrypted(path: Path) -> bool:
    """Whether a gallery's content is sealed; False where it is no gallery, which opening it tells.

    Nothing is written, and no key is needed.
    """
    if not path.is_file():
        return False
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
        db.execute("BEGIN IMMEDIATE")
        columns = ("created", "generation", "fingerprint", "model", "size", "flip")
        meta = old.execute(f"SELECT {', '.join(columns)} FROM meta").fetchone()  # noqa: S608  the names above
        if meta is None:
            raise GalleryError("The gallery is damaged (no meta row): restore it from a copy.")
        db.execute(f"UPDATE meta SET {', '.join(f'{c} = ?' for c in columns)}", meta)  # noqa: S608  as above
        for table in ("people", "groups"):
            rows = old.execute(f"SELECT * FROM {table}")  # noqa: S608  a table of ours
            width = len(rows.description)
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)  # noqa: S608
        samples = _copy_samples(old, Content(old, cipher), db, Content(db, new_cipher), int(meta[4] or 0))
        # Ids of what was removed from the end are not given out again either.
        db.execute("DELETE FROM sqlite_sequence WHERE name IN ('people', 'samples')")
        sequences = old.execute("SELECT name, seq FROM sqlite_sequence WHERE name IN ('people', 'samples')")
        db.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", sequences)
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
            copy = (
                number,
                person,
                write.put_vector(number, vector),
                None if jpeg is None else write.put_photo(number, jpeg),
                length,
                *rest,
            )
            new.execute(f"INSERT INTO samples VALUES ({', '.join('?' * len(copy))})", copy)  # noqa: S608
        count += len(rows)
    return count


def _parts(rows: sqlite3.Cursor) -> Iterator[list[tuple[int, ...]]]:
    while part := rows.fetchmany(_AT_ONCE):
        yield part


def _erase_beside(path: Path, ending: str) -> None:
    """Zeros and deletes the files whose names begin with the gallery's name and this."""
    for file in path.parent.iterdir():
        if file.name.startswith(path.name + ending) and file.is_file():
            with suppress(FileNotFoundError), _opened(file) as handle:
                _zero(handle)
                file.unlink()


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    handle = os.open(file, os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


def _zero(handle: int) -> None:
    """Zeros over a file, on disk; who still has it open finds no gallery, not an old one to write to."""
    length, done = os.fstat(handle).st_size, 0
    while done < length:
        done += os.pwrite(handle, bytes(min(_CHUNK, length - done)), done)
    os.fsync(handle)


def _sync(folder: Path) -> None:
    with _opened_folder(folder) as handle:
        os.fsync(handle)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
