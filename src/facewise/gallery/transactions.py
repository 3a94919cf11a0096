"""What every change of a gallery's file does beside its own work, and what a search reads of all of it."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.gallery.results import Sample
from facewise.gallery.rows import Content, join
from facewise.gallery.store import Added, Change

_HISTORY = 100_000
"""Tokens kept: a snapshot older than so many changes is built anew."""


class Changing:
    """An open transaction, and what it has deleted."""

    def __init__(self, db: sqlite3.Connection, content: Content, before: Hashable) -> None:
        self.db = db
        self.before = self.after = before
        self.gone: tuple[int, ...] = ()
        self._content = content

    def wipe(self, where: str, values: tuple[int, ...]) -> None:
        """Deletes samples with all they hold."""
        self.gone += self._content.wipe(where, values)

    def change(self) -> Change:
        """What was done, for an index that does the same."""
        return Change(self.before, self.after, gone=self.gone)


def new_state(db: sqlite3.Connection) -> None:
    """A new token for the content of the open transaction; the old one joins the history."""
    db.execute("INSERT INTO states (token) SELECT state FROM meta")
    db.execute("DELETE FROM states WHERE number <= (SELECT max(number) FROM states) - ?", (_HISTORY,))
    db.execute("UPDATE meta SET generation = generation + 1, state = ?", (secrets.token_hex(16),))


def names_of(db: sqlite3.Connection) -> dict[int, str]:
    """Person id to name, of everybody."""
    return dict(db.execute("SELECT id, name FROM people"))


def groups_of(db: sqlite3.Connection) -> dict[int, frozenset[str]]:
    """Person id to groups, of those who are in any."""
    found: dict[int, set[str]] = {}
    for person, group in db.execute("SELECT person_id, name FROM groups"):
        found.setdefault(person, set()).add(group)
    return {person: frozenset(names) for person, names in found.items()}


def ids_of(db: sqlite3.Connection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(N,)` person and `(N,)` id of each sample, by person, then by id.

    SQLite writes them as two texts and NumPy reads those: a quarter of the time of a million Python tuples.
    The index on person_id holds both columns, so the rows themselves are not read.
    """
    texts = db.execute(
        "SELECT group_concat(person_id), group_concat(id) FROM "
        "(SELECT person_id, id FROM samples ORDER BY person_id, id)"
    ).fetchone()
    people, samples = (np.fromstring(text or "", dtype=np.int64, sep=",") for text in texts)
    order = np.lexsort((samples, people))  # which SQL does not promise to keep through an aggregate
    return people[order], samples[order]


def join_all(
    db: sqlite3.Connection,
    batches: Sequence[tuple[str, Sequence[Sample]]],
    added: Sequence[Added],
    groups: Mapping[str, Iterable[str]],
) -> bool:
    """Puts people who have samples into their groups, and says whether that changed anything."""
    before = db.total_changes
    for (name, _), one in zip(batches, added, strict=True):
        if one.person is not None:
            join(db, one.person, groups.get(name, ()))
    return db.total_changes != before
