"""One embedding a photo for a whole dataset: side by side, through the cache, with progress."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from facewise.concurrency import side_by_side
from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ImageError
from facewise.evaluation.cache import CachedCrop, FaceCache
from facewise.image import content_hash, load
from facewise.models.float_form import is_int8
from facewise.pipeline import PhotoFaces, Pipeline, Steps
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
        others: How many faces the photo has beside the main one.
    """

    path: Path
    sha256: str
    embedding: FloatArray | None
    error: FacewiseError | None = None
    others: int = 0


def embed_photos(
    pipeline: Pipeline,
    photos: Sequence[Path],
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
) -> list[EmbeddedPhoto]:
    """The embedding of the main face of every photo.

    Args:
        pipeline: Detector and embedder.
        photos: Paths.
        cache: Where crops and embeddings are looked up and kept, or None.
        progress: Called as photos are done.
        processes: See `Pipeline.read_many`.

    Returns:
        One entry a photo, in order.
    """
    pipeline.embedder.settle(len(photos))  # before the cache is asked for what its network gave
    if cache is None:
        done = []
        found_all = pipeline.read_many(photos, Steps(main_only=True), processes=processes)
        for path, found in zip(photos, found_all, strict=True):
            done.append(_embedded(path, found))
            progress(1)
        return done
    hashed = list(side_by_side(_hash, photos, pipeline.threads))
    paths = {digest: path for path, (digest, _) in zip(photos, hashed, strict=True) if digest}
    run = _CachedRun(pipeline, cache, paths)
    progress(len(photos) - len(run.missing))
    run.from_crops(progress)
    run.from_photos(progress, processes=processes)
    others = cache.others(paths, run.detector)
    done = [
        EmbeddedPhoto(
            path, digest, run.vectors.get(digest), error or run.errors.get(digest), others.get(digest, 0)
        )
        for path, (digest, error) in zip(photos, hashed, strict=True)
    ]
    return _told_by_name(pipeline, done, paths)


def _told_by_name(
    pipeline: Pipeline, done: Sequence[EmbeddedPhoto], read: Mapping[str, Path]
) -> list[EmbeddedPhoto]:
    """Of several bad photos with one content only one was read; the others are, to be told by their names."""
    others = [
        i
        for i, one in enumerate(done)
        if one.error is not None and read.get(one.sha256, one.path) != one.path
    ]
    again = pipeline.read_many([done[i].path for i in others], Steps(align=False, embed=False))
    named = {i: found.error or done[i].error for i, found in zip(others, again, strict=True)}
    return [replace(one, error=named.get(i, one.error)) for i, one in enumerate(done)]


class _CachedRun:
    """What is known of photos (by hash), what is missing, and finding it out; all of it is remembered."""

    def __init__(self, pipeline: Pipeline, cache: FaceCache, paths: Mapping[str, Path]) -> None:
        self.pipeline, self.cache = pipeline, cache
        self.detector, self.embedder = detector_key(pipeline), embedder_key(pipeline.embedder)
        self.vectors = cache.embeddings(paths, self.detector, self.embedder)
        faceless = cache.without_face((h for h in paths if h not in self.vectors), self.detector)
        self.missing = {h: p for h, p in paths.items() if h not in self.vectors and h not in faceless}
        self.errors: dict[str, FacewiseError] = {}

    def from_crops(self, progress: Progress) -> None:
        """Embed what another embedder's run has left the crops of."""
        for block in _blocks(list(self.missing)):
            crops = {
                h: f.crop for h, f in self.cache.crops(block, self.detector).items() if f.crop is not None
            }
            if crops:
                embeddings = self.pipeline.embedder.embed(np.stack(list(crops.values())))
                self._keep([], list(zip(crops, embeddings, strict=True)))
                progress(len(crops))
            for h in crops:
                del self.missing[h]

    def from_photos(self, progress: Progress, *, processes: bool) -> None:
        """Detect, align and embed the rest; every few hundred photos are remembered."""
        steps = Steps(main_only=True, keep_crops=True)
        found_all = self.pipeline.read_many(list(self.missing.values()), steps, processes=processes)
        crops: list[tuple[str, CachedCrop]] = []
        vectors: list[tuple[str, FloatArray]] = []
        for h, found in zip(self.missing, found_all, strict=True):
            progress(1)
            if found.error is not None:
                self.errors[h] = found.error
                continue
            crops.append((h, _cached_crop(found)))
            if found.faces and found.faces[0].embedding is not None:
                vectors.append((h, found.faces[0].embedding))
            if len(crops) == _BLOCK:
                self._keep(crops, vectors)
                crops, vectors = [], []
        self._keep(crops, vectors)

    def _keep(
        self, crops: Sequence[tuple[str, CachedCrop]], vectors: Sequence[tuple[str, FloatArray]]
    ) -> None:
        self.vectors.update(vectors)
        self.cache.add_crops(self.detector, crops)
        self.cache.add_embeddings(self.detector, self.embedder, vectors)


def _cached_crop(found: PhotoFaces) -> CachedCrop:
    if not found.faces or found.crops is None:
        return CachedCrop(None, 0.0, None)
    return CachedCrop(found.crops[0], found.faces[0].score, found.faces[0].landmarks, found.others)


def _blocks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))


def _embedded(path: Path, found: PhotoFaces) -> EmbeddedPhoto:
    embedding = found.faces[0].embedding if found.faces else None
    return EmbeddedPhoto(path, found.sha256, embedding, found.error, found.others)


def _hash(path: Path) -> tuple[str, FacewiseError | None]:
    try:
        return content_hash(load(path)), None
    except ImageError as error:
        return "", error


def detector_key(pipeline: Pipeline) -> str:
    """What decides a crop: the detector, its settings, and the cut."""
    settings = json.dumps(asdict(pipeline.detector.settings), sort_keys=True)
    ways = "" if pipeline.any_way_up else " upright only"
    text = f"{pipeline.detector.fingerprint} {settings} {pipeline.cut.key}{ways}"
    return hashlib.sha256(text.encode()).hexdigest()


def embedder_key(embedder: Embedder) -> str:
    """What decides an embedding of a crop: model, variant, and whether the mirrored crop's is averaged in."""
    float_too = "+float" if embedder.variant.name == "float" and is_int8(embedder.model.network) else ""
    return f"{embedder.fingerprint}{float_too}{'+flip' if embedder.flip else ''}"
