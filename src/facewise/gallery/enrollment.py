"""Storing what was picked from photos, and telling what became of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.photos import Picked
from facewise.gallery.results import Enrollment, Sample, Space
from facewise.gallery.search import checked_embeddings
from facewise.gallery.searcher import Searcher
from facewise.gallery.store import Added, Store, refuse_foreign
from facewise.types import Decision


def store_picked(
    store: Store,
    searcher: Searcher,
    name: str,
    picked: Picked,
    space: Space,
    decision: Decision | None,
    groups: Collection[str] = (),
) -> Enrollment:
    """Stores one person's samples in one transaction, and puts the person into groups as well.

    Raises:
        GalleryError: Another model than the gallery's, or no unit vectors: nothing is stored.
    """
    if not picked.samples:
        return enrollment(name, picked, Added(None, (), (), ()))
    if (bound := store.space()) is not None:
        refuse_foreign(store.location, bound, space)
    # [None]: one sample is one row, so that a matrix given as one is refused.
    rows = [checked_embeddings(np.asarray(s.embedding)[None], space.size)[0] for s in picked.samples]
    samples = [replace(s, embedding=row) for s, row in zip(picked.samples, rows, strict=True)]
    looks = _lookalikes(searcher, name, samples, decision)
    change = store.add([(name, samples)], space, {name: groups})
    searcher.apply(change, [(name, samples)], {name: groups})
    picked.warnings += [looks[i] for i in change.added[0].stored if i in looks]
    return enrollment(name, picked, change.added[0])


def enrollment(name: str, picked: Picked, added: Added) -> Enrollment:
    """What became of the samples and of the photos that gave none."""
    for i, owner in added.taken:
        picked.refuse(_source(picked.samples[i]), f"it is already enrolled as {owner!r}", GalleryError)
    return Enrollment(
        name,
        len(added.stored),
        tuple(_source(picked.samples[i]) for i in added.duplicates),
        tuple(rejection for rejection, _ in picked.refused),
        tuple(picked.warnings),
    )


def _lookalikes(
    searcher: Searcher, name: str, samples: Sequence[Sample], decision: Decision | None
) -> dict[int, str]:
    """Which samples are, by the decision, somebody else's: the sentence to say so by their index."""
    if decision is None or not searcher.count():
        return {}
    told = {}
    probes = checked_embeddings([s.embedding for s in samples])
    for i, best in enumerate(searcher.top(probes, 2)):  # two: the first may be the person enrolled here
        others = [hit for hit in best if hit.name != name]
        if others and others[0].similarity >= decision.threshold:
            told[i] = f"{_source(samples[i])} looks like {others[0].name} ({others[0].similarity:.2f})."
    return told


def _source(sample: Sample) -> str:
    return sample.source or "an embedding"
