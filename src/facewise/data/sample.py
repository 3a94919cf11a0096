"""Some photos of a dataset, chosen by a seed: aligned crops for an embedder, whole photos for a detector."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from facewise.data.content import StoredPhotos
from facewise.data.folder import labelled
from facewise.data.open import open_source
from facewise.data.prepared import PreparedSource, is_prepared
from facewise.data.recordsource import RecordSource
from facewise.data.source import Source
from facewise.data.store import CropStore
from facewise.errors import DatasetError, ImageError
from facewise.geometry import Cut
from facewise.image import source_name
from facewise.photos import Tell, find_photos, warn
from facewise.pipeline import Pipeline, Steps
from facewise.types import Image

_LOOKED_AT = 5
"""Photos looked at to see whether a dataset is aligned crops already."""


@dataclass(slots=True)
class Sample:
    """Photos of a dataset.

    Attributes:
        images: The photos or crops, (H, W, 3) RGB uint8.
        keys: Of these photos in the dataset.
        without_face: Keys of photos tried in which no face was found.
        unreadable: Keys of photos tried that cannot be read, with the reason.
    """

    images: list[Image] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    without_face: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, key: str, image: Image) -> None:
        """One photo more."""
        self.keys.append(key)
        self.images.append(image)


def open_photos(path: str | os.PathLike[str], *, tell: Tell = warn) -> Source:
    """The photos at a path, whoever is in them: what `open_source` knows, or a folder of photos lying loose.

    In the latter, a person's name is that of the folder the photo lies in.

    Raises:
        DatasetError: There is nothing there, or nothing that holds photos.
    """
    root = Path(path)
    if not root.is_dir() or is_prepared(root) or not find_photos(root, recursive=False):
        return open_source(path, tell=tell)
    pairs = [(photo.relative_to(root).as_posix(), photo.parent.name) for photo in find_photos(root)]
    return labelled(source_name(root), root, pairs)


def sample_photos(
    source: Source,
    count: int,
    *,
    longest: int,
    seed: int = 0,
    without: Collection[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Sample:
    """Whole photos, scaled down where a side is longer than `longest` pixels, which bounds their memory.

    Args:
        source: The dataset.
        count: How many; there may be fewer.
        longest: Pixels.
        seed: Chooses them, and their order.
        without: People whose photos are left out.
        progress: Told as photos are had.
    """
    sample = Sample()
    for i in _order(source, seed, without):
        if len(sample.images) == count:
            break
        try:
            sample.add(source.keys[i], _bounded(source.read(i), longest))
            progress(1)
        except ImageError as error:
            sample.unreadable.append((source.keys[i], str(error)))
    return sample


def sample_crops(
    source: Source,
    count: int,
    cut: Cut | int,
    *,
    pipeline: Callable[[], Pipeline],
    seed: int = 0,
    without: Collection[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Sample:
    """Aligned crops of the main face of as many photos.

    Args:
        source: Photos, or crops already: crops that were prepared, record files, or pictures of that size.
        count: How many; there may be fewer.
        cut: How faces are cut; a number is the side of 5-point crops in pixels.
        pipeline: Makes the detector that finds the faces; not called for crops.
        seed: As in `sample_photos`.
        without: As in `sample_photos`.
        progress: As in `sample_photos`.
    """
    cut = Cut(cut) if isinstance(cut, int) else cut
    size, order = cut.size, _order(source, seed, without)
    if _are_crops(source, order, size):
        sample = sample_photos(source, count, longest=1 << 30, seed=seed, without=without, progress=progress)
        sample.images = [_of_size(crop, size) for crop in sample.images]
        return sample
    sample, loaded = Sample(), pipeline()
    finder = Pipeline(loaded.detector, None, cut=cut, threads=loaded.threads)
    while order and len(sample.images) < count:
        now, order = order[: count - len(sample.images)], order[count - len(sample.images) :]
        _align(source, now, finder, sample, progress)
    return sample


def _align(
    source: Source, chosen: list[int], pipeline: Pipeline, sample: Sample, progress: Callable[[int], None]
) -> None:
    photos = StoredPhotos(source, chosen)
    steps = Steps(embed=False, main_only=True, keep_crops=True)
    for i, found in zip(chosen, pipeline.read_many(photos, steps), strict=True):
        key = source.keys[i]
        error = photos.errors.get(i) or found.error
        if error is not None:
            sample.unreadable.append((key, str(error)))
        elif found.crops is None or not len(found.crops):
            sample.without_face.append(key)
        else:
            sample.add(key, found.crops[0])
            progress(1)


def _order(source: Source, seed: int, without: Collection[str]) -> list[int]:
    allowed = np.array([name not in without for name in source.names], bool)[source.labels]
    chosen = np.flatnonzero(allowed)
    if not len(chosen):
        raise DatasetError(f"No photo of {source.name} is left without the people to be left out.")
    return [int(i) for i in np.random.default_rng(seed).permutation(chosen)]


def _are_crops(source: Source, order: Sequence[int], size: int) -> bool:
    if isinstance(source, CropStore | PreparedSource | RecordSource):
        return True
    sides = set()
    for i in order[:_LOOKED_AT]:
        try:
            sides.add(source.read(i).shape[:2])
        except ImageError:
            continue
    return sides == {(size, size)}


def _of_size(crop: Image, size: int) -> Image:
    if crop.shape[:2] == (size, size):
        return crop
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _bounded(image: Image, longest: int) -> Image:
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
