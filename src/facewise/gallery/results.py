"""What a gallery takes in and hands out: frozen, slotted, typed."""

from __future__ import annotations

from dataclasses import dataclass

from facewise.types import Candidate, FloatArray, Quality


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space a gallery is bound to: only vectors of one space can be compared.

    Attributes:
        fingerprint: sha256 (hex) of the model file that makes the embeddings.
        model: The model's name, for people.
        size: Length D of an embedding.
        flip: Whether an embedding averages the crop and its mirror image.
    """

    fingerprint: str
    model: str
    size: int
    flip: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One embedding to keep under a person's name.

    Attributes:
        embedding: `(D,)` float32 of unit length.
        source: Where it comes from, for people: a path, `"bytes"`, `"array"`.
        source_hash: sha256 (hex) of the photo, or empty: then an identical embedding is the duplicate.
        quality: How usable the face was, or None if nobody measured it.
        created: ISO 8601 time in UTC, or empty for now.
        photo: JPEG to keep with it, or None.
    """

    embedding: FloatArray
    source: str = ""
    source_hash: str = ""
    quality: Quality | None = None
    created: str = ""
    photo: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredSample:
    """One sample as the gallery keeps it.

    Attributes:
        id: Its number, never used again after removal.
        name: The person it belongs to.
        source: Where it comes from, for people.
        source_hash: sha256 (hex) it is known by, of the photo or else of the embedding.
        fingerprint: Of the model that made it.
        quality: How usable the face was, or None if nobody measured it.
        created: ISO 8601 time in UTC.
        has_photo: Whether a photo is kept with it.
    """

    id: int
    name: str
    source: str
    source_hash: str
    fingerprint: str
    quality: Quality | None
    created: str
    has_photo: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a gallery.

    Attributes:
        name: Unique in the gallery.
        samples: How many samples are kept.
        created: ISO 8601 time in UTC of the first enrolment.
        id: Their number in the gallery, never used again after removal.
        groups: What they belong to, in order; a search can be limited to some.
    """

    name: str
    samples: int
    created: str
    id: int
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PersonDetail:
    """One person with all samples, oldest first; fields as of `Person`."""

    name: str
    created: str
    samples: tuple[StoredSample, ...]
    id: int
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A photo that was not enrolled, and why, in a few plain words."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What one enrolment did.

    Attributes:
        name: The person.
        added: How many samples were stored.
        duplicates: Sources this person already has, not stored again.
        rejected: Photos not enrolled: unreadable, without a face, or already another person's.
        warnings: Plain sentences on what was enrolled but deserves a look.
    """

    name: str
    added: int
    duplicates: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identification:
    """Who one embedding belongs to; the fields mean what they mean in `facewise.types.Match`.

    Attributes:
        name: The person, or None: a stranger, or no decision possible (see `decided`).
        similarity: Cosine similarity to the best candidate; -1 for an empty gallery.
        decided: False where neither a calibration nor a given threshold allows a decision, or the face is too
            poor for one.
        threshold: The threshold decided by, which is higher where both photos are poor; or None.
        fmr: False match rate of that threshold, or None.
        candidates: Best people first.
        fpir: Share of strangers whom that rate would give a name in this gallery, or None.
        note: Why there is no decision, or empty.
    """

    name: str | None
    similarity: float
    decided: bool
    threshold: float | None
    fmr: float | None
    candidates: tuple[Candidate, ...]
    fpir: float | None = None
    note: str = ""
