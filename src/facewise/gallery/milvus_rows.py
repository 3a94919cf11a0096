"""People, samples and photos as rows of Milvus, and back.

Text that filters look for is kept as hexadecimal digits (a hash of a name or of a photo's hash, the bytes of
a group's name): no text a user gave is ever part of a filter.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.milvus_link import MAX_TEXT, Row
from facewise.gallery.names import MAX_NAME
from facewise.gallery.results import Sample, StoredSample
from facewise.types import FloatArray, Quality

MAX_GROUPS = 64
"""Groups that one person can be in."""

PARTS = 1024
"""Rows that one photo can take."""

_PART_BYTES = 49_149  # of a photo in one row: as base64 it just fits a text field
_MEASURES = ("score", "size", "sharpness", "yaw", "pitch", "roll")


@dataclass(frozen=True, slots=True, eq=False)
class PersonRow:
    """One person: `template` is the unit mean of their samples."""

    id: int
    name: str
    created: str
    groups: frozenset[str]
    template: FloatArray

    def row(self) -> Row:
        """As Milvus keeps it."""
        return {
            "id": self.id,
            "vector": self.template,
            "name": self.name,
            "key": key_of(self.name),
            "created": self.created,
            "groups": group_keys(self.groups),
        }


@dataclass(frozen=True, slots=True, eq=False)
class SampleRow:
    """One sample: `known` is what it is recognised by, `detail` the rest as JSON."""

    id: int
    person: int
    vector: FloatArray
    known: str
    detail: str
    groups: frozenset[str]
    has_photo: bool

    def row(self) -> Row:
        """As Milvus keeps it."""
        return {
            "id": self.id,
            "vector": self.vector,
            "person": self.person,
            "key": key_of(self.known),
            "detail": self.detail,
            "groups": group_keys(self.groups),
            "photo": self.has_photo,
        }

    def stored(self, name: str, fingerprint: str) -> StoredSample:
        """As the gallery hands it out."""
        told = json.loads(self.detail)
        measured = told["quality"]
        quality = None if measured is None else Quality(*measured)
        return StoredSample(
            self.id, name, told["source"], self.known, fingerprint, quality, told["created"], self.has_photo
        )


PERSON_FIELDS = ("name", "created", "groups")
SAMPLE_FIELDS = ("person", "detail", "groups", "photo")


def read_person(row: Row) -> PersonRow:
    """A person from `PERSON_FIELDS`, with the template where `vector` was asked for."""
    template = np.asarray(row.get("vector", ()), dtype=np.float32)
    return PersonRow(
        int(row["id"]), str(row["name"]), str(row["created"]), group_names(row["groups"]), template
    )


def read_sample(row: Row) -> SampleRow:
    """A sample from `SAMPLE_FIELDS`, with the embedding where `vector` was asked for."""
    vector = np.asarray(row.get("vector", ()), dtype=np.float32)
    detail = str(row["detail"])
    return SampleRow(
        int(row["id"]),
        int(row["person"]),
        vector,
        str(json.loads(detail)["known"]),
        detail,
        group_names(row["groups"]),
        bool(row["photo"]),
    )


def known_by(sample: Sample) -> str:
    """What a sample is recognised by: the photo's hash, or else the embedding's."""
    blob = np.ascontiguousarray(sample.embedding, dtype="<f4").tobytes()
    return sample.source_hash or f"embedding:{hashlib.sha256(blob).hexdigest()}"


def new_sample(number: int, person: int, sample: Sample, created: str, groups: Iterable[str]) -> SampleRow:
    """A sample to store.

    Raises:
        GalleryError: What is to be kept with it has more bytes than Milvus takes.
    """
    q = sample.quality
    known = known_by(sample)
    told = {
        "known": known,
        # A path that is not UTF-8 has surrogates, which no database keeps.
        "source": sample.source.encode(errors="backslashreplace").decode(),
        "quality": None if q is None else [float(getattr(q, m)) for m in _MEASURES],
        "created": created,
    }
    detail = json.dumps(told, ensure_ascii=False)
    if len(detail.encode()) > MAX_TEXT:
        raise GalleryError(f"The source {sample.source[:40]!r}… of a sample is longer than Milvus keeps.")
    vector = np.ascontiguousarray(sample.embedding, dtype=np.float32)
    return SampleRow(number, person, vector, known, detail, frozenset(groups), sample.photo is not None)


def photo_rows(sample: int, photo: bytes) -> Iterator[Row]:
    """A photo in rows of at most `_PART_BYTES`.

    Raises:
        GalleryError: It has more bytes than `PARTS` rows hold.
    """
    if len(photo) > PARTS * _PART_BYTES:
        raise GalleryError(f"A photo of {len(photo):,} bytes is more than the gallery keeps: keep the face.")
    for at in range(0, max(len(photo), 1), _PART_BYTES):
        text = base64.b64encode(photo[at : at + _PART_BYTES]).decode()
        yield {
            "id": sample * PARTS + at // _PART_BYTES,
            "vector": DUMMY,
            "sample": sample,
            "part": text,
        }


def read_photo(rows: Iterable[Row]) -> bytes | None:
    """A photo from its rows, by id; None where there are none."""
    parts = [base64.b64decode(row["part"]) for row in rows]
    return b"".join(parts) if parts else None


DUMMY = np.array([1.0, 0.0], dtype=np.float32)
"""Milvus wants a vector in every collection."""


def template_of(vectors: Sequence[FloatArray]) -> FloatArray:
    """`(D,)` the unit mean of a person's samples; where they cancel out, a vector like nobody (0)."""
    mean = np.stack(vectors).astype(np.float64).sum(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), float(np.finfo(np.float32).tiny)), np.float32)


def key_of(text: str) -> str:
    """A text as 64 hexadecimal digits, to be looked for."""
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def group_keys(groups: Iterable[str]) -> list[str]:
    """Groups as Milvus keeps them, in order.

    Raises:
        GalleryError: More than `MAX_GROUPS`.
    """
    keys = sorted(group.encode().hex() for group in groups)
    if len(keys) > MAX_GROUPS:
        raise GalleryError(
            f"In a Milvus gallery a person is in at most {MAX_GROUPS} groups, not {len(keys)}."
        )
    return keys


def group_names(keys: Iterable[str]) -> frozenset[str]:
    """Groups as they were given."""
    return frozenset(bytes.fromhex(key).decode() for key in keys)


def person_schema(types: Any, size: int) -> list[tuple[str, Any, dict[str, Any]]]:
    """Fields of the collection of people."""
    return [
        ("vector", types.FLOAT_VECTOR, {"dim": size}),
        ("name", types.VARCHAR, {"max_length": 4 * MAX_NAME}),
        ("key", types.VARCHAR, {"max_length": 64}),
        ("created", types.VARCHAR, {"max_length": 1000}),
        ("groups", types.ARRAY, _group_field(types)),
    ]


def sample_schema(types: Any, size: int) -> list[tuple[str, Any, dict[str, Any]]]:
    """Fields of the collection of samples."""
    return [
        ("vector", types.FLOAT_VECTOR, {"dim": size}),
        ("person", types.INT64, {}),
        ("key", types.VARCHAR, {"max_length": 64}),
        ("detail", types.VARCHAR, {"max_length": MAX_TEXT}),
        ("groups", types.ARRAY, _group_field(types)),
        ("photo", types.BOOL, {}),
    ]


def photo_schema(types: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    """Fields of the collection of photos."""
    return [
        ("vector", types.FLOAT_VECTOR, {"dim": len(DUMMY)}),
        ("sample", types.INT64, {}),
        ("part", types.VARCHAR, {"max_length": MAX_TEXT}),
    ]


def head_schema(types: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    """Fields of the collection of heads and writers' leases."""
    return [
        ("vector", types.FLOAT_VECTOR, {"dim": len(DUMMY)}),
        ("body", types.VARCHAR, {"max_length": MAX_TEXT}),
    ]


def _group_field(types: Any) -> dict[str, Any]:
    return {
        "element_type": types.VARCHAR,
        "max_capacity": MAX_GROUPS,
        "max_length": 8 * MAX_NAME,  # four bytes a character at most, two digits a byte
    }
