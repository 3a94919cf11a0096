"""Everybody, or one page of them, by name; and what a search reads of all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.gallery.results import Person

# An index holds names too, and may say other things than the rows, which are held to their seals.


def names_of(db: sqlite3.Connection) -> dict[int, str]:
    """Person id to name, of everybody."""
    return dict(db.execute("SELECT id, name FROM people NOT INDEXED"))


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


def people(db: sqlite3.Connection) -> list[Person]:
    """All of them, in SQLite."""
    rows = db.execute(
        "SELECT name, (SELECT count(*) FROM samples WHERE person_id = people.id), created, id "
        "FROM people NOT INDEXED ORDER BY name"
    )
    return _made(rows, groups_of(db))


def page(
    db: sqlite3.Connection, offset: int, limit: int, search: str | None, group: str | None
) -> tuple[list[Person], int]:
    """As `page_of`, from SQLite, which reads no more of the other people than their names."""
    if search is None:
        (total,) = db.execute(
            "SELECT count(*) FROM people "
            "WHERE :group IS NULL OR id IN (SELECT person_id FROM groups WHERE name = :group)",
            {"group": group},
        ).fetchone()
        numbers = db.execute(
            "SELECT id FROM people "
            "WHERE :group IS NULL OR id IN (SELECT person_id FROM groups WHERE name = :group) "
            "ORDER BY name LIMIT :limit OFFSET :offset",
            {"group": group, "limit": limit, "offset": offset},
        )
        return _these(db, [number for (number,) in numbers]), total
    part = search.casefold()  # which SQLite knows of ASCII alone
    names = db.execute(
        "SELECT id, name FROM people "
        "WHERE :group IS NULL OR id IN (SELECT person_id FROM groups WHERE name = :group) ORDER BY name",
        {"group": group},
    )
    found = [number for number, name in names if part in name.casefold()]
    return _these(db, found[offset : offset + limit]), len(found)


def _these(db: sqlite3.Connection, numbers: Sequence[int]) -> list[Person]:
    """The people of these numbers, by name."""
    these = json.dumps(numbers)
    groups: dict[int, list[str]] = {}
    for number, group in db.execute(
        "SELECT person_id, name FROM groups WHERE person_id IN (SELECT value FROM json_each(?))",
        (these,),
    ):
        groups.setdefault(number, []).append(group)
    rows = db.execute(
        "SELECT name, (SELECT count(*) FROM samples WHERE person_id = people.id), created, id "
        "FROM people NOT INDEXED WHERE id IN (SELECT value FROM json_each(?)) ORDER BY name",
        (these,),
    )
    return _made(rows, groups)


def _made(rows: Iterable[tuple[str, int, str, int]], groups: Mapping[int, Collection[str]]) -> list[Person]:
    """People of their name, samples, date and number each, and of the groups by number."""
    return [
        Person(name, samples, created, number, tuple(sorted(groups.get(number, ()))))
        for name, samples, created, number in rows
    ]


def page_of(
    everybody: Sequence[Person], offset: int, limit: int, search: str | None, group: str | None
) -> tuple[list[Person], int]:
    """A page of people.

    Args:
        everybody: All of them, by name.
        offset: How many to leave out.
        limit: At most so many.
        search: Only whose name holds this, in any case.
        group: Only who is in this group.

    Returns:
        The page, and how many there are on all pages.
    """
    found = everybody
    if search is not None:
        part = search.casefold()
        found = [person for person in found if part in person.name.casefold()]
    if group is not None:
        found = [person for person in found if group in person.groups]
    return list(found[offset : offset + limit]), len(found)
