"""One sample's row in a gallery's file: how it is written, read, and wiped for good."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.cells import Cells, padded
from facewise.gallery.names import clean_group
from facewise.gallery.results import Sample, Space, StoredSample
from facewise.gallery.schema import now
from facewise.gallery.store import Added
from facewise.types import FloatArray, Quality

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.vault import Vault

SELECT = (
    "SELECT samples.id, name, source, source_hash, fingerprint, photo, "
    "score, size, sharpness, yaw, pitch, roll, samples.created "
    "FROM samples JOIN people ON people.id = person_id"
)
"""What `stored` reads."""

_READ_AT_ONCE = 20_000


def stored(row: tuple[Any, ...]) -> StoredSample:
    """A row of `SELECT`."""
    quality = None if row[6] is None else Quality(*row[6:12])
    return StoredSample(row[0], row[1], row[2], row[3], row[4], quality, row[12], row[5] is not None)


class Content:
    """The vectors and photos of one open gallery file, sealed where it has a key.

    Sealed bytes are bound to their sample: moved to another's place in the file they do not open.

    Args:
        db: The file.
        cipher: What seals, or None.
    """

    def __init__(self, db: sqlite3.Connection, cipher: Vault | None) -> None:
        self._db = db
        self._cipher = cipher
        self._vectors, self._photos = Cells(db, "vectors"), Cells(db, "photos")

    def put_vector(self, sample: int, embedding: FloatArray) -> int:
        """Keeps a sample's `(D,)` vector and says in which cell."""
        return self._vectors.put(
            self._sealed(f"embedding {sample}", np.ascontiguousarray(embedding, "<f4").tobytes())
        )

    def put_photo(self, sample: int, jpeg: bytes) -> int:
        """Keeps a sample's photo and says in which cell."""
        return self._photos.put(self._sealed(f"photo {sample}", padded(jpeg)))

    def vectors(self, samples: Sequence[int], size: int) -> FloatArray:
        """`(N, size)` float32, in the order of the samples.

        Raises:
            KeyError: There is no such sample; its argument is the id.
            GalleryError: A vector is damaged.
        """
        rows = np.empty((len(samples), size), dtype=np.float32)
        for start in range(0, len(samples), _READ_AT_ONCE):
            part = samples[start : start + _READ_AT_ONCE]
            found: dict[int, bytes] = dict(
                self._db.execute(
                    "SELECT samples.id, data FROM samples LEFT JOIN vectors ON vectors.id = vector "
                    "WHERE samples.id IN (SELECT value FROM json_each(?))",
                    (json.dumps(part),),
                )
            )
            if self._cipher is not None:
                found = {sample: self._opened(f"embedding {sample}", b or b"") for sample, b in found.items()}
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
        row = self._db.execute("SELECT photo, photo_bytes FROM samples WHERE id = ?", (sample,)).fetchone()
        if row is None or row[0] is None:
            return None
        data = self._opened(f"photo {sample}", self._photos.get(row[0]) or b"")
        if len(data) < row[1]:
            raise GalleryError(f"The photo of sample {sample} is damaged.")
        return data[: row[1]]

    def wipe(self, where: str, values: tuple[int, ...]) -> tuple[int, ...]:
        """Deletes samples with their vectors and photos, and says which; no byte of those stays in a page."""
        rows = self._db.execute(
            f"SELECT id, vector, photo FROM samples WHERE {where}",  # noqa: S608  one of our own conditions
            values,
        ).fetchall()
        for _, vector, photo in rows:
            self._vectors.wipe(vector)
            if photo is not None:
                self._photos.wipe(photo)
        self._db.executemany("DELETE FROM samples WHERE id = ?", [(row[0],) for row in rows])
        return tuple(row[0] for row in rows)

    def _sealed(self, kind: str, data: bytes) -> bytes:
        return data if self._cipher is None else self._cipher.seal(kind, data)

    def _opened(self, kind: str, data: bytes) -> bytes:
        return data if self._cipher is None else self._cipher.open(kind, data)


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
        measured = (q.score, q.size, q.sharpness, q.yaw, q.pitch, q.roll) if q else (None,) * 6
        # A path that is not UTF-8 has surrogates, which no database keeps.
        source = sample.source.encode(errors="backslashreplace").decode()
        vector = self._content.put_vector(number, sample.embedding)
        photo = None if jpeg is None else self._content.put_photo(number, jpeg)
        self._db.execute(
            "INSERT INTO samples (id, person_id, vector, photo, photo_bytes, fingerprint, source, "
            "source_hash, score, size, sharpness, yaw, pitch, roll, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, person, vector, photo, None if jpeg is None else len(jpeg), self._space.fingerprint,
             source, known, *measured, sample.created or now()),
        )  # fmt: skip
        return number


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
