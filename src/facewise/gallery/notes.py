"""Notes of changes: what whoever changes a gallery wants on record, kept by the change until it is there.

A change and its note are one transaction, so neither is without the other, whenever the process ends. Who
keeps the record takes the notes out and writes them down; one whose taking out was cut short comes again, and
is told by its text.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from facewise.gallery.store import Change

Tell: TypeAlias = Callable[[Change], str]
"""What is to be noted of a change: numbers and words for a record."""


@dataclass(slots=True)
class Noted:
    """A change that is to be noted.

    Attributes:
        tell: What to note.
        made: Whether the change is made and its note kept.
    """

    tell: Tell
    made: bool = False


class Noting(threading.local):
    """What the changes of the calling thread are noted by."""

    now: Noted | None = None

    @contextmanager
    def by(self, tell: Tell) -> Iterator[Noted]:
        """Within, the next change of this thread is noted, once."""
        noted = self.now = Noted(tell)
        try:
            yield noted
        finally:
            self.now = None

    def keep(self, db: sqlite3.Connection, change: Change) -> None:
        """Notes a change in its own open transaction, where it is to be."""
        if self.now is not None and not self.now.made:
            db.execute("INSERT INTO notes (text) VALUES (?)", (self.now.tell(change),))

    def made(self) -> None:
        """The transaction is on disk."""
        if self.now is not None:
            self.now.made = True


def kept(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """All notes, oldest first."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'notes'").fetchone():
        return []  # of an older Facewise, and read-only
    return db.execute("SELECT id, text FROM notes ORDER BY id").fetchall()


def taken(db: sqlite3.Connection) -> list[str]:
    """All notes, oldest first, out of the gallery, by the open transaction."""
    return [text for _, text in sorted(db.execute("DELETE FROM notes RETURNING id, text"))]


def copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Takes the notes along into another file of the gallery."""
    new.executemany("INSERT INTO notes (text) VALUES (?)", [(text,) for _, text in kept(old)])
