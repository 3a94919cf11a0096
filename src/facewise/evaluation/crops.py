"""One embedding a crop, for photos that are aligned faces already: no detector, the same cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from facewise.concurrency import side_by_side
from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ImageError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto, Progress, embed_photos, embedder_key
from facewise.geometry import Cut, align, template
from facewise.hardware import available_threads
from facewise.image import content_hash, decode, load
from facewise.pipeline import Pipeline
from facewise.types import FloatArray, Image

ALIGNED = "aligned crops"
"""What stands for the detector of crops that came aligned."""

_BLOCK = 512
"""Crops held at once: 19 MB of 112×112."""


def embed_any(
    model: Pipeline | Embedder,
    photos: Sequence[Path],
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
) -> list[EmbeddedPhoto]:
    """The embedding of every photo: with a pipeline, of its main face; with an embedder, as the crop it is.

    Arguments as `embed_photos`.
    """
    if isinstance(model, Embedder):
        return embed_crops(model, photos, [str(photo) for photo in photos], cache=cache, progress=progress)
    return embed_photos(model, photos, cache=cache, progress=progress, processes=processes)


def embed_crops(
    embedder: Embedder,
    crops: Sequence[Path | bytes],
    names: Sequence[str],
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
) -> list[EmbeddedPhoto]:
    """The embedding of every crop; the same content is embedded once.

    Crops of another size than the embedder's are brought to it: 5-point ones by the landmarks their own size
    has, those of the box by resizing them.

    Args:
        embedder: Its flip setting is used.
        crops: Files, or the bytes of image files; square.
        names: What to call each in messages; also the paths of the result.
        cache: Where embeddings are looked up and kept, or None.
        progress: Told as crops are done.

    Returns:
        One entry a crop, in order; one that cannot be read has its error.
    """
    embedder.settle(len(crops))
    key = embedder_key(embedder)
    hashed = list(side_by_side(_hash, crops, available_threads()))
    first = {digest: i for i, (digest, _) in reversed(list(enumerate(hashed))) if digest}
    vectors = {} if cache is None else cache.embeddings(first, ALIGNED, key)
    missing = [i for digest, i in first.items() if digest not in vectors]
    errors: dict[str, FacewiseError] = {}
    progress(len(crops) - len(missing))
    for block in (missing[start : start + _BLOCK] for start in range(0, len(missing), _BLOCK)):
        found, images = [], []
        for i, crop in zip(block, _read([(crops[i], names[i]) for i in block], embedder), strict=True):
            if isinstance(crop, FacewiseError):
                errors[hashed[i][0]] = crop
            else:
                found.append(hashed[i][0])
                images.append(crop)
        if images:
            new = list(zip(found, embedder.embed(np.stack(images)), strict=True))
            vectors.update(new)
            if cache is not None:
                cache.add_embeddings(ALIGNED, key, new)
        progress(len(block))
    return [
        _entry(
            name, digest, vectors.get(digest), error or _own_error(errors.get(digest), crop, name, embedder)
        )
        for crop, name, (digest, error) in zip(crops, names, hashed, strict=True)
    ]


def _own_error(
    error: FacewiseError | None, crop: Path | bytes, name: str, embedder: Embedder
) -> FacewiseError | None:
    """The error of a crop by its own name, where one of the same content was read."""
    if error is None:
        return None
    (found,) = _read([(crop, name)], embedder)
    return found if isinstance(found, FacewiseError) else error


def _entry(name: str, digest: str, vector: FloatArray | None, error: FacewiseError | None) -> EmbeddedPhoto:
    return EmbeddedPhoto(Path(name), digest, vector, error)


def _hash(crop: Path | bytes) -> tuple[str, FacewiseError | None]:
    try:
        return content_hash(load(crop)), None
    except ImageError as error:
        return "", error


def _read(crops: Sequence[tuple[Path | bytes, str]], embedder: Embedder) -> Iterator[Image | FacewiseError]:
    def read(crop: tuple[Path | bytes, str]) -> Image | FacewiseError:
        try:
            return _of_size(decode(load(crop[0]), name=crop[1]), embedder.cut, crop[1])
        except ImageError as error:
            return error

    return side_by_side(read, crops, available_threads())


def _of_size(image: Image, cut: Cut, name: str) -> Image:
    """The crop in the size of the cut it was made by.

    Raises:
        ImageError: It is not square, so it is no aligned crop.
    """
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(f"{name} is {width}×{height} pixels, no square crop; align it first.")
    if height == cut.size:
        return image
    if cut.alignment == "5-point":
        return align(image, template(height), cut.size)
    return np.asarray(Cut(cut.size, "box").of(image, [[0, 0, width, height]], None)[0])
