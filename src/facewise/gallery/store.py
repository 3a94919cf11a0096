"""Where a gallery keeps people and samples: what it needs of a database, whichever that is.

`facewise.gallery.sqlite` is the one for one machine.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """All samples at one moment, for a search.

    Attributes:
        version: The moment; see `Store.version`.
        names: Person id to name, of everybody.
        people: `(N,)` the person of each row.
        rows: `(N, D)` float32 unit vectors.
    """

    version: Hashable
    names: dict[int, str]
    people: NDArray[np.int64]
    rows: FloatArray


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one person's samples, by their index in the call.

    Attributes:
        person: The person's id, or None if nothing was stored and the person is new.
        stored: Stored samples.
        duplicates: Samples the person already has.
        taken: Samples that another person has: index and that person's name.
    """

    person: int | None
    stored: tuple[int, ...]
    duplicates: tuple[int, ...]
    taken: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """The store's versions just before and just after a call's own change, and what was added."""

    before: Hashable
    after: Hashable
    added: tuple[Added, ...]


class Store(Protocol):
    """What a gallery needs of a database. Names are clean and embeddings checked when they get here.

    A call that writes does all of it or nothing, and what it wrote is on disk when it returns.
    Every method raises `GalleryError`: for an unknown name, a foreign model, or a database that fails.
    """

    location: str

    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        ...

    def version(self) -> Hashable:
        """Changes whenever the content may have changed, by whatever process."""
        ...

    def load(self) -> Loaded:
        """All samples, consistent with each other."""
        ...

    def add(self, batches: Sequence[tuple[str, Sequence[Sample]]], space: Space) -> Change:
        """Stores samples under names, all in one transaction; the first ones bind the gallery to `space`."""
        ...

    def people(self) -> list[Person]:
        """Everybody, by name."""
        ...

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        ...

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        ...

    def remove(self, name: str) -> int:
        """Deletes a person and says how many samples went; no byte of them stays."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Gives a person another name that nobody has."""
        ...

    def merge(self, into: str, from_: str) -> int:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`."""
        ...

    def remove_sample(self, sample: int) -> None:
        """Deletes one sample, not a person's last; no byte of it stays."""
        ...

    def check(self) -> list[str]:
        """What is wrong with the database, a sentence each; empty if nothing is."""
        ...

    def close(self) -> None:
        """Ends the use of the database."""
        ...


def refuse_foreign(location: str, bound: Space, other: Space) -> None:
    """Embeddings of two spaces look alike and mean nothing to each other, so they never meet.

    Raises:
        GalleryError: `other` is not the space the gallery is bound to.
    """
    if other.fingerprint != bound.fingerprint:
        raise GalleryError(
            f"The gallery {location} holds embeddings of {_told(bound)}, and these are of {_told(other)}: "
            "use that model, or enrol the photos again into a new gallery."
        )
    if other.flip != bound.flip:
        on, off = ("with", "without") if bound.flip else ("without", "with")
        raise GalleryError(
            f"The gallery {location} was enrolled {on} flip averaging, and these embeddings were "
            f"made {off} it: use flip={bound.flip}."
        )
    if other.size != bound.size:
        raise GalleryError(
            f"The gallery {location} holds embeddings of {bound.size} values, and these have {other.size}."
        )


def _told(space: Space) -> str:
    return f"model {space.model or 'without a name'} ({space.fingerprint[:12]})"
