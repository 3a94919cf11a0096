"""A gallery in one SQLite file.

Write-ahead log, full sync: a call that returned has its change on disk, whole; a process killed at any moment
leaves the file as it was before its open transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.check import problems
from facewise.gallery.names import unknown_name
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.gallery.schema import connect, now, told
from facewise.gallery.store import Added, Change, Loaded, refuse_foreign
from facewise.types import FloatArray, Quality


class SqliteStore:
    """A gallery in one SQLite file, for one machine: many reading processes, one writing at a time.

    Args:
        path: The file.
        create: Whether a missing file is made.

    Raises:
        GalleryError: The file is missing, no gallery, of a newer Facewise, damaged or in use.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.location = str(path)
        self._lock = threading.RLock()
        self._db = connect(path, create=create)

    def close(self) -> None:
        """Ends the use of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self, mode: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        with self._lock, told(self.location):
            self._db.execute(f"BEGIN {mode}")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has already rolled back
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("IMMEDIATE") as db:
            db.execute("UPDATE meta SET generation = generation + 1")
            yield db

    @contextmanager
    def _erasure(self) -> Iterator[sqlite3.Connection]:
        """A change whose deleted bytes are in no file: `secure_delete` cleans the pages, this the log."""
        with self._change() as db:
            yield db
        with self._lock, told(self.location):
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise GalleryError(
                f"This is removed from the gallery {self.location}, but another process is still "
                f"reading it: the bytes stay in {self.location}-wal until the next removal or closing."
            )

    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        with self._lock, told(self.location):
            row = self._db.execute("SELECT fingerprint, model, size, flip FROM meta").fetchone()
        if row is None:
            raise GalleryError(
                f"The gallery {self.location} is damaged (no meta row): restore it from a copy."
            )
        return None if row[0] is None else Space(row[0], row[1], row[2], bool(row[3]))

    def version(self) -> Hashable:
        """Changes with other connections' commits (`data_version`) and with own writes (`total_changes`)."""
        with self._lock, told(self.location):
            return (self._db.execute("PRAGMA data_version").fetchone()[0], self._db.total_changes)

    def load(self) -> Loaded:
        """All samples, consistent with each other."""
        with self._transaction() as db:
            names = dict(db.execute("SELECT id, name FROM people"))
            version, space = self.version(), self.space()
            count = db.execute("SELECT count(*) FROM samples").fetchone()[0]
            people = np.empty(count, dtype=np.int64)
            rows = np.empty((count, space.size if space else 0), dtype=np.float32)
            found = db.execute(
                "SELECT id, person_id, fingerprint, embedding FROM samples ORDER BY person_id, id"
            )
            for i, (sample, person, fingerprint, blob) in enumerate(found):
                if space is None or fingerprint != space.fingerprint or len(blob) != 4 * space.size:
                    raise GalleryError(
                        f"Sample {sample} of the gallery {self.location} is damaged: run its check."
                    )
                people[i] = person
                rows[i] = np.frombuffer(blob, dtype="<f4")
        return Loaded(version, names, people, rows)

    def add(self, batches: Sequence[tuple[str, Sequence[Sample]]], space: Space) -> Change:
        """Stores samples under names, all in one transaction; the first ones bind the gallery to `space`."""
        with self._transaction("IMMEDIATE") as db:
            before, bound = self.version(), self.space()
            if bound is not None:
                refuse_foreign(self.location, bound, space)
            added = tuple(_add_person(db, name, samples, space) for name, samples in batches)
            if any(a.stored for a in added):
                db.execute("UPDATE meta SET generation = generation + 1")
                if bound is None:
                    db.execute(
                        "UPDATE meta SET fingerprint = ?, model = ?, size = ?, flip = ?", astuple(space)
                    )
            after = self.version()
        return Change(before, after, added)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._lock, told(self.location):
            rows = self._db.execute(
                "SELECT name, (SELECT count(*) FROM samples WHERE person_id = people.id), created "
                "FROM people ORDER BY name"
            ).fetchall()
        return [Person(*row) for row in rows]

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        with self._transaction() as db:
            number = self._id(name)
            created = db.execute("SELECT created FROM people WHERE id = ?", (number,)).fetchone()[0]
            rows = db.execute(f"{_SELECT} WHERE person_id = ? ORDER BY samples.id", (number,)).fetchall()
        return PersonDetail(name, created, tuple(_stored(row) for row in rows))

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        with self._lock, told(self.location):
            rows = self._db.execute(f"{_SELECT} ORDER BY name, samples.id").fetchall()
        space = self.space()
        if any(space is None or len(row[5]) != 4 * space.size for row in rows):
            raise GalleryError(f"The gallery {self.location} is damaged: run its check.")
        return [(_stored(row), np.frombuffer(row[5], dtype="<f4").astype(np.float32)) for row in rows]

    def remove(self, name: str) -> int:
        """Deletes a person and says how many samples went; no byte of them stays."""
        with self._erasure() as db:
            number = self._id(name)
            gone = db.execute("DELETE FROM samples WHERE person_id = ?", (number,)).rowcount
            db.execute("DELETE FROM people WHERE id = ?", (number,))
        return gone

    def rename(self, old: str, new: str) -> None:
        """Gives a person another name that nobody has."""
        with self._erasure() as db:
            number = self._id(old)
            if old == new:
                return
            if db.execute("SELECT 1 FROM people WHERE name = ?", (new,)).fetchone():
                raise GalleryError(f"There is already a {new!r} in {self.location}: merge the two instead.")
            db.execute("UPDATE people SET name = ? WHERE id = ?", (new, number))

    def merge(self, into: str, from_: str) -> int:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`."""
        with self._erasure() as db:
            kept, gone = self._id(into), self._id(from_)
            if kept == gone:
                raise GalleryError(f"{into!r} cannot be merged with itself.")
            db.execute(
                "DELETE FROM samples WHERE person_id = ? AND source_hash IN "
                "(SELECT source_hash FROM samples WHERE person_id = ?)",
                (gone, kept),
            )
            moved = db.execute("UPDATE samples SET person_id = ? WHERE person_id = ?", (kept, gone)).rowcount
            db.execute("DELETE FROM people WHERE id = ?", (gone,))
        return moved

    def remove_sample(self, sample: int) -> None:
        """Deletes one sample, not a person's last; no byte of it stays."""
        with self._erasure() as db:
            row = db.execute(
                "SELECT name, (SELECT count(*) FROM samples AS s WHERE s.person_id = people.id) "
                "FROM samples JOIN people ON people.id = person_id WHERE samples.id = ?",
                (sample,),
            ).fetchone()
            if row is None:
                raise GalleryError(f"There is no sample {sample} in {self.location}.")
            if row[1] == 1:
                raise GalleryError(
                    f"Sample {sample} is the only one of {row[0]!r}: remove the person instead."
                )
            db.execute("DELETE FROM samples WHERE id = ?", (sample,))

    def check(self) -> list[str]:
        """What is wrong with the file, a sentence each; empty if nothing is."""
        with self._lock:
            return problems(self._db)

    def _id(self, name: str) -> int:
        row = self._db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise unknown_name(
                name, (r[0] for r in self._db.execute("SELECT name FROM people")), self.location
            )
        return int(row[0])


_SELECT = (
    "SELECT samples.id, name, source, source_hash, fingerprint, embedding, "
    "score, size, sharpness, yaw, pitch, roll, samples.created "
    "FROM samples JOIN people ON people.id = person_id"
)


def _stored(row: tuple[Any, ...]) -> StoredSample:
    quality = None if row[6] is None else Quality(*row[6:12])
    return StoredSample(row[0], row[1], row[2], row[3], row[4], quality, row[12])


def _add_person(db: sqlite3.Connection, name: str, samples: Sequence[Sample], space: Space) -> Added:
    """Stores one person's samples in the open transaction; the person is made with the first of them."""
    row = db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
    person = None if row is None else int(row[0])
    stored, duplicates, taken = [], [], []
    for i, sample in enumerate(samples):
        blob = np.ascontiguousarray(sample.embedding, dtype="<f4").tobytes()
        known = sample.source_hash or f"embedding:{hashlib.sha256(blob).hexdigest()}"
        owners = db.execute(
            "SELECT person_id, name FROM samples JOIN people ON people.id = person_id WHERE source_hash = ?",
            (known,),
        ).fetchall()
        if any(owner == person for owner, _ in owners):
            duplicates.append(i)
        elif owners:
            taken.append((i, str(owners[0][1])))
        else:
            created = sample.created or now()
            if person is None:
                person = db.execute(
                    "INSERT INTO people (name, created) VALUES (?, ?)", (name, created)
                ).lastrowid
            q = sample.quality
            measured = (q.score, q.size, q.sharpness, q.yaw, q.pitch, q.roll) if q else (None,) * 6
            # A path that is not UTF-8 has surrogates, which no database keeps.
            source = sample.source.encode(errors="backslashreplace").decode()
            db.execute(
                "INSERT INTO samples (person_id, embedding, fingerprint, source, source_hash, "
                "score, size, sharpness, yaw, pitch, roll, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (person, blob, space.fingerprint, source, known, *measured, created),
            )
            stored.append(i)
    return Added(person, tuple(stored), tuple(duplicates), tuple(taken))
