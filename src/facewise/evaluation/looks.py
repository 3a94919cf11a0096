"""The looks of a test set's faces, kept in the cache beside the crops they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from facewise.concurrency import side_by_side
from facewise.data.look import look_of
from facewise.errors import ImageError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import ALIGNED
from facewise.evaluation.embedded import Progress, detector_key, embed_photos
from facewise.evaluation.side_by_side import Model
from facewise.hardware import available_threads
from facewise.image import decode, load
from facewise.pipeline import Pipeline
from facewise.types import Image

Photo = Path | bytes
"""A file, or the bytes of one."""

_VERSION = "look 1"
"""Raise it when the way from crop to look changes."""

_BLOCK = 512
"""Photos a transaction of the cache."""


def find_looks(
    model: Model,
    photos: Mapping[str, Photo],
    cache: FaceCache,
    *,
    progress: Progress = lambda _: None,
    processes: bool = False,
) -> dict[str, bytes]:
    """The look of the main face of every photo; without one where no face was found or nothing can be read.

    Args:
        model: A pipeline, whose crops and embeddings of the photos are in the cache after, or an embedder
            where the photos are aligned crops.
        photos: Photo by the sha256 of its content.
        cache: Where crops and looks are looked up and kept.
        progress: Told as photos are done.
        processes: See `Pipeline.read_many`.
    """
    kept = f"{detector_key(model) if isinstance(model, Pipeline) else ALIGNED} {_VERSION}"
    found = cache.looks(photos, kept)
    progress(len(found))
    missing = {digest: photo for digest, photo in photos.items() if digest not in found}
    if isinstance(model, Pipeline):
        paths = [photo for photo in missing.values() if isinstance(photo, Path)]
        embed_photos(model, paths, cache=cache, processes=processes)
    for block in _blocks(list(missing)):
        if isinstance(model, Pipeline):
            crops = cache.crops(block, detector_key(model))
            some = [(digest, b"" if c.crop is None else look_of(c.crop)) for digest, c in crops.items()]
        else:
            read = side_by_side(_look, [missing[digest] for digest in block], available_threads())
            some = list(zip(block, read, strict=True))
        cache.add_looks(kept, some)
        found.update(some)
        progress(len(block))
    return found


def find_crop(model: Model, digest: str, photo: Photo, cache: FaceCache) -> Image | None:
    """The crop of a photo whose look was found; None where it cannot be had any more."""
    if isinstance(model, Pipeline):
        found = cache.crops([digest], detector_key(model)).get(digest)
        return None if found is None else found.crop
    return _read(photo)


def _look(crop: Photo) -> bytes:
    image = _read(crop)
    return b"" if image is None else look_of(image)


def _read(crop: Photo) -> Image | None:
    try:
        image = decode(load(crop))
    except ImageError:  # whoever embeds it says so
        return None
    return image if image.shape[0] == image.shape[1] else None


def _blocks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))
