"""What can be wrong inside a gallery file, each told in one sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.names import clean_name
from facewise.gallery.search import UNIT_TOLERANCE


def problems(db: sqlite3.Connection) -> list[str]:
    """All that is wrong with an open gallery file; empty if nothing is."""
    found: list[str] = []
    try:
        found += (
            f"The file is damaged: {row[0]}."
            for row in db.execute("PRAGMA integrity_check")
            if row[0] != "ok"
        )
        found += (
            f"Row {row[1]} of {row[0]} points to nothing in {row[2]}."
            for row in db.execute("PRAGMA foreign_key_check")
        )
        found += _people(db)
        found += _samples(db)
    except sqlite3.Error as error:  # too damaged to read on: that is the finding
        found.append(f"The file cannot be read to its end: {error}.")
    return found


def _people(db: sqlite3.Connection) -> Iterator[str]:
    rows = db.execute("SELECT name, (SELECT count(*) FROM samples WHERE person_id = people.id) FROM people")
    for name, samples in rows:
        if samples == 0:
            yield f"{name!r} has no samples."
        try:
            clean = clean_name(name)
        except (GalleryError, TypeError):
            clean = None
        if clean != name:
            yield f"{name!a} is not a name as Facewise keeps them."


def _samples(db: sqlite3.Connection) -> Iterator[str]:
    bound = db.execute("SELECT fingerprint, size FROM meta").fetchone()
    if bound is None:
        yield "The file has no meta row, so nobody knows which model it belongs to."
        return
    fingerprint, size = bound
    for sample, of, blob in db.execute("SELECT id, fingerprint, embedding FROM samples ORDER BY id"):
        if of != fingerprint:
            yield f"Sample {sample} is of the model {str(of)[:12]}, not of {str(fingerprint)[:12]}."
        elif len(blob) != 4 * size:
            yield f"Sample {sample} has {len(blob)} bytes where {4 * size} are needed."
        else:
            row = np.frombuffer(blob, dtype="<f4").astype(np.float64)
            # A norm that is not finite fails the comparison too.
            if not abs(float(np.linalg.norm(row)) - 1) <= UNIT_TOLERANCE:
                yield f"Sample {sample} is not of unit length."
