"""Places in a gallery's file for bytes of which nothing may stay: vectors and photos.

SQLite's `secure_delete` alone does not keep that promise: when rows go, it moves others from page to page,
and where a page is rebuilt the gap keeps copies of rows that moved; deleted later, they are cleaned where
they are, not where they were (of 10,866 deleted blobs, 12 were found again). So a row here is never
deleted, updated or moved: rows are only appended, which moves none, and wiped and filled again in place, by
incremental writes.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one table.

    Attributes:
        db: An open gallery file.
        table: `"vectors"` or `"photos"`.
    """

    db: sqlite3.Connection
    table: Literal["vectors", "photos"]

    def put(self, data: bytes) -> int:
        """Keeps bytes in a wiped cell of their length, or in a new one, and says which."""
        row = self.db.execute(
            "SELECT cell FROM wiped WHERE kind = ? AND length = ? LIMIT 1", (self.table, len(data))
        ).fetchone()
        if row is None:
            appended = self.db.execute(f"INSERT INTO {self.table} (data) VALUES (?)", (data,))  # noqa: S608
            return int(appended.lastrowid or 0)
        cell = int(row[0])
        self.db.execute(
            "DELETE FROM wiped WHERE kind = ? AND length = ? AND cell = ?", (self.table, len(data), cell)
        )
        self.refill(cell, data)
        return cell

    def refill(self, cell: int, data: bytes) -> None:
        """Writes other bytes of the same length over a cell's."""
        with self.db.blobopen(self.table, "data", cell) as blob:
            blob.write(data)

    def get(self, cell: int) -> bytes | None:
        """What is in a cell, or None if there is no such cell."""
        row = self.db.execute(f"SELECT data FROM {self.table} WHERE id = ?", (cell,)).fetchone()  # noqa: S608
        return None if row is None else bytes(row[0])

    def wipe(self, cell: int) -> None:
        """Zeros over a cell, which is free then."""
        with self.db.blobopen(self.table, "data", cell) as blob:
            length = len(blob)
            blob.write(bytes(length))
        self.db.execute("INSERT INTO wiped (kind, length, cell) VALUES (?, ?, ?)", (self.table, length, cell))


def padded(data: bytes) -> bytes:
    """Zeros added, by at most an eighth (4 KiB for little), so that cells of photos fit again and again."""
    step = max(4096, 1 << max(0, len(data).bit_length() - 4))
    return data + bytes(-len(data) % step)
