"""What a model of attributes says of the main face of each labelled photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.analysis.attributes import AttributeModel, unfit
from facewise.data.attributes import LabelledPhotos
from facewise.detection import Detector
from facewise.errors import FacewiseError
from facewise.image import read_image
from facewise.pipeline import Pipeline, Steps
from facewise.types import FloatArray, Image

_AT_ONCE = 256
"""Faces handed to the model together."""


@dataclass(frozen=True, slots=True, eq=False)
class ToldFaces:
    """Faces and what was told of them.

    Attributes:
        places: (K,) which photos they are of.
        probabilities: Attribute → (K, its width), of all that the model knows.
        notes: Place → why `analyze` says nothing of the face, for those of which it does not; they count all
            the same.
        without_face: Photos in which no face was found.
        unreadable: Photos that cannot be read, and why.
    """

    places: NDArray[np.int64]
    probabilities: Mapping[str, FloatArray]
    notes: Mapping[int, str] = field(default_factory=dict)
    without_face: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Found:
    places: list[int] = field(default_factory=list)
    crops: list[Image] = field(default_factory=list)
    told: list[dict[str, FloatArray]] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def tell_photos(
    photos: LabelledPhotos,
    model: AttributeModel,
    detector: Detector | None,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> ToldFaces:
    """Look at every photo.

    Args:
        photos: Labelled.
        model: What tells.
        detector: Finds the faces; None takes the photos for crops as they are.
        threads: Photos side by side; None is all CPUs of this process.
        progress: Told of photos done.
    """
    found = _Found()
    for place, crop in _crops(photos, model, detector, threads, found):
        progress(1)
        if crop is not None:
            found.places.append(place)
            found.crops.append(crop)
        if len(found.crops) == _AT_ONCE:
            _tell(found, model)
    _tell(found, model)
    empty = model.predict(np.empty((0, model.crop_size, model.crop_size, 3), np.uint8))
    told = {name: np.concatenate([rows, *(one[name] for one in found.told)]) for name, rows in empty.items()}
    return ToldFaces(
        np.array(found.places, np.int64), told, found.notes, tuple(found.without), tuple(found.unreadable)
    )


def _tell(found: _Found, model: AttributeModel) -> None:
    if found.crops:
        found.told.append(model.predict(np.stack(found.crops)))
        found.crops.clear()


def _crops(
    photos: LabelledPhotos,
    model: AttributeModel,
    detector: Detector | None,
    threads: int | None,
    found: _Found,
) -> Iterator[tuple[int, Image | None]]:
    """The crop of each photo in its order, None of one without."""
    paths = [photos.root / key for key in photos.keys]
    if detector is None:
        for place, path in enumerate(paths):
            try:
                yield place, _sized(read_image(path), model.crop_size)
            except FacewiseError as error:
                found.unreadable.append((photos.keys[place], str(error)))
                yield place, None
        return
    pipeline = Pipeline(detector, None, cut=model.cut, threads=threads)
    steps = Steps(embed=False, main_only=True, keep_crops=True)
    for place, one in enumerate(pipeline.read_many(paths, steps)):
        if one.error is not None:
            found.unreadable.append((photos.keys[place], str(one.error)))
        elif one.crops is None or not len(one.crops):
            found.without.append(photos.keys[place])
        else:
            note = unfit(one.faces[0].quality)
            if note:
                found.notes[place] = note
            yield place, one.crops[0]
            continue
        yield place, None


def _sized(image: Image, size: int) -> Image:
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
