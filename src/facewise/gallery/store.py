"""Where a gallery keeps people and samples: what it needs of a database, whichever that is.

`facewise.gallery.sqlite` is the one for one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError
from facewise.gallery.results import Person, PersonDetail, Sample, Space, StoredSample
from facewise.types import FloatArray

if TYPE_CHECKING:  # who has no key needs no cryptography
    from facewise.gallery.notes import Noted, Tell
    from facewise.gallery.searcher import Searcher
    from facewise.vault import Vault


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """All samples at one moment, for a search.

    Attributes:
        version: The moment; see `Store.version`.
        names: Person id to name, of everybody.
        people: `(N,)` the person of each row.
        rows: `(N, D)` float32 unit vectors, by person, then by sample.
        samples: `(N,)` the sample id of each row.
        groups: Person id to groups, of those who are in any.
    """

    version: Hashable
    names: dict[int, str]
    people: NDArray[np.int64]
    rows: FloatArray
    samples: NDArray[np.int64]
    groups: dict[int, frozenset[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Everything of `Loaded` but the vectors: what a saved index is compared with.

    Attributes:
        version: The moment; see `Store.version`.
        state: The content's token; see `Store.state`.
        names: Person id to name, of everybody.
        groups: Person id to groups, of those who are in any.
        people: `(N,)` the person of each sample.
        samples: `(N,)` ids, by person, then by sample.
        size: Length D of an embedding, 0 before the first enrolment.
    """

    version: Hashable
    state: str | None
    names: dict[int, str]
    groups: dict[int, frozenset[str]]
    people: NDArray[np.int64]
    samples: NDArray[np.int64]
    size: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one person's samples, by their index in the call.

    Attributes:
        person: The person's id, or None if nothing was stored and the person is new.
        stored: Stored samples.
        duplicates: Samples the person already has.
        taken: Samples that another person has: index and that person's name.
        samples: Ids of `stored`, in the same order.
    """

    person: int | None
    stored: tuple[int, ...]
    duplicates: tuple[int, ...]
    taken: tuple[tuple[int, str], ...]
    samples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The store's versions just before and just after a call's own change, and what it did.

    Attributes:
        before: Version before.
        after: Version after.
        added: What `add` stored, one a batch.
        gone: Ids of the samples that went.
        moved: How many samples went from one person to another.
    """

    before: Hashable
    after: Hashable
    added: tuple[Added, ...] = ()
    gone: tuple[int, ...] = ()
    moved: int = 0


class Store(Protocol):
    """What a gallery needs of a database. Names are clean and embeddings checked when they get here.

    A call that writes does all of it or nothing, and what it wrote is on disk when it returns.
    Every method raises `GalleryError`: for a foreign model, or a database that fails. Its children say more:
    `UnknownPersonError` for a name, number or sample that is not there, `NameTakenError` for a name that
    somebody has, and `StorageFullError` where there is no room; then nothing has changed.
    """

    location: str
    cipher: Vault | None
    """Seals what is kept beside the store, as an index; None for a gallery without a key."""

    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        ...

    def version(self) -> Hashable:
        """Changes whenever the content may have changed, by whatever process."""
        ...

    def load(self) -> Loaded:
        """All samples, consistent with each other."""
        ...

    def keys(self) -> Keys:
        """All samples but their vectors, consistent with each other; a fraction of what `load` takes."""
        ...

    def vectors(self, samples: NDArray[np.int64]) -> FloatArray:
        """`(n, D)` the vectors of these samples, in this order."""
        ...

    def state(self) -> str | None:
        """A random token that every change makes anew, in its own transaction: same token, same content.

        None where the database cannot tell.
        """
        ...

    def descends_from(self, state: str) -> bool:
        """Whether the content came from that state by changes: then equal sample ids are equal samples."""
        ...

    def add(
        self,
        batches: Sequence[tuple[str, Sequence[Sample]]],
        space: Space,
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> Change:
        """Stores samples under names, all in one transaction; the first ones bind the gallery to `space`.

        People of `groups` with anything stored are put in those groups as well, beside what they are in.
        """
        ...

    def people(self) -> list[Person]:
        """Everybody, by name."""
        ...

    def page(
        self, offset: int, limit: int, search: str | None = None, group: str | None = None
    ) -> tuple[list[Person], int]:
        """A page of the people, by name, and how many there are on all; see `facewise.gallery.listing`."""
        ...

    def person(self, name: str) -> PersonDetail:
        """One person with all samples."""
        ...

    def person_by_id(self, person: int) -> PersonDetail:
        """One person with all samples, by number."""
        ...

    def photo(self, sample: int) -> bytes | None:
        """The JPEG kept with a sample, or None."""
        ...

    def samples(self) -> list[tuple[StoredSample, FloatArray]]:
        """Every sample with its embedding, by person's name."""
        ...

    def remove(self, name: str) -> Change:
        """Deletes a person; `gone` are the samples that went, and no byte of them stays."""
        ...

    def rename(self, old: str, new: str, groups: Iterable[str] | None = None) -> Change:
        """Gives a person another name that nobody has, and these groups and no others where any are given."""
        ...

    def merge(self, into: str, from_: str) -> tuple[int, Change]:
        """Moves `from_`'s samples to `into`, says how many, and deletes `from_`.

        Samples that `into` has already go; `into` gets `from_`'s groups as well.
        """
        ...

    def remove_sample(self, sample: int) -> Change:
        """Deletes one sample, not a person's last; no byte of it stays."""
        ...

    def set_groups(self, name: str, groups: Iterable[str]) -> Change:
        """Puts a person in these groups and no others."""
        ...

    def noting(self, tell: Tell) -> AbstractContextManager[Noted]:
        """Within, the next change of the calling thread keeps what `tell` says of it, by one transaction."""
        ...

    def take_notes(self, record: Callable[[Sequence[str]], None]) -> None:
        """Hands over all notes that are kept, oldest first, and forgets them where `record` returns."""
        ...

    def searcher(self) -> Searcher | None:
        """A search by the database itself; None where all samples are to be searched in memory."""
        ...

    def check(self) -> list[str]:
        """What is wrong with the database, a sentence each; empty if nothing is."""
        ...

    def advice(self) -> list[str]:
        """What would make the gallery safer though nothing is wrong with it, a sentence each."""
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
