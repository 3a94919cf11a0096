"""What every change of a gallery's file does beside its own work."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Hashable, Iterable, Mapping, Sequence

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
        self.moved = 0
        self._content = content

    def wipe(self, where: str, values: tuple[int, ...], person: int | None = None) -> None:
        """Deletes samples with all they hold; see `Content.wipe`."""
        self.gone += self._content.wipe(where, values, person)

    def change(self) -> Change:
        """What was done, for an index that does the same."""
        return Change(self.before, self.after, gone=self.gone, moved=self.moved)


def new_state(db: sqlite3.Connection) -> None:
    """A new token for the content of the open transaction; the old one joins the history."""
    db.execute("INSERT INTO states (token) SELECT state FROM meta")
    db.execute("DELETE FROM states WHERE number <= (SELECT max(number) FROM states) - ?", (_HISTORY,))
    db.execute("UPDATE meta SET generation = generation + 1, state = ?", (secrets.token_hex(16),))


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
