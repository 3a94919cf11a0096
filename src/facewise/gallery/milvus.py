"""A gallery on Milvus: many machines, or one Milvus Lite file.

How a change is whole or absent without transactions is in `facewise.gallery.milvus_head`. Encryption with a
key file is SQLite's only: a server's disks and connections are encrypted by whoever runs it. So is deletion
that leaves no byte in any file: Milvus marks rows as deleted and drops them when it next compacts their
segment, on a server after its own schedule. Where the bytes must go at once, keep the gallery in SQLite.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError, NameTakenError, UnknownPersonError
from facewise.gallery import milvus_reads as reads
from facewise.gallery.listing import page_of
from facewise.gallery.milvus_changes import Addition, Finish
from facewise.gallery.milvus_check import problems
from facewise.gallery.milvus_content import Content, Tables
from facewise.gallery.milvus_head import Head, Heads, Lease
from facewise.gallery.milvus_index import EXACT, index_named
from facewise.gallery.milvus_link import Link
from facewise.gallery.milvus_rows import (
    group_keys,
    head_schema,
    person_schema,
    photo_schema,
    sample_schema,
)
from facewise.gallery.milvus_search import MilvusSearcher
from facewise.gallery.names import clean_group
from facewise.gallery.notes import Noted, Noting, Tell
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.gallery.searcher import Searcher
from facewise.gallery.store import Change, Keys, Loaded, refuse_foreign
from facewise.types import FloatArray
from facewise.vault import Vault

_T = TypeVar("_T")
_ATTEMPTS = 5
_JOINED = 1  # people a journal entry: with the most and longest groups it fits into a row
_locks: dict[str, threading.RLock] = {}


class MilvusStore:
    """A gallery in the collections `facewise_{name}_…` of a Milvus server, or of a Milvus Lite file.

    Any thread may use it, and on a server any number of processes: one writes at a time.

    Args:
        link: The server.
        name: Of the gallery on it: letters, digits and underscores.
        create: Whether a missing gallery is made.
        index: See `facewise.gallery.milvus_index`; None is the one it has, or for a new gallery `"flat"`.
        consistency: Milvus's level for searching and reading: `"Strong"` sees everything that was written,
            `"Bounded"` waits less and may be a few seconds behind. What is written is always read strongly.

    Attributes:
        location: The gallery's URI without credentials.
        cipher: None: see above.

    Raises:
        GalleryError: The gallery is missing, of a newer Facewise, or the server does not answer.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        *,
        create: bool = True,
        index: str | None = None,
        consistency: str = "Strong",
    ) -> None:
        self.location = link.location
        self.cipher: Vault | None = None
        self._link = link
        self._tables = Tables.of(name)
        self._index = index or EXACT
        self._consistency = consistency
        self._heads = Heads(link, self._tables.head)
        self._lease = None if link.lite else Lease(link, self._tables.head)
        # Two stores of one process at one Milvus Lite file are two writers too.
        self._lock = _locks.setdefault(f"{link.location} {name}", threading.RLock())
        self._closed = False
        self._noting, self._notes = Noting(), list[str]()
        self._open(create, index)

    def _open(self, create: bool, index: str | None) -> None:
        vectors = index_named(self._index, self._link.lite)
        with self._lock:
            if not self._link.has(self._tables.head):
                if not create:
                    raise GalleryError(f"There is no gallery at {self.location}.")
                flat = index_named(EXACT, self._link.lite)
                self._link.create(self._tables.head, head_schema(self._link.types), flat)
                self._heads.write(Head(1))
            self._link.load(self._tables.head)
            head = self._heads.read()
            if head.journal:  # a writer crashed, or is at it just now: then this waits
                with self._writing() as head:
                    pass
            if head.space:
                for table in self._tables.content:
                    self._link.load(table)
                if index is not None:
                    for table in (self._tables.samples, self._tables.people):
                        self._link.reindex(table, vectors)

    def close(self) -> None:
        """Ends the use of the server."""
        with self._lock:
            self._closed = True
            self._link.close()

    @contextmanager
    def _writing(self) -> Iterator[Head]:
        """One writer at a time, at a head without a change to finish."""
        with self._lock:
            self._check_open()
            if self._lease is not None:
                self._lease.take()
            try:
                head = self._heads.read()
                yield self._finished(head, Finish(self._link, self._tables, self._alive))
            finally:
                if self._lease is not None:
                    with suppress(GalleryError):  # then it goes stale
                        self._lease.give()

    def _alive(self) -> None:
        if self._lease is not None:
            self._lease.beat()

    def _finished(self, head: Head, finish: Finish) -> Head:
        if not head.journal:
            return head
        finish.do(head)
        self._alive()
        done = replace(head, number=head.number + 1, journal={})
        self._heads.write(done)
        return done

    def _do(self, head: Head, finish: Finish, journal: dict[str, Any]) -> Head:
        """Decides on a change by writing it into the head, then does it."""
        planned = replace(head, number=head.number + 1, journal=journal)
        self._alive()
        self._heads.write(planned)
        return self._finished(planned, finish)

    def _journalled(self, head: Head, **journal: object) -> tuple[Finish, Change]:
        finish = Finish(self._link, self._tables, self._alive)
        done = self._do(head, finish, journal)
        change = Change(head.number, done.number, gone=tuple(finish.gone), moved=finish.moved)
        self._note(change)
        return finish, change

    def _content(self, head: Head) -> Content:
        return Content(self._link, self._tables, head)

    def _read(self, use: Callable[[Content], _T]) -> _T:
        """Reads at one moment: again where another process has changed something meanwhile."""
        self._check_open()
        for _ in range(_ATTEMPTS):
            head = self._heads.read(self._consistency)
            found = use(Content(self._link, self._tables, head, self._consistency))
            if self._heads.read(self._consistency).number == head.number:
                return found
        with self._writing() as head:
            return use(self._content(head))

    def _check_open(self) -> None:
        if self._closed:
            raise GalleryError(f"The gallery {self.location} cannot be used any more: it is closed.")

    def searcher(self) -> Searcher:
        """What searches it, on the server."""
        return MilvusSearcher(self._read, self._index)

    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        self._check_open()
        return self._heads.read().space

    def version(self) -> Hashable:
        """The number of changes."""
        self._check_open()
        return self._heads.read(self._consistency).number

    def state(self) -> str | None:
        """None: a search runs on the server and keeps nothing beside it."""
        return None

    def descends_from(self, state: str) -> bool:  # noqa: ARG002
        """False, see `state`."""
        return False

    def keys(self) -> Keys:
        """All samples but their vectors."""
        return self._read(reads.keys)

    def vectors(self, samples: NDArray[np.int64]) -> FloatArray:
        """`(n, D)` the vectors of these samples, in this order."""
        return self._read(partial(reads.vectors, samples=samples, location=self.location))

    def load(self) -> Loaded:
        """All samples, consistent with each other: for galleries that fit into memory."""
        return self._read(reads.load)

    def add(
        self,
        batches: Sequence[tuple[str, Sequence[Sample]]],
        space: Space,
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> Change:
        """Stores samples under names, all or nothing; see `Store.add`."""
        clean = {name: [clean_group(g) for g in wanted] for name, wanted in (groups or {}).items()}
        with self._writing() as head:
            if head.space is not None:
                refuse_foreign(self.location, head.space, space)
            plan = Addition(self._content(head), batches, clean)
            for person in (*plan.people.values(), *plan.joining.values()):
                group_keys(person.groups)  # refuses too many, before anything is written
            done = self._store(head, plan, space) if plan.samples else head
            joining = [(p.id, sorted(p.groups)) for p in plan.joining.values() if p.id not in plan.people]
            for at in range(0, len(joining), _JOINED):
                finish = Finish(self._link, self._tables, self._alive)
                part = joining[at : at + _JOINED]
                done = self._do(done, finish, {"op": "groups", "people": part})
        change = Change(head.number, done.number, plan.added)
        if plan.samples or joining or any(added.duplicates for added in plan.added):
            self._note(change)
        return change

    def _store(self, head: Head, plan: Addition, space: Space) -> Head:
        """Writes an addition under ids that nobody sees, then the head that shows them."""
        self._heads.write(replace(head, number=head.number + 1, journal={"op": "add"}))
        try:
            if head.space is None:
                self._make_tables(space.size)
            plan.write(self._link, self._tables, self._alive)
            self._alive()
            written = plan.head(space)
            self._heads.write(written)
        except BaseException:
            with suppress(GalleryError):  # then the next writer does it
                self._finished(self._heads.read(), Finish(self._link, self._tables, self._alive))
            raise
        return self._finished(written, Finish(self._link, self._tables, self._alive))

    def _make_tables(self, size: int) -> None:
        """The collections that know a vector's size; those of a first enrolment that failed go first."""
        vectors, flat = index_named(self._index, self._link.lite), index_named(EXACT, self._link.lite)
        types, tables = self._link.types, self._tables
        self._link.drop([table for table in tables.content if self._link.has(table)])
        self._link.create(tables.people, person_schema(types, size), vectors, ["key"])
        self._link.create(tables.samples, sample_schema(types, size), vectors, ["key", "person"])
        self._link.create(tables.photos, photo_schema(types), flat)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self._read(reads.people)

    def page(
        self, offset: int, limit: int, search: str | None = None, group: str | None = None
    ) -> tuple[list[Person], int]:
        """A page of the people, and how many there are on all; reads everybody, as Milvus keeps no order."""
        return page_of(self.people(), offset, limit, search, group)

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        return self._read(partial(reads.detail, who=name))

    def person_by_id(self, person: int) -> PersonDetail:
        """One person with all samples, by number."""
        return self._read(partial(reads.detail, who=person))

    def photo(self, sample: int) -> bytes | None:
        """The JPEG kept with a sample, or None."""
        return self._read(lambda content: content.photo(sample))

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        return self._read(reads.samples)

    def remove(self, name: str) -> Change:
        """Deletes a person from every answer; Milvus's files hold their bytes until it compacts them."""
        with self._writing() as head:
            person = self._content(head).one(name).id
            return self._journalled(head, op="remove", person=person)[1]

    def rename(self, old: str, new: str, groups: Iterable[str] | None = None) -> Change:
        """Gives a person another name that nobody has, and other groups; see `Store.rename`."""
        if groups is not None:
            groups = sorted({clean_group(group) for group in groups})
            group_keys(groups)
        with self._writing() as head:
            content = self._content(head)
            person = content.one(old).id
            if old == new and groups is None:
                change = Change(head.number, head.number)
                self._note(change)
                return change
            if old != new and content.named([new]):
                raise NameTakenError(f"There is already a {new!r} in {self.location}: merge the two instead.")
            people = [] if groups is None else [(person, groups)]
            return self._journalled(head, op="rename", person=person, name=new, people=people)[1]

    def merge(self, into: str, from_: str) -> tuple[int, Change]:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`."""
        with self._writing() as head:
            content = self._content(head)
            kept, gone = content.one(into), content.one(from_)
            if kept.id == gone.id:
                raise GalleryError(f"{into!r} cannot be merged with itself.")
            groups = sorted(kept.groups | gone.groups)
            group_keys(groups)
            finish, change = self._journalled(
                head, **{"op": "merge", "into": kept.id, "from": gone.id, "groups": groups}
            )
            return finish.moved, change

    def set_groups(self, name: str, groups: Iterable[str]) -> Change:
        """Puts a person in these groups and no others."""
        wanted = sorted({clean_group(group) for group in groups})
        group_keys(wanted)
        with self._writing() as head:
            person = self._content(head).one(name).id
            return self._journalled(head, op="groups", people=[(person, wanted)])[1]

    def remove_sample(self, sample: int) -> Change:
        """Deletes one sample, not a person's last; see `remove`."""
        with self._writing() as head:
            content = self._content(head)
            found = next(content.samples_by_id([sample]), None)
            if found is None:
                raise UnknownPersonError(f"There is no sample {sample} in {self.location}.")
            if sum(1 for _ in content.samples([found.person])) == 1:
                name = content.one(found.person).name
                raise GalleryError(f"Sample {sample} is the only one of {name!r}: remove the person instead.")
            return self._journalled(head, op="forget", person=found.person, sample=sample)[1]

    def advice(self) -> list[str]:
        """Nothing: who may read and write is the server's business."""
        return []

    def noting(self, tell: Tell) -> AbstractContextManager[Noted]:
        """Within, the next change of the calling thread is noted.

        Milvus knows no transactions: the note is in this process's memory, from when the change is made.
        """
        return self._noting.by(tell)

    def _note(self, change: Change) -> None:
        noted = self._noting.now
        if noted is not None and not noted.made:
            with self._lock:
                self._notes.append(noted.tell(change))
            noted.made = True

    def take_notes(self, record: Callable[[Sequence[str]], None]) -> None:
        """Hands over all notes, and forgets them where `record` returns; see `Store.take_notes`."""
        with self._lock:
            if self._notes:
                record(tuple(self._notes))
                self._notes.clear()

    def check(self) -> list[str]:
        """What is wrong with the gallery, a sentence each; empty if nothing is."""
        with self._writing() as head:
            return problems(self._content(head))
