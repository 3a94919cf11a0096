"""Photos of faces whose landmarks are given, embedded: aligned by them, side by side, through the cache.

Several models are done in one pass: a photo is read once for all, and aligned once for each size of crop.
Features keep the length the network gives them, which tells how sure it is of a face: weighting by it is part
of the published evaluation of IJB. Their directions are those of `Embedder.embed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import side_by_side
from facewise.embedding import DEFAULT_BATCH, Embedder
from facewise.errors import FacewiseError, ImageError, SettingError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import embedder_key
from facewise.geometry import align
from facewise.image import content_hash, decode, load, source_name
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkedFeatures:
    """What several embedders make of some photos.

    Attributes:
        features: One (N, D) float32 an embedder, of whatever length; zeros where the photo is of no use.
        digests: sha256 of each photo's bytes; empty if it could not be read.
        errors: Place → why the photo is of no use.
    """

    features: tuple[FloatArray, ...]
    digests: tuple[str, ...]
    errors: Mapping[int, FacewiseError]


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """A photo in memory, or why it is not."""

    data: bytes
    digest: str
    error: FacewiseError | None = None


def embed_landmarked(
    photos: Sequence[Path],
    landmarks: NDArray[np.float32],
    embedders: Sequence[Embedder],
    *,
    cache: FaceCache | None = None,
    threads: int = 1,
) -> LandmarkedFeatures:
    """Features of one face a photo.

    All photos are held in memory as they are on disk, so give some thousands at once, not all of a dataset.

    Args:
        photos: N paths.
        landmarks: (N, 5, 2) pixels of each photo.
        embedders: Each with its crop size, preprocessing and flip setting.
        cache: Where features are looked up and kept, by the photo's content and landmarks, or None.
        threads: Photos worked on side by side.

    Raises:
        ModelError: A network fails, or gives a vector that has no direction.
        SettingError: A model cuts faces by their box, which is not given.
    """
    for embedder in embedders:
        if embedder.cut.alignment != "5-point":
            raise SettingError(
                f"The model {embedder.name} cuts faces by the detector's box, and here only landmarks are "
                "given; name a model for 5-point crops."
            )
    read = list(side_by_side(_load, photos, threads))
    keys = [_key(photo.digest, marks) for photo, marks in zip(read, landmarks, strict=True)]
    errors = {i: photo.error for i, photo in enumerate(read) if photo.error is not None}
    features, missing = [], []
    for embedder in embedders:
        embedder.settle(len(photos))
        known = cache.embeddings(keys, *_names(embedder)) if cache else {}
        there = {i: known[key] for i, key in enumerate(keys) if i not in errors and key in known}
        rows = np.zeros((len(photos), embedder.embedding_size), np.float32)
        if there:
            rows[list(there)] = np.stack(list(there.values()))
        features.append(rows)
        missing.append([i for i in range(len(photos)) if i not in errors and i not in there])
        _ = embedder.network.single  # opened here once, not by several threads at the same time
    lacks = [set(indices) for indices in missing]

    def work(some: Sequence[int]) -> tuple[dict[int, FacewiseError], list[dict[int, FloatArray]]]:
        wanted = [[i for i in some if i in lacking] for lacking in lacks]
        return _embed_some(some, read, photos, landmarks, embedders, wanted)

    for bad, found in side_by_side(work, _blocks(sorted(set().union(*lacks))), threads):
        errors |= bad
        for rows, vectors in zip(features, found, strict=True):
            for i, vector in vectors.items():
                rows[i] = vector
    if cache:
        for embedder, rows, indices in zip(embedders, features, missing, strict=True):
            done = [(keys[i], rows[i]) for i in indices if i not in errors]
            cache.add_embeddings(*_names(embedder), done)
    return LandmarkedFeatures(tuple(features), tuple(photo.digest for photo in read), errors)


def _embed_some(
    some: Sequence[int],
    read: Sequence[_Photo],
    photos: Sequence[Path],
    landmarks: NDArray[np.float32],
    embedders: Sequence[Embedder],
    wanted: Sequence[Sequence[int]],
) -> tuple[dict[int, FacewiseError], list[dict[int, FloatArray]]]:
    """A few photos through every embedder that lacks them, on the calling thread."""
    crops: dict[tuple[int, int], NDArray[np.uint8]] = {}
    errors: dict[int, FacewiseError] = {}
    for i in some:
        sizes = {e.crop_size for e, need in zip(embedders, wanted, strict=True) if i in need}
        try:
            image = decode(read[i].data, name=source_name(photos[i]))
            crops |= {(i, size): align(image, landmarks[i], size) for size in sizes}
        except ImageError as error:
            errors[i] = error
        except SettingError:
            errors[i] = ImageError(f"The landmarks given for {source_name(photos[i])} are all in one place.")
    found = []
    for embedder, need in zip(embedders, wanted, strict=True):
        good = [i for i in need if i not in errors]
        if good:
            vectors = embedder.features(np.stack([crops[i, embedder.crop_size] for i in good]), threads=1)
            found.append(dict(zip(good, vectors, strict=True)))
        else:
            found.append({})
    return errors, found


def _load(path: Path) -> _Photo:
    try:
        data = load(path)
    except ImageError as error:
        return _Photo(b"", "", error)
    return _Photo(data, content_hash(data))


def _key(digest: str, landmarks: NDArray[np.float32]) -> str:
    """What decides a crop, but for its size."""
    return hashlib.sha256(digest.encode() + landmarks.astype("<f4").tobytes()).hexdigest()


def _names(embedder: Embedder) -> tuple[str, str]:
    """In the cache: what stands for the detector, and the embedder whose features keep their length."""
    return f"landmarks given, {embedder.crop_size}", f"{embedder_key(embedder)}+length"


def _blocks(indices: Sequence[int]) -> Iterable[Sequence[int]]:
    return (indices[start : start + DEFAULT_BATCH] for start in range(0, len(indices), DEFAULT_BATCH))
