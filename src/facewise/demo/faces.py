"""Photos read to one embedded face each, with a crop to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.demo.cast import People
from facewise.demo.teller import Teller
from facewise.geometry import align
from facewise.image import read_image
from facewise.pipeline import Pipeline, Steps
from facewise.types import FloatArray, Image

_SHOWN = 112
"""Side in pixels of a crop that is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """The main face of a photo.

    Attributes:
        person: Who it is.
        key: Of the photo.
        embedding: (D,) float32 of unit length.
        crop: (112, 112, 3) RGB to look at; None unless asked for.
    """

    person: str
    key: str
    embedding: FloatArray
    crop: Image | None = None


def read_faces(
    pipeline: Pipeline,
    people: People,
    groups: Sequence[Sequence[str]],
    label: str,
    teller: Teller,
    *,
    show: bool,
) -> tuple[list[ReadFace], list[str]]:
    """Read all photos of some people.

    Args:
        pipeline: Detects and embeds.
        people: Whose photos.
        groups: Of the cast.
        label: What is being done.
        teller: Told of progress.
        show: Cut a crop to show.

    Returns:
        The faces, and the photos without one: a sentence for each.
    """
    faces, without = [], []
    photos = people.of(*groups)
    read = pipeline.read_many([people.path(key) for _, key in photos], Steps(main_only=True))
    with teller.bar(label, len(photos)) as done:
        for (person, key), photo in zip(photos, read, strict=True):
            if photo.error is not None:
                without.append(str(photo.error))
            elif not photo.faces or photo.faces[0].embedding is None:
                without.append(f"No face was found in {key}.")
            else:
                face = photo.faces[0]
                crop = align(read_image(people.path(key)), face.landmarks, _SHOWN) if show else None
                faces.append(ReadFace(person, key, photo.faces[0].embedding, crop))
            done()
    return faces, without


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """Every pair of some faces.

    Attributes:
        a: (P,) index of one face.
        b: (P,) of the other.
        same: (P,) whether both are of one person.
        scores: (P,) cosine similarities.
    """

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    same: NDArray[np.bool_]
    scores: NDArray[np.float64]


def all_pairs(faces: Sequence[ReadFace]) -> AllPairs:
    """Pair every face with every other."""
    unit = np.stack([face.embedding for face in faces]).astype(np.float64)
    names = np.array([face.person for face in faces])
    a, b = np.triu_indices(len(faces), 1)
    return AllPairs(a, b, names[a] == names[b], np.clip(np.einsum("ij,ij->i", unit[a], unit[b]), -1.0, 1.0))
