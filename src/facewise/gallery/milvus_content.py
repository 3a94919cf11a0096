"""What is in a Milvus gallery, read through its head: what the head hides is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from facewise.errors import UnknownPersonError
from facewise.gallery.milvus_head import Head
from facewise.gallery.milvus_link import Link, Row
from facewise.gallery.milvus_rows import (
    PARTS,
    PERSON_FIELDS,
    SAMPLE_FIELDS,
    PersonRow,
    SampleRow,
    key_of,
    read_person,
    read_photo,
    read_sample,
)
from facewise.gallery.names import unknown_name

_SUGGEST = 50_000
"""Up to so many people, an unknown name's error looks for the nearest known one."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The names of a gallery's collections."""

    head: str
    people: str
    samples: str
    photos: str

    @classmethod
    def of(cls, name: str) -> Tables:
        """The collections of the gallery of that name."""
        return cls(*(f"facewise_{name}_{kind}" for kind in ("head", "people", "samples", "photos")))

    @property
    def content(self) -> tuple[str, str, str]:
        """All but the head."""
        return self.people, self.samples, self.photos


class Content:
    """A gallery at one moment.

    Args:
        link: The server.
        tables: The gallery's collections.
        head: The moment.
        consistency: Milvus's level for reading.
    """

    def __init__(self, link: Link, tables: Tables, head: Head, consistency: str = "Strong") -> None:
        self.link, self.tables, self.head = link, tables, head
        self._consistency = consistency

    def people(self, ids: Sequence[int] | None = None, *, template: bool = False) -> Iterator[PersonRow]:
        """Everybody, or those of these ids who are there, by id."""
        fields = [*PERSON_FIELDS, *(["vector"] if template else [])]
        yield from self._read(self._people_rows("id", ids, fields))

    def named(self, names: Collection[str], *, template: bool = False) -> dict[str, PersonRow]:
        """Those of these names who are there."""
        fields = [*PERSON_FIELDS, *(["vector"] if template else [])]
        wanted = set(names)
        keys = [key_of(name) for name in wanted]
        found = {p.name: p for p in self._read(self._people_rows("key", keys, fields)) if p.name in wanted}
        j = self.head.journal
        if j.get("op") == "rename" and j["name"] in wanted:  # its row may still have the old name
            found |= {p.name: p for p in self.people([j["person"]], template=template)}
        return found

    def one(self, who: str | int, *, template: bool = False) -> PersonRow:
        """One person by name or number.

        Raises:
            UnknownPersonError: There is no such person.
        """
        location = self.link.location
        if isinstance(who, str):
            person = self.named([who], template=template).get(who)
            if person is None:
                if not self.head.space:
                    raise unknown_name(who, [], location)
                count = self.link.count(self.tables.people, "id >= 0")
                if count > _SUGGEST:
                    raise UnknownPersonError(
                        f"There is no {who!r} in {location}, which holds {count} people."
                    )
                raise unknown_name(who, (p.name for p in self.people()), location)
            return person
        for person in self.people([who], template=template):
            return person
        raise UnknownPersonError(f"There is nobody with number {who} in {location}.")

    def samples(self, people: Iterable[int] | None = None, *, vectors: bool = False) -> Iterator[SampleRow]:
        """All samples, or those of these people, by id."""
        wanted = None
        if people is not None:
            merged = [self.head.journal["from"]] if self.head.journal.get("op") == "merge" else []
            wanted = [*people]
            wanted += [p for p in merged if self.head.owner(p) in wanted]
        yield from self._samples("person", wanted, vectors)

    def samples_by_id(self, ids: Sequence[int], *, vectors: bool = False) -> Iterator[SampleRow]:
        """Those of these samples that are there."""
        yield from self._samples("id", ids, vectors)

    def known(self, known: Collection[str]) -> dict[str, int]:
        """Whose the samples are that are recognised by one of these."""
        if not self.head.space:
            return {}
        keys = [key_of(k) for k in known]
        rows = self._within(self.tables.samples, "key", keys, SAMPLE_FIELDS)
        return {s.known: s.person for s in self._shown(rows)}

    def photo(self, sample: int) -> bytes | None:
        """The photo kept with a sample, or None."""
        if not self.head.space or not any(s.has_photo for s in self.samples_by_id([sample])):
            return None
        first = sample * PARTS
        where = f"id >= {first} and id < {first + PARTS}"
        return read_photo(self.link.rows(self.tables.photos, where, ["part"], self._consistency))

    def _samples(self, field: str, values: Sequence[int] | None, vectors: bool) -> Iterator[SampleRow]:
        if not self.head.space:
            return
        fields = [*SAMPLE_FIELDS, *(["vector"] if vectors else [])]
        where = f"id < {self.head.next_sample}"
        rows = (
            self.link.rows(self.tables.samples, where, fields, self._consistency)
            if values is None
            else self._within(self.tables.samples, field, values, fields)
        )
        yield from self._shown(rows)

    def _shown(self, rows: Iterable[Row]) -> Iterator[SampleRow]:
        for row in rows:
            sample = read_sample(row)
            if not self.head.hides_sample(sample.id, sample.person):
                yield replace(sample, person=self.head.owner(sample.person))

    @cached_property
    def _joined(self) -> dict[int, frozenset[str]]:
        """Groups of people whose rows do not tell them yet: their newest samples do."""
        first, stop = self.head.journal["samples"]
        found: dict[int, frozenset[str]] = {}
        where = f"id >= {first} and id < {stop}"
        for row in self.link.rows(self.tables.samples, where, SAMPLE_FIELDS, self._consistency):
            sample = read_sample(row)
            found[sample.person] = found.get(sample.person, frozenset()) | sample.groups
        return found

    def _people_rows(self, field: str, values: Sequence[Any] | None, fields: Sequence[str]) -> Iterator[Row]:
        if not self.head.space:
            return iter(())
        if values is None:
            where = f"id < {self.head.next_person}"
            return self.link.rows(self.tables.people, where, fields, self._consistency)
        return self._within(self.tables.people, field, values, fields)

    def _within(self, table: str, field: str, values: Sequence[Any], fields: Sequence[str]) -> Iterator[Row]:
        return self.link.within(table, field, values, fields, self._consistency)

    def _read(self, rows: Iterable[Row]) -> Iterator[PersonRow]:
        j = self.head.journal
        for row in rows:
            person = read_person(row)
            if self.head.hides_person(person.id):
                continue
            if j.get("op") == "rename" and j["person"] == person.id:
                person = replace(person, name=j["name"])
            if j.get("op") in {"groups", "rename"}:
                groups = dict(j.get("people", [])).get(person.id)
                person = person if groups is None else replace(person, groups=frozenset(groups))
            if j.get("op") == "settle":
                person = replace(person, groups=person.groups | self._joined.get(person.id, frozenset()))
            if j.get("op") == "merge" and j["into"] == person.id:
                person = replace(person, groups=person.groups | frozenset(j["groups"]))
            yield person
