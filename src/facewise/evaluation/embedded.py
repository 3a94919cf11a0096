"""One embedding a photo for a whole dataset: side by side, through the cache, with progress."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facewise.errors import FacewiseError, ImageError
from facewise.evaluation.cache import CachedCrop, FaceCache
from facewise.image import content_hash, load
from facewise.pipeline import PhotoFaces, Pipeline, Steps, side_by_side
from facewise.types import FloatArray

Progress = Callable[[int], None]
"""Told how many more photos are done."""

_BLOCK = 512
"""Photos a transaction of the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPhoto:
    """The main face of one photo.

    Attributes:
        path: The photo.
        sha256: Of its bytes, empty if unreadable.
        embedding: (D,) float32 of unit length, or None.
        error: Why the photo could not be read, or None. Neither error nor embedding: no face was found.
    """

    path: Path
    sha256: str
    embedding: FloatArray | None
    error: FacewiseError | None = None


def embed_photos(
    pipeline: Pipeline,
    photos: Sequence[Path],
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
) -> list[EmbeddedPhoto]:
    """The embedding of the main face of every photo.

    Args:
        pipeline: Detector and embedder.
        photos: Paths.
        cache: Where crops and embeddings are looked up and kept, or None.
        progress: Called as photos are done.

    Returns:
        One entry a photo, in order.
    """
    if cache is None:
        done = []
        for path, found in zip(photos, pipeline.read_many(photos, Steps(main_only=True)), strict=True):
            done.append(_embedded(path, found))
            progress(1)
        return done
    hashed = list(side_by_side(_hash, photos, pipeline.threads))
    hashes = list(dict.fromkeys(digest for digest, _ in hashed if digest))
    detector, embedder = _detector_key(pipeline), _embedder_key(pipeline)
    known = cache.embeddings(hashes, detector, embedder)
    faceless = cache.without_face((h for h in hashes if h not in known), detector)
    progress(sum(digest in known or digest in faceless or not digest for digest, _ in hashed))
    missing = [
        (path, digest)
        for path, (digest, _) in zip(photos, hashed, strict=True)
        if digest and digest not in known and digest not in faceless
    ]
    errors: dict[str, FacewiseError] = {}
    for start in range(0, len(missing), _BLOCK):
        block = {digest: path for path, digest in missing[start : start + _BLOCK]}
        known |= _embed_block(pipeline, block, cache, errors)
        progress(len(missing[start : start + _BLOCK]))
    return [
        EmbeddedPhoto(path, digest, known.get(digest), error or errors.get(digest))
        for path, (digest, error) in zip(photos, hashed, strict=True)
    ]


def _embed_block(
    pipeline: Pipeline, block: dict[str, Path], cache: FaceCache, errors: dict[str, FacewiseError]
) -> dict[str, FloatArray]:
    """Embed photos (by hash) from cached crops where there are some, else from the photo; remember both."""
    detector, embedder = _detector_key(pipeline), _embedder_key(pipeline)
    vectors: dict[str, FloatArray] = {}
    crops = {h: found.crop for h, found in cache.crops(block, detector).items() if found.crop is not None}
    if crops:
        vectors.update(zip(crops, pipeline.embedder.embed(np.stack(list(crops.values()))), strict=True))
    fresh = {h: path for h, path in block.items() if h not in crops}
    found_crops = []
    steps = Steps(main_only=True, keep_crops=True)
    for h, found in zip(fresh, pipeline.read_many(fresh.values(), steps), strict=True):
        if found.error is not None:
            errors[h] = found.error
            continue
        if found.faces and found.crops is not None:
            face = found.faces[0]
            found_crops.append((h, CachedCrop(found.crops[0], face.score, face.landmarks)))
            if face.embedding is not None:
                vectors[h] = face.embedding
        else:
            found_crops.append((h, CachedCrop(None, 0.0, None)))
    cache.add_crops(detector, found_crops)
    cache.add_embeddings(detector, embedder, list(vectors.items()))
    return vectors


def _embedded(path: Path, found: PhotoFaces) -> EmbeddedPhoto:
    embedding = found.faces[0].embedding if found.faces else None
    return EmbeddedPhoto(path, found.sha256, embedding, found.error)


def _hash(path: Path) -> tuple[str, FacewiseError | None]:
    try:
        return content_hash(load(path)), None
    except ImageError as error:
        return "", error


def _detector_key(pipeline: Pipeline) -> str:
    """What decides a crop: the detector, its settings, and the size of the crop."""
    settings = json.dumps(asdict(pipeline.detector.settings), sort_keys=True)
    text = f"{pipeline.detector.fingerprint} {settings} {pipeline.crop_size}"
    return hashlib.sha256(text.encode()).hexdigest()


def _embedder_key(pipeline: Pipeline) -> str:
    return f"{pipeline.embedder.fingerprint}{'+flip' if pipeline.embedder.flip else ''}"
