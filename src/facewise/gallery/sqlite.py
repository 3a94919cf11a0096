"""A gallery in one SQLite file.

Write-ahead log, full sync: a call that returned has its change on disk, whole; a process killed at any moment
leaves the file as it was before its open transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError, NameTakenError, UnknownPersonError, UnusableGalleryError
from facewise.gallery import listing, notes
from facewise.gallery.beside import refuse_key_beside
from facewise.gallery.check import advice, problems
from facewise.gallery.counter import Moment, counter_of, moment_of
from facewise.gallery.listing import groups_of, ids_of, names_of
from facewise.gallery.names import unknown_name
from facewise.gallery.notes import Noted, Noting, Tell
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.gallery.rows import SELECT, Content, Writer, join, regroup, stored
from facewise.gallery.sqlite_file import ReadOnly, connect, stamp, told
from facewise.gallery.store import Change, Keys, Loaded, refuse_foreign
from facewise.gallery.transactions import Changing, join_all, new_state
from facewise.types import FloatArray
from facewise.vault import key_file_of, user_key


class SqliteStore:
    """A gallery in one SQLite file, for one machine: many reading processes, one writing at a time.

    Args:
        path: The file.
        create: Whether a missing file is made.
        key_file: The user's key (see `facewise.vault`): a new gallery is encrypted with it, an encrypted one
            opened. None is the file that the environment names by `FACEWISE_KEY_FILE`, or no key.
        counter_file: Where the number of changes is kept too (see `facewise.gallery.counter`); None is the
            file that the environment names by `FACEWISE_COUNTER_FILE`, or none.

    Attributes:
        location: The path, for people.
        cipher: What seals vectors, photos and what is kept beside them; None without a key.

    Raises:
        GalleryError: The file is missing, no gallery, of a newer Facewise, damaged or in use; the key is
            not its own, or it has none.
        SettingError: The key file is missing or none, or has the name of a file that lies beside the gallery.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        key_file: str | os.PathLike[str] | None = None,
        counter_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.location = str(path)
        self._lock = threading.RLock()
        self._counter = counter_of(path, counter_file)
        refuse_key_beside(path, [key_file_of(key_file)])
        self._path, self._key = path, user_key(key_file)
        self._noting = Noting()
        self._uncounted = 0  # of `total_changes`, those that are no change of the content
        self._open(create=create)

    def _open(self, *, create: bool = False) -> None:
        self._stamp = stamp(self._path)
        self._db, self.cipher = connect(self._path, create=create, key=self._key)
        self._content = Content(self._db, self.cipher)
        if self._counter is not None:
            try:
                self._counter.check(self.location, self._moment)
            except BaseException:
                self._db.close()
                raise

    def _moment(self) -> Moment:
        with self._transaction(), self._held():
            self._content.hold_meta()
            return moment_of(self._db)

    def _look(self) -> None:
        """Opens a file that can only be read anew where others have written it."""
        unseen = isinstance(self._db, ReadOnly) and not self._db.in_transaction
        if unseen and stamp(self._path) != self._stamp:
            self._db.close()
            self._open()

    def close(self) -> None:
        """Ends the use of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self, mode: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        with self._lock, told(self.location):
            self._look()
            self._db.execute(f"BEGIN {mode}")
            try:
                if mode != "IMMEDIATE":
                    yield self._db
                    self._db.execute("COMMIT")
                    return
                with self._held():
                    self._content.begin()
                before = None if self._counter is None else moment_of(self._db)
                yield self._db
                self._content.settle()
                with self._noted(before):
                    self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has already rolled back
                    with suppress(sqlite3.Error):  # what went wrong first is what is told
                        self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _noted(self, before: Moment | None) -> Iterator[None]:
        """What is committed within is noted in the counter file, where there is one."""
        after = None if before is None else moment_of(self._db)
        if self._counter is None or before is None or after is None or after == before:
            yield
            return
        with self._counter.step(self.location, before, after):
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        """What does not open, or is not what was sealed, is told as damage of this gallery."""
        try:
            yield
        except GalleryError as error:
            raise UnusableGalleryError(
                f"The gallery {self.location} is damaged: {error} Run its check."
            ) from error

    @contextmanager
    def _change(self) -> Iterator[Changing]:
        with self._transaction("IMMEDIATE") as db:
            done = Changing(db, self._content, self.version())
            new_state(db)
            yield done
            self._content.settle()
            self._noting.keep(db, done.change())
            done.after = self.version()
        self._noting.made()

    @contextmanager
    def _erasure(self) -> Iterator[Changing]:
        """A change whose deleted bytes are in no file: they are wiped in their pages, and here in the log."""
        with self._change() as done:
            yield done
        try:
            with self._lock, told(self.location):
                busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            why = "another process is still reading it"
        except GalleryError as error:  # the change itself is done: a full disk must not say that it is not
            busy, why = True, str(error.__cause__)
        if busy:
            raise GalleryError(
                f"This is removed from the gallery {self.location}, but its bytes stay in "
                f"{self.location}-wal until the next removal or opening, because {why}."
            )

    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        with self._lock, told(self.location):
            if not self._db.in_transaction:  # which has done so, or is to seal another
                with self._held():
                    self._content.hold_meta()
            row = self._db.execute("SELECT fingerprint, model, size, flip FROM meta").fetchone()
        if row is None:
            raise GalleryError(
                f"The gallery {self.location} is damaged (no meta row): restore it from a copy."
            )
        return None if row[0] is None else Space(row[0], row[1], row[2], bool(row[3]))

    def version(self) -> Hashable:
        """Changes with others' commits (`data_version`, `stamp`) and with own writes (`total_changes`)."""
        with self._lock, told(self.location):
            self._look()
            seen = self._stamp if isinstance(self._db, ReadOnly) else ()
            changes = self._db.total_changes - self._uncounted
            return (self._db.execute("PRAGMA data_version").fetchone()[0], changes, seen)

    def state(self) -> str | None:
        """The content's random token; see `Store.state`."""
        with self._lock, told(self.location):
            return str(self._db.execute("SELECT state FROM meta").fetchone()[0])

    def descends_from(self, state: str) -> bool:
        """Whether `state` is the content's token or one it once had."""
        with self._lock, told(self.location):
            once = self._db.execute("SELECT 1 FROM states WHERE token = ?", (state,)).fetchone()
            return once is not None or state == self.state()

    def keys(self) -> Keys:
        """All samples but their vectors, consistent with each other."""
        with self._transaction() as db:
            with self._held():
                self._content.hold()
            names, groups = names_of(db), groups_of(db)
            version, state, space = self.version(), self.state(), self.space()
            people, samples = ids_of(db)
        return Keys(version, state, names, groups, people, samples, space.size if space else 0)

    def vectors(self, samples: NDArray[np.int64]) -> FloatArray:
        """`(n, D)` the vectors of these samples, in this order."""
        with self._transaction():
            return self._vectors(np.asarray(samples).tolist(), self.space())

    def _vectors(self, samples: list[int], space: Space | None) -> FloatArray:
        with self._held():
            try:
                return self._content.vectors(samples, space.size if space else 0)
            except KeyError as error:
                sample = error.args[0]
        raise UnknownPersonError(f"There is no sample {sample} in {self.location}.")

    def load(self) -> Loaded:
        """All samples, consistent with each other."""
        with self._transaction() as db:
            with self._held():
                self._content.hold()
            names, groups = names_of(db), groups_of(db)
            version, space = self.version(), self.space()
            people, samples = ids_of(db)
            foreign = db.execute(
                "SELECT id FROM samples WHERE fingerprint IS NOT ? LIMIT 1",
                (space.fingerprint if space else None,),
            ).fetchone()
            if foreign is not None:
                raise UnusableGalleryError(
                    f"Sample {foreign[0]} of the gallery {self.location} is damaged: run its check."
                )
            rows = self._vectors(samples.tolist(), space)
        return Loaded(version, names, people, rows, samples, groups)

    def add(
        self,
        batches: Sequence[tuple[str, Sequence[Sample]]],
        space: Space,
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> Change:
        """Stores samples under names, all in one transaction; see `Store.add`."""
        with self._transaction("IMMEDIATE") as db:
            before, bound = self.version(), self.space()
            if bound is not None:
                refuse_foreign(self.location, bound, space)
            writer = Writer(db, self._content, space)
            with self._held():
                added = tuple(writer.add(name, samples) for name, samples in batches)
            joined = join_all(db, batches, added, groups or {})
            if joined or any(a.stored for a in added):
                new_state(db)
                if bound is None and any(a.stored for a in added):
                    db.execute(
                        "UPDATE meta SET fingerprint = ?, model = ?, size = ?, flip = ?", astuple(space)
                    )
            self._content.settle()
            done = joined or any(a.stored or a.duplicates for a in added)
            if done:
                self._noting.keep(db, Change(before, before, added))
            after = self.version()
        if done:
            self._noting.made()
        return Change(before, after, added)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._transaction() as db:
            with self._held():
                self._content.hold()
            return listing.people(db)

    def page(
        self, offset: int, limit: int, search: str | None = None, group: str | None = None
    ) -> tuple[list[Person], int]:
        """A page of the people, and how many there are on all."""
        with self._transaction() as db, self._held():
            found, total = listing.page(db, offset, limit, search, group)
            self._content.hold_people(person.id for person in found)
        return found, total

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        with self._transaction() as db:
            return self._detail(db, self._id(name))

    def person_by_id(self, person: int) -> PersonDetail:
        """One person with all samples, by number."""
        with self._transaction() as db:
            return self._detail(db, person)

    def _detail(self, db: sqlite3.Connection, person: int) -> PersonDetail:
        row = db.execute("SELECT name, created FROM people WHERE id = ?", (person,)).fetchone()
        if row is None:
            raise UnknownPersonError(f"There is nobody with number {person} in {self.location}.")
        samples = db.execute(f"{SELECT} WHERE person_id = ? ORDER BY samples.id", (person,)).fetchall()
        with self._held():
            self._content.hold_people([person])
            self._content.hold_owner(person, [sample[0] for sample in samples])
        if self._content.seals is not None:  # whose they are is sealed with them
            self._vectors([sample[0] for sample in samples], self.space())
        groups = db.execute("SELECT name FROM groups WHERE person_id = ? ORDER BY name", (person,))
        return PersonDetail(
            row[0], row[1], tuple(stored(one) for one in samples), person, tuple(g for (g,) in groups)
        )

    def photo(self, sample: int) -> bytes | None:
        """The JPEG kept with a sample, or None."""
        with self._transaction(), self._held():
            return self._content.photo(sample)

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        with self._transaction() as db:
            with self._held():
                self._content.hold()
            found = [stored(row) for row in db.execute(f"{SELECT} ORDER BY name, samples.id")]
            rows = self._vectors([sample.id for sample in found], self.space())
        return list(zip(found, rows, strict=True))

    def remove(self, name: str) -> Change:
        """Deletes a person; no byte of what went stays."""
        with self._erasure() as done:
            number = self._id(name)
            with self._held():
                done.wipe("person_id = ?", (number,), number)
            done.db.execute("DELETE FROM people WHERE id = ?", (number,))
        return done.change()

    def rename(self, old: str, new: str, groups: Iterable[str] | None = None) -> Change:
        """Gives a person another name that nobody has, and other groups; see `Store.rename`."""
        with self._erasure() as done:
            number = self._id(old)
            if old != new:
                if done.db.execute("SELECT 1 FROM people WHERE name = ?", (new,)).fetchone():
                    raise NameTakenError(
                        f"There is already a {new!r} in {self.location}: merge the two instead."
                    )
                done.db.execute("UPDATE people SET name = ? WHERE id = ?", (new, number))
            if groups is not None:
                regroup(done.db, number, groups)
        return done.change()

    def merge(self, into: str, from_: str) -> tuple[int, Change]:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`."""
        with self._erasure() as done:
            db, kept, gone = done.db, self._id(into), self._id(from_)
            if kept == gone:
                raise GalleryError(f"{into!r} cannot be merged with itself.")
            with self._held():
                done.wipe(
                    "person_id = ? AND source_hash IN (SELECT source_hash FROM samples WHERE person_id = ?)",
                    (gone, kept),
                    gone,
                )
                moved = self._content.move(kept, gone)
            done.moved = moved
            theirs = db.execute("SELECT name FROM groups WHERE person_id = ?", (gone,)).fetchall()
            join(db, kept, [group for (group,) in theirs])
            db.execute("DELETE FROM people WHERE id = ?", (gone,))
        return moved, done.change()

    def set_groups(self, name: str, groups: Iterable[str]) -> Change:
        """Puts a person in these groups and no others."""
        with self._change() as done:
            regroup(done.db, self._id(name), groups)
        return done.change()

    def remove_sample(self, sample: int) -> Change:
        """Deletes one sample, not a person's last; no byte of it stays."""
        with self._erasure() as done:
            row = done.db.execute(
                "SELECT name, (SELECT count(*) FROM samples AS s WHERE s.person_id = people.id) "
                "FROM samples JOIN people ON people.id = person_id WHERE samples.id = ?",
                (sample,),
            ).fetchone()
            if row is None:
                raise UnknownPersonError(f"There is no sample {sample} in {self.location}.")
            if row[1] == 1:
                raise GalleryError(
                    f"Sample {sample} is the only one of {row[0]!r}: remove the person instead."
                )
            done.wipe("id = ?", (sample,))
        return done.change()

    def noting(self, tell: Tell) -> AbstractContextManager[Noted]:
        """Within, the next change of the calling thread keeps what `tell` says of it, by one transaction."""
        return self._noting.by(tell)

    def take_notes(self, record: Callable[[Sequence[str]], None]) -> None:
        """Hands over all notes, and forgets them where `record` returns; see `Store.take_notes`."""
        with self._lock, told(self.location):
            if isinstance(self._db, ReadOnly) or not notes.kept(self._db):
                return
        with self._transaction() as db:  # no change of the content: what is sealed of that stays
            before = db.total_changes
            record(notes.taken(db))
            self._uncounted += db.total_changes - before

    def searcher(self) -> None:
        """None: the search is over all samples in memory."""
        return

    def check(self) -> list[str]:
        """What is wrong with the file, a sentence each; empty if nothing is."""
        with self._lock:
            return problems(self._db, self._content)

    def advice(self) -> list[str]:
        """What would make the gallery safer, a sentence each."""
        return advice(self._path, self.cipher)

    def _id(self, name: str) -> int:
        row = self._db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise unknown_name(
                name, (r[0] for r in self._db.execute("SELECT name FROM people")), self.location
            )
        with self._held():
            self._content.hold_name(row[0], name)
        return int(row[0])
