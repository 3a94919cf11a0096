"""What is read of a gallery on Milvus at one moment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facewise.errors import UnknownPersonError
from facewise.gallery.milvus_content import Content
from facewise.gallery.results import Person, PersonDetail, StoredSample
from facewise.gallery.store import Keys, Loaded
from facewise.types import FloatArray


def keys(content: Content) -> Keys:
    """All samples but their vectors."""
    people = list(content.people())
    pairs = sorted((s.person, s.id) for s in content.samples())
    flat = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    space = content.head.space
    return Keys(
        content.head.number,
        None,
        {p.id: p.name for p in people},
        {p.id: p.groups for p in people if p.groups},
        np.ascontiguousarray(flat[:, 0]),
        np.ascontiguousarray(flat[:, 1]),
        space.size if space else 0,
    )


def vectors(content: Content, samples: NDArray[np.int64], location: str) -> FloatArray:
    """`(n, D)` the vectors of these samples, in this order."""
    ids = [int(i) for i in samples]
    found = {s.id: s.vector for s in content.samples_by_id(sorted(set(ids)), vectors=True)}
    for sample in ids:
        if sample not in found:
            raise UnknownPersonError(f"There is no sample {sample} in {location}.")
    space = content.head.space
    rows = np.empty((len(ids), space.size if space else 0), dtype=np.float32)
    for i, sample in enumerate(ids):
        rows[i] = found[sample]
    return rows


def load(content: Content) -> Loaded:
    """All samples with their vectors."""
    people, space = list(content.people()), content.head.space
    samples = sorted(content.samples(vectors=True), key=lambda s: (s.person, s.id))
    rows = np.empty((len(samples), space.size if space else 0), dtype=np.float32)
    for i, sample in enumerate(samples):
        rows[i] = sample.vector
    return Loaded(
        content.head.number,
        {p.id: p.name for p in people},
        np.array([s.person for s in samples], dtype=np.int64),
        rows,
        np.array([s.id for s in samples], dtype=np.int64),
        {p.id: p.groups for p in people if p.groups},
    )


def people(content: Content) -> list[Person]:
    """Everybody, by name."""
    counts: dict[int, int] = {}
    for sample in content.samples():
        counts[sample.person] = counts.get(sample.person, 0) + 1
    found = (
        Person(p.name, counts.get(p.id, 0), p.created, p.id, tuple(sorted(p.groups)))
        for p in content.people()
    )
    return sorted(found, key=lambda person: person.name)


def detail(content: Content, who: str | int) -> PersonDetail:
    """One person with all samples."""
    found, space = content.one(who), content.head.space
    fingerprint = space.fingerprint if space else ""
    samples = tuple(s.stored(found.name, fingerprint) for s in content.samples([found.id]))
    return PersonDetail(found.name, found.created, samples, found.id, tuple(sorted(found.groups)))


def samples(content: Content) -> list[tuple[StoredSample, FloatArray]]:
    """Every sample with its embedding, by person's name."""
    names, space = {p.id: p.name for p in content.people()}, content.head.space
    fingerprint = space.fingerprint if space else ""
    found = [s for s in content.samples(vectors=True) if s.person in names]
    found.sort(key=lambda s: (names[s.person], s.id))
    return [(s.stored(names[s.person], fingerprint), s.vector) for s in found]
