"""A gallery in one SQLite file.

Write-ahead log, full sync: a call that returned has its change on disk, whole; a process killed at any moment
leaves the file as it was before its open transaction.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError, NameTakenError, UnknownPersonError
from facewise.gallery.check import problems
from facewise.gallery.names import clean_name, unknown_name
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.gallery.schema import connect, now, told
from facewise.gallery.store import Added, Change, Keys, Loaded, refuse_foreign
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
    def _erasure(self) -> Iterator[_Erasure]:
        """A change whose deleted bytes are in no file: `secure_delete` cleans the pages, this the log."""
        with self._transaction("IMMEDIATE") as db:
            done = _Erasure(db, self.version())
            _new_state(db)
            yield done
            done.after = self.version()
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

    def state(self) -> str | None:
        """The content's random token; see `Store.state`."""
        with self._lock, told(self.location):
            return str(self._db.execute("SELECT state FROM meta").fetchone()[0])

    def descends_from(self, state: str) -> bool:
        """Whether `state` is the content's token or one it once had."""
        with self._lock, told(self.location):
            once = self._db.execute("SELECT 1 FROM states WHERE token = ?", (state,)).fetchone()
            return once is not None or state == self.state()

    def keys(self) -> Keys:
        """All samples but their vectors, consistent with each other."""
        with self._transaction() as db:
            names, groups = _names(db), _groups(db)
            version, state, space = self.version(), self.state(), self.space()
            # The index on person_id holds both columns: no page with an embedding is read.
            flat = np.array(
                db.execute("SELECT person_id, id FROM samples ORDER BY person_id, id").fetchall(),
                dtype=np.int64,
            ).reshape(-1, 2)
        people, samples = np.ascontiguousarray(flat.T)
        return Keys(version, state, names, groups, people, samples, space.size if space else 0)

    def vectors(self, samples: NDArray[np.int64]) -> FloatArray:
        """`(n, D)` the vectors of these samples, in this order."""
        with self._transaction() as db:
            space = self.space()
            rows = np.empty((len(samples), space.size if space else 0), dtype=np.float32)
            for i, sample in enumerate(samples.tolist()):
                found = db.execute("SELECT embedding FROM samples WHERE id = ?", (sample,)).fetchone()
                if found is None:
                    raise UnknownPersonError(f"There is no sample {sample} in {self.location}.")
                rows[i] = self._row(sample, found[0], rows.shape[1])
        return rows

    def _row(self, sample: int, blob: bytes, size: int) -> FloatArray:
        if len(blob) != 4 * size:
            raise GalleryError(f"Sample {sample} of the gallery {self.location} is damaged: run its check.")
        return np.frombuffer(blob, dtype="<f4")

    def load(self) -> Loaded:
        """All samples, consistent with each other."""
        with self._transaction() as db:
            names, groups = _names(db), _groups(db)
            version, space = self.version(), self.space()
            count = db.execute("SELECT count(*) FROM samples").fetchone()[0]
            people, samples = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
            rows = np.empty((count, space.size if space else 0), dtype=np.float32)
            found = db.execute(
                "SELECT id, person_id, fingerprint, embedding FROM samples ORDER BY person_id, id"
            )
            for i, (sample, person, fingerprint, blob) in enumerate(found):
                if space is None or fingerprint != space.fingerprint:
                    raise GalleryError(
                        f"Sample {sample} of the gallery {self.location} is damaged: run its check."
                    )
                people[i], samples[i] = person, sample
                rows[i] = self._row(sample, blob, rows.shape[1])
        return Loaded(version, names, people, rows, samples, groups)

    def add(
        self,
        batches: Sequence[tuple[str, Sequence[Sample]]],
        space: Space,
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> Change:
        """Stores samples under names, all in one transaction; see `Store.add`."""
        with self._transaction("IMMEDIATE") as db:
            before, bound = self.version(), self.space()
            if bound is not None:
                refuse_foreign(self.location, bound, space)
            added = tuple(_add_person(db, name, samples, space) for name, samples in batches)
            if any(a.stored for a in added):
                _new_state(db)
                for (name, _), one in zip(batches, added, strict=True):
                    if one.stored and one.person is not None:
                        _join(db, one.person, (groups or {}).get(name, ()))
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
                "SELECT name, (SELECT count(*) FROM samples WHERE person_id = people.id), created, id "
                "FROM people ORDER BY name"
            ).fetchall()
            groups = _groups(self._db)
        return [
            Person(name, samples, created, number, tuple(sorted(groups.get(number, ()))))
            for name, samples, created, number in rows
        ]

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        with self._transaction() as db:
            return self._detail(db, self._id(name))

    def person_by_id(self, person: int) -> PersonDetail:
        """One person with all samples, by number."""
        with self._transaction() as db:
            return self._detail(db, person)

    def _detail(self, db: sqlite3.Connection, person: int) -> PersonDetail:
        row = db.execute("SELECT name, created FROM people WHERE id = ?", (person,)).fetchone()
        if row is None:
            raise UnknownPersonError(f"There is nobody with number {person} in {self.location}.")
        samples = db.execute(f"{_SELECT} WHERE person_id = ? ORDER BY samples.id", (person,)).fetchall()
        groups = db.execute("SELECT name FROM groups WHERE person_id = ? ORDER BY name", (person,))
        return PersonDetail(
            row[0], row[1], tuple(_stored(one) for one in samples), person, tuple(g for (g,) in groups)
        )

    def photo(self, sample: int) -> bytes | None:
        """The JPEG kept with a sample, or None."""
        with self._lock, told(self.location):
            row = self._db.execute("SELECT jpeg FROM photos WHERE sample_id = ?", (sample,)).fetchone()
        return None if row is None else bytes(row[0])

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        with self._lock, told(self.location):
            rows = self._db.execute(f"{_SELECT} ORDER BY name, samples.id").fetchall()
        space = self.space()
        if any(space is None or len(row[5]) != 4 * space.size for row in rows):
            raise GalleryError(f"The gallery {self.location} is damaged: run its check.")
        return [(_stored(row), np.frombuffer(row[5], dtype="<f4").astype(np.float32)) for row in rows]

    def remove(self, name: str) -> Change:
        """Deletes a person; no byte of what went stays."""
        with self._erasure() as done:
            number = self._id(name)
            done.delete("DELETE FROM samples WHERE person_id = ? RETURNING id", (number,))
            done.db.execute("DELETE FROM people WHERE id = ?", (number,))
        return done.change()

    def rename(self, old: str, new: str) -> Change:
        """Gives a person another name that nobody has."""
        with self._erasure() as done:
            number = self._id(old)
            if old != new:
                if done.db.execute("SELECT 1 FROM people WHERE name = ?", (new,)).fetchone():
                    raise NameTakenError(
                        f"There is already a {new!r} in {self.location}: merge the two instead."
                    )
                done.db.execute("UPDATE people SET name = ? WHERE id = ?", (new, number))
        return done.change()

    def merge(self, into: str, from_: str) -> tuple[int, Change]:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`."""
        with self._erasure() as done:
            db, kept, gone = done.db, self._id(into), self._id(from_)
            if kept == gone:
                raise GalleryError(f"{into!r} cannot be merged with itself.")
            done.delete(
                "DELETE FROM samples WHERE person_id = ? AND source_hash IN "
                "(SELECT source_hash FROM samples WHERE person_id = ?) RETURNING id",
                (gone, kept),
            )
            moved = db.execute("UPDATE samples SET person_id = ? WHERE person_id = ?", (kept, gone)).rowcount
            theirs = db.execute("SELECT name FROM groups WHERE person_id = ?", (gone,)).fetchall()
            _join(db, kept, [group for (group,) in theirs])
            db.execute("DELETE FROM people WHERE id = ?", (gone,))
        return moved, done.change()

    def set_groups(self, name: str, groups: Iterable[str]) -> Change:
        """Puts a person in these groups and no others."""
        with self._erasure() as done:
            number = self._id(name)
            done.db.execute("DELETE FROM groups WHERE person_id = ?", (number,))
            _join(done.db, number, groups)
        return done.change()

    def remove_sample(self, sample: int) -> Change:
        """Deletes one sample, not a person's last; no byte of it stays."""
        with self._erasure() as done:
            row = done.db.execute(
                "SELECT name, (SELECT count(*) FROM samples AS s WHERE s.person_id = people.id) "
                "FROM samples JOIN people ON people.id = person_id WHERE samples.id = ?",
                (sample,),
            ).fetchone()
            if row is None:
                raise UnknownPersonError(f"There is no sample {sample} in {self.location}.")
            if row[1] == 1:
                raise GalleryError(
                    f"Sample {sample} is the only one of {row[0]!r}: remove the person instead."
                )
            done.delete("DELETE FROM samples WHERE id = ? RETURNING id", (sample,))
        return done.change()

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


class _Erasure:
    """An open transaction that deletes, and what it has deleted."""

    def __init__(self, db: sqlite3.Connection, before: Hashable) -> None:
        self.db = db
        self.before = self.after = before
        self.gone: tuple[int, ...] = ()

    def delete(self, statement: str, values: tuple[int, ...]) -> None:
        """Runs a deletion of samples that returns their ids; their kept photos go with them."""
        self.gone += tuple(sample for (sample,) in self.db.execute(statement, values).fetchall())

    def change(self) -> Change:
        return Change(self.before, self.after, gone=self.gone)


def _new_state(db: sqlite3.Connection) -> None:
    """A new token for the content of the open transaction; the old one joins the history."""
    db.execute("INSERT INTO states (token) SELECT state FROM meta")
    db.execute("DELETE FROM states WHERE number <= (SELECT max(number) FROM states) - ?", (_HISTORY,))
    db.execute("UPDATE meta SET generation = generation + 1, state = ?", (secrets.token_hex(16),))


def _names(db: sqlite3.Connection) -> dict[int, str]:
    return dict(db.execute("SELECT id, name FROM people"))


def _groups(db: sqlite3.Connection) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for person, group in db.execute("SELECT person_id, name FROM groups"):
        found.setdefault(person, set()).add(group)
    return {person: frozenset(names) for person, names in found.items()}


def _join(db: sqlite3.Connection, person: int, groups: Iterable[str]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO groups (person_id, name) VALUES (?, ?)",
        [(person, clean_name(group)) for group in groups],
    )


_HISTORY = 100_000
"""Tokens kept: a snapshot older than so many changes is built anew."""

_SELECT = (
    "SELECT samples.id, name, source, source_hash, fingerprint, embedding, "
    "score, size, sharpness, yaw, pitch, roll, samples.created, "
    "EXISTS (SELECT 1 FROM photos WHERE sample_id = samples.id) "
    "FROM samples JOIN people ON people.id = person_id"
)


def _stored(row: tuple[Any, ...]) -> StoredSample:
    quality = None if row[6] is None else Quality(*row[6:12])
    return StoredSample(row[0], row[1], row[2], row[3], row[4], quality, row[12], bool(row[13]))


def _add_person(db: sqlite3.Connection, name: str, samples: Sequence[Sample], space: Space) -> Added:
    """Stores one person's samples in the open transaction; the person is made with the first of them."""
    row = db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
    person = None if row is None else int(row[0])
    stored, duplicates, taken, numbers = [], [], [], []
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
            number = db.execute(
                "INSERT INTO samples (person_id, embedding, fingerprint, source, source_hash, "
                "score, size, sharpness, yaw, pitch, roll, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (person, blob, space.fingerprint, source, known, *measured, created),
            ).lastrowid
            if sample.photo is not None:
                db.execute("INSERT INTO photos (sample_id, jpeg) VALUES (?, ?)", (number, sample.photo))
            stored.append(i)
            numbers.append(int(number or 0))
    return Added(person, tuple(stored), tuple(duplicates), tuple(taken), tuple(numbers))
