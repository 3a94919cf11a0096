"""One sample's row in a gallery's file: how it is written, read, and wiped for good."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.cells import Cells, padded
from facewise.gallery.names import clean_group
from facewise.gallery.results import Sample, Space, StoredSample
from facewise.gallery.schema import now
from facewise.gallery.seals import FACTS, Facts, Seals, bound
from facewise.gallery.store import Added
from facewise.types import FloatArray, Quality

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.vault import Vault

SELECT = (
    "SELECT samples.id, name, source, source_hash, fingerprint, photo, "
    "score, size, sharpness, yaw, pitch, roll, samples.created "
    "FROM samples JOIN people NOT INDEXED ON people.id = person_id"
)
"""What `stored` reads."""

_READ_AT_ONCE = 20_000


def stored(row: tuple[Any, ...]) -> StoredSample:
    """A row of `SELECT`."""
    quality = None if row[6] is None else Quality(*row[6:12])
    return StoredSample(row[0], row[1], row[2], row[3], row[4], quality, row[12], row[5] is not None)


class Content:
    """The vectors and photos of one open gallery file, sealed where it has a key.

    Sealed bytes are bound to their sample and its row (see `facewise.gallery.seals`): moved to another's
    place, or with another person's number beside them, they do not open.

    Args:
        db: The file.
        cipher: What seals, or None.

    Attributes:
        seals: What else the rows are held to; None without a key, or with one of an older Facewise.
    """

    def __init__(self, db: sqlite3.Connection, cipher: Vault | None) -> None:
        self._db = db
        self._cipher = cipher
        self.seals = Seals(db, cipher) if cipher is not None and cipher.binds else None
        self._vectors, self._photos = Cells(db, "vectors"), Cells(db, "photos")

    def begin(self) -> None:
        """To be called first in a transaction that changes something."""
        if self.seals is not None:
            self.seals.begin()

    def settle(self) -> None:
        """To be called last in a transaction that changes something."""
        if self.seals is not None:
            self.seals.settle()

    def hold(self) -> None:
        """Refuses people and samples that were changed without the key; see `Seals.hold`."""
        if self.seals is not None:
            self.seals.hold()

    def hold_meta(self) -> None:
        """Refuses another model, or number of the last change, than was sealed."""
        if self.seals is not None:
            self.seals.hold_meta()

    def hold_people(self, people: Iterable[int]) -> None:
        """Refuses people, by number, who were changed without the key."""
        if self.seals is not None:
            self.seals.hold_people(people)

    def hold_name(self, person: int, name: str) -> None:
        """Refuses a person whose name, by an index of the file, is not the one that was sealed."""
        if self.seals is not None and self.seals.hold_people([person]) != {person: name}:
            raise GalleryError(f"Person {person} is not where the file's index has them.")

    def hold_owner(self, person: int, samples: Sequence[int]) -> None:
        """Refuses samples that an index of the file, but not their rows, gives to a person."""
        if self.seals is not None:
            self.seals.hold_owner(person, samples)

    def problems(self) -> Iterator[str]:
        """What was changed without the key, a sentence each."""
        if self.seals is not None:
            yield from self.seals.problems()

    def put_vector(self, sample: int, embedding: FloatArray, facts: Facts) -> int:
        """Keeps a sample's `(D,)` vector and says in which cell; `facts` is its row, see `FACTS`."""
        data = np.ascontiguousarray(embedding, "<f4").tobytes()
        return self._vectors.put(self._sealed("embedding", sample, facts, data))

    def put_photo(self, sample: int, jpeg: bytes, facts: Facts) -> int:
        """Keeps a sample's photo and says in which cell."""
        return self._photos.put(self._sealed("photo", sample, facts, padded(jpeg)))

    def move(self, into: int, from_: int) -> int:
        """Makes all samples of one person another's, and says how many."""
        rows = self._db.execute(
            f"SELECT samples.id, vector, photo, {FACTS} FROM samples WHERE person_id = ?",  # noqa: S608  of ours
            (from_,),
        ).fetchall()
        self.hold_owner(from_, [row[0] for row in rows])
        if self.seals is not None:
            for sample, vector, photo, *facts in rows:
                for what, cells, cell in (
                    ("embedding", self._vectors, vector),
                    ("photo", self._photos, photo),
                ):
                    if cell is not None:
                        data = self._opened(what, sample, facts, cells.get(cell) or b"")
                        cells.refill(cell, self._sealed(what, sample, [into, *facts[1:]], data))
        self._db.execute("UPDATE samples SET person_id = ? WHERE person_id = ?", (into, from_))
        return len(rows)

    def vectors(self, samples: Sequence[int], size: int) -> FloatArray:
        """`(N, size)` float32, in the order of the samples.

        Raises:
            KeyError: There is no such sample; its argument is the id.
            GalleryError: A vector is damaged.
        """
        rows = np.empty((len(samples), size), dtype=np.float32)
        for start in range(0, len(samples), _READ_AT_ONCE):
            part = samples[start : start + _READ_AT_ONCE]
            columns = "" if self.seals is None else f", {FACTS}"
            rows_of = self._db.execute(
                f"SELECT samples.id, data{columns} FROM samples LEFT JOIN vectors ON vectors.id = vector "  # noqa: S608  of ours
                "WHERE samples.id IN (SELECT value FROM json_each(?))",
                (json.dumps(part),),
            )
            found: dict[int, bytes] = (
                dict(rows_of)
                if self._cipher is None
                else {s: self._opened("embedding", s, facts, sealed or b"") for s, sealed, *facts in rows_of}
            )
            data = [found[sample] for sample in part]
            for sample, one in zip(part, data, strict=True):
                if one is None or len(one) != 4 * size:
                    raise GalleryError(
                        f"Sample {sample} has {len(one or b'')} bytes where {4 * size} are needed."
                    )
            rows[start : start + len(part)] = np.frombuffer(b"".join(data), dtype="<f4").reshape(-1, size)
        return rows

    def photo(self, sample: int) -> bytes | None:
        """A sample's photo; None where none is kept, or there is no such sample."""
        row = self._db.execute(
            f"SELECT photo, {FACTS} FROM samples WHERE id = ?",  # noqa: S608  of ours
            (sample,),
        ).fetchone()
        if row is None or row[0] is None:
            return None
        facts, length = row[1:], row[2]
        data = self._opened("photo", sample, facts, self._photos.get(row[0]) or b"")
        if len(data) < length:
            raise GalleryError(f"The photo of sample {sample} is damaged.")
        return data[:length]

    def wipe(self, where: str, values: tuple[int, ...], person: int | None = None) -> tuple[int, ...]:
        """Deletes samples with their vectors and photos, and says which; no byte of those stays in a page.

        Args:
            where: Which, in SQL.
            values: For its question marks.
            person: Whose they are, where that is asked for.
        """
        rows = self._db.execute(
            f"SELECT id, vector, photo FROM samples WHERE {where}",  # noqa: S608  one of our own conditions
            values,
        ).fetchall()
        if person is not None:
            self.hold_owner(person, [row[0] for row in rows])
        for _, vector, photo in rows:
            self._vectors.wipe(vector)
            if photo is not None:
                self._photos.wipe(photo)
        self._db.executemany("DELETE FROM samples WHERE id = ?", [(row[0],) for row in rows])
        return tuple(row[0] for row in rows)

    def _sealed(self, what: str, sample: int, facts: Facts, data: bytes) -> bytes:
        return data if self._cipher is None else self._cipher.seal(self._kind(what, sample, facts), data)

    def _opened(self, what: str, sample: int, facts: Facts, data: bytes) -> bytes:
        return data if self._cipher is None else self._cipher.open(self._kind(what, sample, facts), data)

    def _kind(self, what: str, sample: int, facts: Facts) -> str:
        return f"{what} {sample}" if self.seals is None else bound(what, sample, facts)


class Writer:
    """Adds people's samples within one open transaction.

    Args:
        db: The file.
        content: Its vectors and photos.
        space: The model the embeddings are of.
    """

    def __init__(self, db: sqlite3.Connection, content: Content, space: Space) -> None:
        self._db, self._content, self._space = db, content, space
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'samples'").fetchone()
        self._next = 1 + (int(row[0]) if row else 0)  # given out here: what is sealed is bound to it

    def add(self, name: str, samples: Sequence[Sample]) -> Added:
        """Stores one person's samples; the person is made with the first of them."""
        row = self._db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
        person = None if row is None else int(row[0])
        if person is not None:
            self._content.hold_name(person, name)
        stored, duplicates, taken, numbers = [], [], [], []
        for i, sample in enumerate(samples):
            known = sample.source_hash or _hash(sample.embedding)
            owners = self._db.execute(
                "SELECT person_id, name FROM samples JOIN people ON people.id = person_id "
                "WHERE source_hash = ?",
                (known,),
            ).fetchall()
            if any(owner == person for owner, _ in owners):
                duplicates.append(i)
            elif owners:
                taken.append((i, str(owners[0][1])))
            else:
                if person is None:
                    person = self._db.execute(
                        "INSERT INTO people (name, created) VALUES (?, ?)", (name, sample.created or now())
                    ).lastrowid
                numbers.append(self._insert(int(person or 0), sample, known))
                stored.append(i)
        return Added(person, tuple(stored), tuple(duplicates), tuple(taken), tuple(numbers))

    def _insert(self, person: int, sample: Sample, known: str) -> int:
        number, jpeg, q = self._next, sample.photo, sample.quality
        self._next += 1
        measures = (q.score, q.size, q.sharpness, q.yaw, q.pitch, q.roll) if q else (None,) * 6
        # A path that is not UTF-8 has surrogates, which no database keeps.
        source = sample.source.encode(errors="backslashreplace").decode()
        length = None if jpeg is None else len(jpeg)
        created = sample.created or now()
        facts = (person, length, self._space.fingerprint, source, known, *map(_real, measures), created)
        vector = self._content.put_vector(number, sample.embedding, facts)
        photo = None if jpeg is None else self._content.put_photo(number, jpeg, facts)
        self._db.execute(
            "INSERT INTO samples (id, vector, photo, person_id, photo_bytes, fingerprint, source, "
            "source_hash, score, size, sharpness, yaw, pitch, roll, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, vector, photo, *facts),
        )
        return number


def _real(value: float | None) -> float | None:
    """A number as SQLite gives it back: it knows neither NaN nor -0."""
    return None if value is None or math.isnan(value) else float(value) + 0.0


def join(db: sqlite3.Connection, person: int, groups: Iterable[str]) -> None:
    """Puts a person into groups, beside those they are in."""
    db.executemany(
        "INSERT OR IGNORE INTO groups (person_id, name) VALUES (?, ?)",
        [(person, clean_group(group)) for group in groups],
    )


def regroup(db: sqlite3.Connection, person: int, groups: Iterable[str]) -> None:
    """Puts a person into groups and no others."""
    db.execute("DELETE FROM groups WHERE person_id = ?", (person,))
    join(db, person, groups)


def _hash(embedding: FloatArray) -> str:
    return f"embedding:{hashlib.sha256(np.ascontiguousarray(embedding, '<f4').tobytes()).hexdigest()}"
