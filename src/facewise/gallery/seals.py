"""What an encrypted gallery's rows are held to, so that nobody without its key changes who is who unnoticed.

- A sample's vector and photo are sealed together with their row: gallery, number, person, source, quality.
- A person's name, date and groups have a seal of their own, with nothing in it.
- All samples and all people's seals are added up under the key (MSet-Add-Hash: Clarke and others, ASIACRYPT
  2003), and the sums sealed with the number and the token of the last change. So a row that is missing, or
  that is of an older copy of the same gallery, shows as well.

What a transaction changes is noted by triggers of the connection, which no way of writing gets around.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError
from facewise.gallery.listing import ids_of
from facewise.gallery.schema import expected_schema, schema_of, statements

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.vault import Vault

Facts = Sequence[Any]
"""A sample's row as `FACTS` reads it."""

FACTS = (
    "person_id, photo_bytes, fingerprint, source, source_hash, "
    "score, samples.size, sharpness, yaw, pitch, roll, samples.created"
)
"""What of a sample's row its vector and photo are bound to: all but where those two lie."""

_WATCH = """
CREATE TEMP TABLE changed_people (person INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone_people (seal BLOB);
CREATE TEMP TABLE changed_samples (sign INTEGER, person INTEGER, sample INTEGER);
CREATE TEMP TRIGGER people_new AFTER INSERT ON main.people
BEGIN INSERT OR IGNORE INTO changed_people VALUES (NEW.id); END;
CREATE TEMP TRIGGER people_other AFTER UPDATE OF id, name, created ON main.people
BEGIN INSERT OR IGNORE INTO changed_people VALUES (NEW.id); END;
CREATE TEMP TRIGGER people_gone AFTER DELETE ON main.people
BEGIN INSERT INTO gone_people VALUES (OLD.seal); END;
CREATE TEMP TRIGGER groups_new AFTER INSERT ON main.groups
BEGIN INSERT OR IGNORE INTO changed_people VALUES (NEW.person_id); END;
CREATE TEMP TRIGGER groups_gone AFTER DELETE ON main.groups
BEGIN INSERT OR IGNORE INTO changed_people VALUES (OLD.person_id); END;
CREATE TEMP TRIGGER samples_new AFTER INSERT ON main.samples
BEGIN INSERT INTO changed_samples VALUES (1, NEW.person_id, NEW.id); END;
CREATE TEMP TRIGGER samples_gone AFTER DELETE ON main.samples
BEGIN INSERT INTO changed_samples VALUES (-1, OLD.person_id, OLD.id); END;
CREATE TEMP TRIGGER samples_moved AFTER UPDATE OF id, person_id ON main.samples
BEGIN
  INSERT INTO changed_samples VALUES (-1, OLD.person_id, OLD.id);
  INSERT INTO changed_samples VALUES (1, NEW.person_id, NEW.id);
END;
"""

_MOST_HELD = 100_000
"""People whose rows are remembered as held; the others' seals are opened each time."""

_SUMS = 4  # two numbers of 64 bits for the samples, two for the people
_DAMAGED = (
    "its list of people and samples was changed without the key, or is in part of an older copy: restore it "
    "from a copy."
)


def bound(what: str, number: int, facts: Facts) -> str:
    """What a sample's vector or photo, or a person, is sealed as."""
    return f"{what} {number}\n{json.dumps(list(facts), default=_no_fact)}"


def _no_fact(value: object) -> None:
    raise GalleryError(f"It holds a {type(value).__name__} where text or a number belongs.")


class Seals:
    """The seals of one open gallery file.

    Args:
        db: The file.
        vault: The gallery's.
    """

    def __init__(self, db: sqlite3.Connection, vault: Vault) -> None:
        self._db, self._vault = db, vault
        self._sums = np.zeros(_SUMS, np.uint64)
        self._sealed = ""
        self._schema: int | None = None
        self._held: dict[int, tuple[Any, ...]] = {}

    def begin(self) -> None:
        """Remembers what the gallery holds, and notes from now on what changes; within a transaction.

        Raises:
            GalleryError: The gallery was changed without its key.
        """
        if not self._watches():
            for statement in statements(_WATCH):
                self._db.execute(statement)
        self._forget()
        self._sums, self._sealed = self._told(), self._kind()[0]

    def settle(self) -> None:
        """Seals what the transaction has changed since it began, or since this was last called."""
        signs, pairs = [], []
        for sign, person, sample in self._db.execute("SELECT sign, person, sample FROM changed_samples"):
            signs.append(sign)
            pairs.append((person, sample))
        self._sums[:2] += self._added(np.array(pairs, "<i8").tobytes(), signs)
        old = [seal for (seal,) in self._db.execute("SELECT seal FROM gone_people")]
        people = self._people("(SELECT person FROM changed_people)")
        new = []
        for person, *facts, seal in people:
            old.append(seal)
            new.append((self._vault.seal(bound("person", person, facts), b""), person))
            self._held.pop(person, None)
        self._db.executemany("UPDATE people SET seal = ? WHERE id = ?", new)
        seals = [seal for seal in old if seal is not None]
        blocks = b"".join(_tag(seal) for seal in (*seals, *(seal for seal, _ in new)))
        self._sums[2:] += self._added(blocks, [-1] * len(seals) + [1] * len(new))
        if pairs or old or new or self._kind()[0] != self._sealed:
            self.write()
            self._forget()

    def write(self) -> None:
        """Seals what there is with the number of the last change; nothing, in a new gallery."""
        self._sealed = self._kind()[0]
        sealed = self._vault.seal(self._sealed, self._sums.astype("<u8").tobytes())
        self._db.execute("UPDATE meta SET seal = ?", (sealed,))

    def hold(self) -> None:
        """Holds all people and the list of all samples to their seals.

        Raises:
            GalleryError: Something was changed without the key.
        """
        for problem in self.problems():
            raise GalleryError(problem)

    def hold_meta(self) -> None:
        """Holds what is known of the whole gallery to its seal: its model, the number of the last change."""
        self._told()

    def hold_people(self, people: Iterable[int]) -> dict[int, str]:
        """Holds some people, by number, to their seals, and says what their names are.

        Those that the open transaction has changed are taken for what they are.
        """
        self._refuse_schema()
        new = set(self._db.execute("SELECT person FROM changed_people")) if self._watches() else set()
        names = {}
        for row in self._people("(SELECT value FROM json_each(?))", json.dumps(list(people))):
            if row[:1] not in new:
                self._hold(row)
            names[row[0]] = row[1]
        return names

    def hold_owner(self, person: int, samples: Iterable[int]) -> None:
        """Holds samples to being a person's by their rows, as an index of the file may say another thing."""
        rows = self._db.execute(
            "SELECT id, person_id FROM samples NOT INDEXED WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(samples)),),
        )
        for sample, owner in rows:
            if owner != person:
                raise GalleryError(f"Sample {sample} is not where the file's index has it.")

    def problems(self) -> Iterator[str]:
        """What was changed without the key, a sentence each."""
        blocks = []
        for row in self._people(None):
            try:
                self._hold(row)
            except GalleryError as error:
                yield str(error)
            else:
                blocks.append(_tag(row[-1]))
        try:
            told = self._told()
        except GalleryError as error:
            yield str(error)
            return
        pairs = b""
        with suppress(ValueError):  # text where a number belongs
            pairs = np.stack(ids_of(self._db), axis=1).astype("<i8").tobytes()
        if not np.array_equal(told[:2], self._added(pairs)):
            yield f"The samples are not those that were enrolled: {_DAMAGED}"
        if not np.array_equal(told[2:], self._added(b"".join(blocks))):
            yield f"The people are not those that were enrolled: {_DAMAGED}"

    def _hold(self, row: tuple[Any, ...]) -> None:
        person, *facts, seal = row
        if self._held.get(person) == row:
            return
        try:
            self._vault.open(bound("person", person, facts), seal)
        except GalleryError as error:
            raise GalleryError(f"Person {person}, {facts[0]!r}, was changed without the key.") from error
        if len(self._held) < _MOST_HELD:
            self._held[person] = row

    def _people(self, among: str | None, *values: str) -> Iterator[tuple[Any, ...]]:
        """Number, name, date, groups and seal of people."""
        where = "" if among is None else f"WHERE person_id IN {among}"
        groups: dict[int, list[str]] = {}
        rows = self._db.execute(f"SELECT person_id, name FROM groups {where}", values)  # noqa: S608  of ours
        for person, group in rows:
            groups.setdefault(person, []).append(group)
        where = "" if among is None else f"WHERE id IN {among}"
        for person, name, created, seal in self._db.execute(
            f"SELECT id, name, created, seal FROM people {where}",  # noqa: S608  of ours
            values,
        ).fetchall():
            yield person, name, created, tuple(sorted(groups.get(person, ()), key=str)), seal

    def _refuse_schema(self) -> None:
        """Refuses a file that would do something by itself, as by a trigger, with the key."""
        (version,) = self._db.execute("PRAGMA schema_version").fetchone()
        if version == self._schema:
            return
        found = schema_of(self._db)
        if found != expected_schema():
            raise GalleryError("Its tables are not as Facewise makes them: restore it from a copy.")
        self._schema = version

    def _told(self) -> NDArray[np.uint64]:
        """The sums as they were sealed."""
        self._refuse_schema()
        kind, seal = self._kind()
        try:
            sums = self._vault.open(kind, seal)
        except GalleryError as error:
            raise GalleryError(f"The gallery is not as it was left: {_DAMAGED}") from error
        return np.frombuffer(sums, "<u8").astype(np.uint64)

    def _kind(self) -> tuple[str, bytes]:
        """What the sums are to be sealed as now, and the seal that is there; both of one moment."""
        seal, *facts = self._db.execute(
            "SELECT seal, generation, state, created, fingerprint, model, size, flip, "
            "(SELECT seq FROM sqlite_sequence WHERE name = 'people'), "
            "(SELECT seq FROM sqlite_sequence WHERE name = 'samples') FROM meta"
        ).fetchone() or (None,)
        return f"contents\n{json.dumps(facts, default=_no_fact)}", seal or b""

    def _added(self, blocks: bytes, signs: Sequence[int] | None = None) -> NDArray[np.uint64]:
        """`(2,)` the sum of the marks of blocks of 16 bytes."""
        marks = np.frombuffer(self._vault.marks(blocks), "<u8").reshape(-1, 2).astype(np.uint64)
        if signs is not None:
            marks = np.where(np.array(signs)[:, None] < 0, np.uint64(0) - marks, marks)
        return marks.sum(axis=0, dtype=np.uint64) if len(marks) else np.zeros(2, np.uint64)

    def _watches(self) -> bool:
        """Whether changes are noted: what notes them goes where the transaction that made it fails."""
        found = self._db.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'changed_people'")
        return found.fetchone() is not None

    def _forget(self) -> None:
        for table in ("changed_people", "gone_people", "changed_samples"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608  the names above


def _tag(seal: bytes) -> bytes:
    """The 16 bytes by which AES-GCM tells one seal from all others."""
    return seal[-16:]
