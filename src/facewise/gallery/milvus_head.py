"""The head of a Milvus gallery: one small row that says what of all the others counts.

Milvus has no transactions, but writing one row is all or nothing. So a change writes what it adds under ids
that the head does not reach yet, and the new head then makes all of it visible at once. A change that deletes
or moves first puts what it is going to do into the head (the journal): from then on readers see it as done,
and whoever finds it in the head after a crash does it again, to the end. A new head is a new row with the
next number; the greatest number counts.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from facewise.errors import GalleryError
from facewise.gallery.milvus_link import MAX_TEXT, Link
from facewise.gallery.milvus_rows import DUMMY
from facewise.gallery.results import Space

FORMAT = 1
_LEASES = 1 << 48
"""Ids from here on are writers' leases, below it heads."""


@dataclass(frozen=True, slots=True)
class Head:
    """What counts.

    Attributes:
        number: Grows with every change.
        space: The model the gallery is bound to, or None.
        next_person: Ids from here on are of nobody yet, even where there are such rows.
        next_sample: Likewise for samples.
        journal: A change to finish: its kind under `op`, and what it is about; empty if there is none.
        format: Of what is written; a newer one is refused.
    """

    number: int = 0
    space: Space | None = None
    next_person: int = 1
    next_sample: int = 1
    journal: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def hides_person(self, person: int) -> bool:
        """Whether a person's row does not count: not there yet, or being removed or merged away."""
        j = self.journal
        going = {"remove": j.get("person"), "merge": j.get("from")}.get(j.get("op", ""))
        return person >= self.next_person or person == going

    def hides_sample(self, sample: int, person: int) -> bool:
        """Whether a sample's row does not count."""
        j = self.journal
        gone = j.get("op") == "forget" and j["sample"] == sample
        return gone or sample >= self.next_sample or self.hides_person(self.owner(person))

    def owner(self, person: int) -> int:
        """Whose the samples of that person are: during a merge another's."""
        j = self.journal
        return int(j["into"]) if j.get("op") == "merge" and j["from"] == person else person


class Heads:
    """Reads and writes the head.

    Args:
        link: The server.
        collection: Where heads and leases are.
    """

    def __init__(self, link: Link, collection: str) -> None:
        self._link = link
        self._collection = collection

    def read(self, consistency: str = "Strong") -> Head:
        """The head that counts.

        Raises:
            GalleryError: There is none, or it is of a newer Facewise.
        """
        rows = list(self._link.rows(self._collection, f"id < {_LEASES}", ["body"], consistency))
        if not rows:
            return Head()
        told = json.loads(rows[-1]["body"])
        if told["format"] > FORMAT:
            raise GalleryError(
                f"The gallery {self._link.location} was written by a newer Facewise: update Facewise."
            )
        space = told["space"]
        return Head(**{**told, "space": None if space is None else Space(**space)})

    def write(self, head: Head) -> None:
        """Makes this the head that counts, at once."""
        body = json.dumps(asdict(head), ensure_ascii=False)
        if len(body.encode()) > MAX_TEXT:
            raise GalleryError(
                "That is more in one change than a Milvus gallery takes: fewer or shorter groups."
            )
        self._link.insert(self._collection, [{"id": head.number, "vector": DUMMY, "body": body}])
        self._link.delete_where(self._collection, f"id < {head.number}")


class Lease:
    """One writer at a time, among all processes that use a server.

    Milvus has no locks. A writer writes a row of its own, then reads all of them: if there is another, it
    takes its own back, waits a moment of random length and tries again. Of two that write at the same time at
    least one sees the other, so never both go on. A row that did not change for `stale` seconds by the
    reader's own clock is of a writer that crashed, and is taken away: no clocks need to agree.

    Args:
        link: The server.
        collection: Where the rows are.
        stale: Seconds after which a writer that gave no sign counts as crashed.
        patience: Seconds to wait for another writer.
        clock: For tests.
        sleep: For tests.
    """

    def __init__(
        self,
        link: Link,
        collection: str,
        *,
        stale: float = 30.0,
        patience: float = 90.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._link, self._collection = link, collection
        self._stale, self._patience = stale, patience
        self._clock, self._sleep = clock, sleep
        self._mine: int | None = None
        self._beaten = 0.0

    def take(self) -> None:
        """Waits until this is the only writer.

        Raises:
            GalleryError: Others wrote all the time.
        """
        begun = self._clock()
        seen: dict[int, float] = {}  # since when each other row is as it is
        while True:
            self._write()
            others = self._others()
            if not others:
                return
            self.give()
            now = self._clock()
            seen = {row: seen.get(row, now) for row in others}
            dead = [row for row, since in seen.items() if now - since > self._stale]
            self._link.delete(self._collection, dead)
            if now - begun > self._patience:
                raise GalleryError(
                    f"The gallery {self._link.location} is busy: another process has been writing to it for "
                    f"{self._patience:.0f} seconds. Try again."
                )
            self._sleep(random.uniform(0.02, 0.2))  # noqa: S311  no secret, only not in step

    def beat(self) -> None:
        """Says that this writer is alive: before every step of a change.

        Raises:
            GalleryError: This process was so slow that others took it for crashed; its change is undone.
        """
        if self._mine is None:
            return
        quiet = self._clock() - self._beaten
        if quiet < self._stale / 3:
            return
        old = self._mine
        if quiet > self._stale / 2 and not list(self._link.within(self._collection, "id", [old], [])):
            self._mine = None
            raise GalleryError(
                f"Another process has taken over writing to the gallery {self._link.location}, because this "
                "one gave no sign for too long: try again."
            )
        self._write()
        self._link.delete(self._collection, [old])

    def give(self) -> None:
        """Lets others write."""
        mine, self._mine = self._mine, None
        if mine is not None:
            self._link.delete(self._collection, [mine])

    def _write(self) -> None:
        # A new id for each sign of life: that is how others see that it is one.
        self._mine = _LEASES + uuid.uuid4().int % _LEASES
        self._link.insert(self._collection, [{"id": self._mine, "vector": DUMMY, "body": ""}])
        self._beaten = self._clock()

    def _others(self) -> list[int]:
        rows = self._link.rows(self._collection, f"id >= {_LEASES}", [])
        return [int(row["id"]) for row in rows if row["id"] != self._mine]
