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
from facewise.geometry import Cut
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


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrop:
    """The main face of a photo.

    Attributes:
        crop: (S, S, 3) RGB uint8.
        note: Why `analyze` says nothing of it, or empty.
    """

    crop: Image
    note: str = ""


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
    places: list[int] = []
    crops: list[Image] = []
    # An empty call first, so that there is something where no face is.
    told = [model.predict(np.empty((0, model.crop_size, model.crop_size, 3), np.uint8))]
    notes, without, unreadable = {}, [], []
    for place, found in enumerate(face_crops(photos, model.cut, detector, threads)):
        progress(1)
        if isinstance(found, FaceCrop):
            places.append(place)
            crops.append(found.crop)
            if found.note:
                notes[place] = found.note
        elif found:
            unreadable.append((photos.keys[place], found))
        else:
            without.append(photos.keys[place])
        if len(crops) == _AT_ONCE:
            told.append(model.predict(np.stack(crops)))
            crops.clear()
    if crops:
        told.append(model.predict(np.stack(crops)))
    probabilities = {name: np.concatenate([one[name] for one in told]) for name in told[0]}
    return ToldFaces(np.array(places, np.int64), probabilities, notes, tuple(without), tuple(unreadable))


def face_crops(
    photos: LabelledPhotos, cut: Cut, detector: Detector | None, threads: int | None = None
) -> Iterator[FaceCrop | str]:
    """The main face of each photo in its order; where there is none an empty text, or why it cannot be read.

    Args:
        photos: Where they are.
        cut: How faces become crops.
        detector: Finds the faces; None takes the photos for crops as they are.
        threads: Photos side by side; None is all CPUs of this process.
    """
    paths = [photos.root / key for key in photos.keys]
    if detector is None:
        for path in paths:
            try:
                yield FaceCrop(_sized(read_image(path), cut.size))
            except FacewiseError as error:
                yield str(error)
        return
    steps = Steps(embed=False, main_only=True, keep_crops=True)
    for one in Pipeline(detector, None, cut=cut, threads=threads).read_many(paths, steps):
        if one.error is not None:
            yield str(one.error)
        elif one.crops is None or not len(one.crops):
            yield ""
        else:
            yield FaceCrop(one.crops[0], unfit(one.faces[0].quality))


def _sized(image: Image, size: int) -> Image:
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
