"""Whom probes resemble in a gallery, by embeddings: what every identification protocol does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.evaluation.embedded import EmbeddedPhoto
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.metrics import IdentificationAccumulator, IdentificationResult

_BLOCK = 8_000_000
"""Similarities held at once: 32 MB."""


def identify_probes(
    vectors: NDArray[np.float32],
    faceless: NDArray[np.bool_],
    gallery: Sequence[Sequence[int]],
    probes: Sequence[int],
    truth: Sequence[int],
) -> IdentificationResult:
    """Search each probe in a gallery; a person's score is that of their most alike photo.

    A probe without an embedding is like nobody, and nobody is like a gallery photo without one: both are
    scored `NO_FACE_SIMILARITY`, never dropped.

    Args:
        vectors: (N, D) of all photos.
        faceless: (N,) where there is no embedding.
        gallery: The photos of each person, one or more.
        probes: Photos that are not in the gallery.
        truth: For each probe the position of its person in the gallery, or -1 for a stranger.
    """
    enrolled = np.array([photo for photos in gallery for photo in photos], np.int64)
    starts = np.cumsum([0] + [len(photos) for photos in gallery[:-1]])
    searched, true = np.array(probes, np.int64), np.array(truth, np.int64)
    known, missing = vectors[enrolled].T, faceless[enrolled]
    results, step = IdentificationAccumulator(), max(1, _BLOCK // len(enrolled))
    for start in range(0, len(searched), step):
        block = searched[start : start + step]
        scores = np.clip(vectors[block] @ known, -1.0, 1.0)
        scores[faceless[block]], scores[:, missing] = NO_FACE_SIMILARITY, NO_FACE_SIMILARITY
        best = scores if len(gallery) == len(enrolled) else np.maximum.reduceat(scores, starts, axis=1)
        results.update(best, true[start : start + step])
    return results.compute()


def stacked(photos: Sequence[EmbeddedPhoto], size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(N, D) embeddings, zeros where there is none, and (N,) where that is.

    Args:
        photos: One or more.
        size: D.
    """
    nothing = np.zeros(size, dtype=np.float32)
    vectors = np.stack([nothing if photo.embedding is None else photo.embedding for photo in photos])
    return vectors, np.array([photo.embedding is None for photo in photos])
