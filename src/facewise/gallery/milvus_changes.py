"""Changes of a Milvus gallery, each so ordered that a crash at any point leaves it whole.

What adds writes rows under ids that the head does not reach yet; a new head then reaches them. What deletes
or moves is `finish`: done again from its start after a crash, it comes to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from facewise.gallery.milvus_content import Content, Tables
from facewise.gallery.milvus_head import Head
from facewise.gallery.milvus_link import Link, Row
from facewise.gallery.milvus_rows import (
    PARTS,
    PersonRow,
    SampleRow,
    known_by,
    new_sample,
    photo_rows,
    read_person,
    read_sample,
    template_of,
)
from facewise.gallery.milvus_rows import PERSON_FIELDS as _PERSON
from facewise.gallery.milvus_rows import SAMPLE_FIELDS as _SAMPLE
from facewise.gallery.results import Sample, Space
from facewise.gallery.schema import now
from facewise.gallery.store import Added


class Addition:
    """What one `add` stores, worked out before anything is written.

    Attributes:
        people: Those who get samples, as they are then.
        joining: Others who get groups, as they are then.
        samples: New rows.
        photos: New rows.
        added: What became of each batch.

    Args:
        content: What is there.
        batches: Names with their samples.
        groups: By name, groups to join.
    """

    def __init__(
        self,
        content: Content,
        batches: Sequence[tuple[str, Sequence[Sample]]],
        groups: Mapping[str, Iterable[str]],
    ) -> None:
        self.first = content.head
        self.next_person, self.next_sample = self.first.next_person, self.first.next_sample
        self.people: dict[int, PersonRow] = {}
        self.joining: dict[int, PersonRow] = {}
        self.samples: list[SampleRow] = []
        self.photos: list[Row] = []
        self._owners = content.known({known_by(s) for _, samples in batches for s in samples})
        self._named = content.named({name for name, _ in batches})
        missing = set(self._owners.values()) - {p.id for p in self._named.values()}
        self._names = {p.id: p.name for p in content.people(sorted(missing))}
        self._names |= {p.id: p.name for p in self._named.values()}
        self.added = tuple(self._batch(name, samples, groups.get(name, ())) for name, samples in batches)

    def _batch(self, name: str, samples: Sequence[Sample], groups: Iterable[str]) -> Added:
        known = self._named.get(name)
        person = None if known is None else known.id
        joined = frozenset(groups) | (known.groups if known else frozenset())
        stored, duplicates, taken, numbers = [], [], [], []
        for i, sample in enumerate(samples):
            owner = self._owners.get(known_by(sample))
            if owner is not None and owner == person:
                duplicates.append(i)
            elif owner is not None:
                taken.append((i, self._names[owner]))
            else:
                created = sample.created or now()
                if person is None:
                    person, self.next_person = self.next_person, self.next_person + 1
                    self._names[person] = name
                    known = PersonRow(person, name, created, joined, sample.embedding)
                row = new_sample(self.next_sample, person, sample, created, joined)
                self.next_sample += 1
                self.samples.append(row)
                self._owners[row.known] = person
                if sample.photo is not None:
                    self.photos += photo_rows(row.id, sample.photo)
                stored.append(i)
                numbers.append(row.id)
        if known is not None and stored:
            self._named[name] = self.people[known.id] = replace(known, groups=joined)
        elif known is not None and joined != known.groups:
            self._named[name] = self.joining[known.id] = replace(known, groups=joined)
        return Added(person, tuple(stored), tuple(duplicates), tuple(taken), tuple(numbers))

    def write(self, link: Link, tables: Tables, alive: Callable[[], None]) -> None:
        """Writes all rows; none of them counts yet."""
        new = {i: p for i, p in self.people.items() if i >= self.first.next_person}
        vectors: dict[int, list[SampleRow]] = {}
        for sample in self.samples:
            vectors.setdefault(sample.person, []).append(sample)
        for collection, rows in (
            (tables.photos, self.photos),
            (tables.samples, [s.row() for s in self.samples]),
            (
                tables.people,
                [
                    replace(p, template=template_of([s.vector for s in vectors[i]])).row()
                    for i, p in new.items()
                ],
            ),
        ):
            for at in range(0, len(rows), 1000):
                alive()
                link.insert(collection, rows[at : at + 1000])

    def head(self, space: Space) -> Head:
        """The head that makes it count; people who were there before have changes to finish."""
        old = sorted(i for i in self.people if i < self.first.next_person)
        return Head(
            self.first.number + 2,
            space,
            self.next_person,
            self.next_sample,
            {"op": "settle", "samples": [self.first.next_sample, self.next_sample]} if old else {},
        )


class Finish:
    """Does what the journal of a head says, from the start or from wherever a crash left it.

    Args:
        link: The server.
        tables: The gallery's collections.
        alive: Called before each step.

    Attributes:
        gone: Ids of samples deleted.
        moved: How many samples were moved to another person.
    """

    def __init__(self, link: Link, tables: Tables, alive: Callable[[], None]) -> None:
        self._link, self._tables, self._alive = link, tables, alive
        self.gone: list[int] = []
        self.moved = 0

    def do(self, head: Head) -> None:
        """All of it, and again with the same end."""
        j = head.journal
        match j.get("op"):
            case "add":
                self._undo(head)
            case "settle":
                self._settle(*j["samples"])
            case "remove":
                self._erase(self._samples(j["person"]))
                self._link.delete(self._tables.people, [j["person"]])
            case "forget":
                self._erase([s for s in self._samples(j["person"]) if s.id == j["sample"]])
                self._renew(j["person"], lambda person: person)
            case "rename":
                self._renew(j["person"], lambda person: replace(person, name=j["name"]))
                self._regroup_all(j.get("people", []))
            case "groups":
                self._regroup_all(j["people"])
            case "merge":
                self._merge(j["into"], j["from"], frozenset(j["groups"]))

    def _undo(self, head: Head) -> None:
        """Deletes what a crashed enrolment had written."""
        for collection, least in (
            (self._tables.photos, head.next_sample * PARTS),
            (self._tables.samples, head.next_sample),
            (self._tables.people, head.next_person),
        ):
            self._alive()
            if self._link.has(collection):  # the first enrolment may have crashed between two of them
                self._link.delete_where(collection, f"id >= {least}")

    def _settle(self, first: int, stop: int) -> None:
        """The groups and templates of people who got samples."""
        where = f"id >= {first} and id < {stop}"
        joined: dict[int, frozenset[str]] = {}
        for row in self._link.rows(self._tables.samples, where, _SAMPLE):
            sample = read_sample(row)
            joined[sample.person] = joined.get(sample.person, frozenset()) | sample.groups
        for person, groups in joined.items():
            self._regroup(person, groups)

    def _regroup_all(self, people: Sequence[tuple[int, Sequence[str]]]) -> None:
        for person, groups in people:
            self._regroup(person, frozenset(groups))

    def _regroup(self, person: int, groups: frozenset[str]) -> None:
        self._alive()
        behind = [s for s in self._samples(person) if s.groups != groups]
        self._link.upsert(self._tables.samples, [replace(s, groups=groups).row() for s in behind])
        self._renew(person, lambda row: replace(row, groups=groups))

    def _merge(self, into: int, from_: int, groups: frozenset[str]) -> None:
        kept, others = self._samples(into), self._samples(from_)
        known = {s.known for s in kept}
        self._erase([s for s in others if s.known in known])
        moving = [s for s in others if s.known not in known]
        self._alive()
        self._link.upsert(
            self._tables.samples, [replace(s, person=into, groups=groups).row() for s in moving]
        )
        self.moved += len(moving)
        self._regroup(into, groups)
        self._link.delete(self._tables.people, [from_])

    def _erase(self, samples: Sequence[SampleRow]) -> None:
        self._alive()
        for sample in samples:
            if sample.has_photo:
                first = sample.id * PARTS
                self._link.delete_where(self._tables.photos, f"id >= {first} and id < {first + PARTS}")
        ids = [s.id for s in samples]
        self._link.delete(self._tables.samples, ids)
        self.gone += ids

    def _renew(self, person: int, change: Callable[[PersonRow], PersonRow]) -> None:
        """Writes a person's row again, with the template of the samples that are there."""
        self._alive()
        vectors = [s.vector for s in self._samples(person)]
        for row in self._link.within(self._tables.people, "id", [person], _PERSON):
            changed = replace(change(read_person(row)), template=template_of(vectors))
            self._link.upsert(self._tables.people, [changed.row()])

    def _samples(self, person: int) -> list[SampleRow]:
        rows = self._link.within(self._tables.samples, "person", [person], [*_SAMPLE, "vector"])
        return [read_sample(row) for row in rows]
