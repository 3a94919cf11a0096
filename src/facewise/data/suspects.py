"""Photos whose label looks wrong: they resemble somebody else more, or nobody of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facewise.data.content import StoredPhotos
from facewise.data.prepared import PreparedSource
from facewise.data.source import IntArray, Source
from facewise.errors import ImageError
from facewise.pipeline import Pipeline, Steps
from facewise.types import FloatArray

_BLOCK = 1024
STRANGERS_ABOVE = 1e-3
"""A photo is far from its own person if a greater share of strangers are as much like that person."""
_ENOUGH = 10
"""Strangers that must be above a similarity for their share to be known."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A photo whose label looks wrong.

    Attributes:
        key: The photo.
        person: Who it is said to show.
        similarity: Cosine similarity to the mean of that person's other photos.
        other: The person it is most like among the others.
        other_similarity: To the mean of theirs.
        reason: `like another`, or `unlike its own`.
    """

    key: str
    person: str
    similarity: float
    other: str
    other_similarity: float
    reason: Literal["like another", "unlike its own"]


@dataclass(frozen=True, slots=True)
class Suspects:
    """The suspects of a dataset, the most suspect first.

    Attributes:
        found: Them.
        margin: By how much a photo had to be more like somebody else.
        threshold: Below this similarity to its own person a photo counted as unlike it: what one stranger in
            1,000 of this dataset reaches. None where there are too few people to know.
        compared: How many photos could be judged: those with a face, of people with another such photo.
    """

    found: tuple[Suspect, ...]
    margin: float
    threshold: float | None
    compared: int


def embed_source(
    source: Source,
    pipeline: Pipeline,
    progress: Callable[[int], None] = lambda _: None,
    *,
    processes: bool = False,
) -> FloatArray:
    """The embedding of every photo's main face.

    Args:
        source: The photos. Crops that were cut as the embedder wants them are embedded as they are.
        pipeline: Detector and embedder.
        progress: Told as photos are done.
        processes: See `Pipeline.read_many`.

    Returns:
        (N, D) float32 of unit length; NaN where there is no face or the photo cannot be read.
    """
    vectors = np.full((len(source.keys), pipeline.embedder.embedding_size), np.nan, np.float32)
    if isinstance(source, PreparedSource) and source.cut == pipeline.cut:
        for start in range(0, len(vectors), _BLOCK):
            _embed_crops(source, pipeline, vectors, range(start, min(start + _BLOCK, len(vectors))))
            progress(min(_BLOCK, len(vectors) - start))
        return vectors
    photos = StoredPhotos(source, range(len(source.keys)))
    results = pipeline.read_many(photos, Steps(main_only=True), processes=processes)
    for i, found in enumerate(results):
        if found.faces and found.faces[0].embedding is not None:
            vectors[i] = found.faces[0].embedding
        progress(1)
    return vectors


def _embed_crops(source: Source, pipeline: Pipeline, vectors: FloatArray, indices: range) -> None:
    crops, rows = [], []
    for i in indices:
        try:
            crops.append(source.read(i))
        except ImageError:  # told by the check of the photos
            continue
        rows.append(i)
    if rows:
        vectors[rows] = pipeline.embedder.embed(np.stack(crops))


def find_suspects(source: Source, vectors: FloatArray, *, margin: float = 0.1) -> Suspects:
    """The photos whose label looks wrong.

    Each is compared with the mean embedding of its person's other photos, and with those of all other people.

    Args:
        source: The dataset.
        vectors: (N, D) unit length, NaN where there is none; see `embed_source`.
        margin: A photo is suspect if it is more like somebody else by this much (cosine similarity).
    """
    have = ~np.isnan(vectors).any(axis=1)
    rows, labels = np.flatnonzero(have), source.labels[have]
    embedded = vectors[have].astype(np.float64)
    sums = np.zeros((len(source.names), vectors.shape[1]))
    np.add.at(sums, labels, embedded)
    counts = np.bincount(labels, minlength=len(source.names))
    own = (embedded * _unit(sums[labels] - embedded)).sum(axis=1)
    other, best, threshold = _strangers(embedded, labels, _unit(sums), counts)
    judged = (counts[labels] > 1) & (other >= 0)
    alike = judged & (best > own + margin)
    far = judged & ~alike & (own < (-1.0 if threshold is None else threshold))
    worst = np.argsort(own - best, kind="stable")
    found = tuple(
        Suspect(
            source.keys[rows[i]],
            source.names[labels[i]],
            float(own[i]),
            source.names[other[i]],
            float(best[i]),
            "like another" if alike[i] else "unlike its own",
        )
        for i in worst.tolist()
        if alike[i] or far[i]
    )
    return Suspects(found, margin, threshold, int(judged.sum()))


def _strangers(
    embedded: NDArray[np.float64], labels: IntArray, means: NDArray[np.float64], counts: IntArray
) -> tuple[IntArray, NDArray[np.float64], float | None]:
    """The other person each photo is most like (-1: there is none), how much, and what 1 in 1,000 reach."""
    other, best = np.full(len(embedded), -1), np.full(len(embedded), -1.0)
    tally = np.zeros(2001, np.int64)
    for start in range(0, len(embedded), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarity = embedded[rows] @ means.T
        similarity[:, counts == 0] = -np.inf
        similarity[np.arange(len(similarity)), labels[rows]] = -np.inf
        other[rows], best[rows] = similarity.argmax(axis=1), similarity.max(axis=1)
        strangers = similarity[np.isfinite(similarity)]
        tally += np.bincount(np.clip(strangers * 1000 + 1000, 0, 2000).astype(np.int64), minlength=2001)
    other[~np.isfinite(best)] = -1
    share = STRANGERS_ABOVE * float(tally.sum())
    if share < _ENOUGH:
        return other, best, None
    at_least = np.cumsum(tally[::-1])[::-1]
    return other, best, float(np.flatnonzero(at_least >= share)[-1] - 1000) / 1000


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
