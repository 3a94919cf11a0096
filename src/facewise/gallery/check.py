"""What can be wrong inside a gallery file, each told in one sentence."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.names import clean_group, clean_name
from facewise.gallery.rows import Content
from facewise.gallery.search import UNIT_TOLERANCE
from facewise.owned import is_open_to_all

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.vault import Vault


def advice(path: Path, cipher: Vault | None) -> list[str]:
    """What would make a gallery's file safer though nothing is wrong with it, a sentence each.

    Args:
        path: The file.
        cipher: What seals its content, or None.
    """
    found = []
    if cipher is not None and not cipher.binds:
        found.append(
            "Its samples are encrypted as an older Facewise did it, not bound to their people: whoever can "
            "write the file can make one person answer as another, unnoticed. `facewise gallery rekey` binds "
            "them."
        )
    real = path.resolve()
    left = real.with_name(f"{real.name}.rekey")
    if left.is_file():
        found.append(
            f"{left} may be what a rekey by an older Facewise left when it was stopped, with everything in "
            "it: delete it if it is not yours."
        )
    if os.name == "posix":
        if real.stat().st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH):
            found.append(f"Others on this machine may read or write {real}: `chmod 600` it.")
        if is_open_to_all(real.parent):
            found.append(f"Everybody on this machine may put other files into {real.parent}: `chmod o-w` it.")
    return found


def problems(db: sqlite3.Connection, content: Content) -> list[str]:
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
        found += content.problems()
        found += _people(db)
        found += _groups(db)
        found += _samples(db, content)
        found += _photos(db, content)
        found += _cells(db)
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


def _groups(db: sqlite3.Connection) -> Iterator[str]:
    for (name,) in db.execute("SELECT DISTINCT name FROM groups"):
        try:
            clean = clean_group(name)
        except (GalleryError, TypeError):
            clean = None
        if clean != name:
            yield f"{name!a} is not a group's name as Facewise keeps them."


def _samples(db: sqlite3.Connection, content: Content) -> Iterator[str]:
    bound = db.execute("SELECT fingerprint, size FROM meta").fetchone()
    if bound is None:
        yield "The file has no meta row, so nobody knows which model it belongs to."
        return
    fingerprint, size = bound
    for sample, of in db.execute("SELECT id, fingerprint FROM samples ORDER BY id").fetchall():
        if of != fingerprint:
            yield f"Sample {sample} is of the model {str(of)[:12]}, not of {str(fingerprint)[:12]}."
            continue
        try:
            row = content.vectors([sample], size)[0].astype(np.float64)
        except GalleryError as error:
            yield _about(f"Sample {sample}", error)
            continue
        # A norm that is not finite fails the comparison too.
        if not abs(float(np.linalg.norm(row)) - 1) <= UNIT_TOLERANCE:
            yield f"Sample {sample} is not of unit length."


def _photos(db: sqlite3.Connection, content: Content) -> Iterator[str]:
    for (sample,) in db.execute("SELECT id FROM samples WHERE photo IS NOT NULL ORDER BY id").fetchall():
        try:
            jpeg = content.photo(sample) or b""
        except GalleryError as error:
            yield _about(f"The photo of sample {sample}", error)
            continue
        if not jpeg.startswith(b"\xff\xd8"):
            yield f"The photo of sample {sample} is no JPEG."


def _about(what: str, error: GalleryError) -> str:
    told = str(error)
    return told if told.startswith(what) else f"{what} cannot be used: {told}"


def _cells(db: sqlite3.Connection) -> Iterator[str]:
    """Cells that two samples share, and those that nobody owns but still hold something."""
    for table, column in (("vectors", "vector"), ("photos", "photo")):
        for (cell,) in db.execute(
            f"SELECT {column} FROM samples WHERE {column} IS NOT NULL GROUP BY {column} HAVING count(*) > 1"  # noqa: S608
        ):
            yield f"Two samples share the place {cell} of {table}."
        for cell, empty in db.execute(
            f"SELECT id, data = zeroblob(length(data)) FROM {table} "  # noqa: S608
            f"WHERE id NOT IN (SELECT {column} FROM samples WHERE {column} IS NOT NULL)"
        ):
            if not empty:
                yield f"The place {cell} of {table} belongs to no sample and is not wiped."
