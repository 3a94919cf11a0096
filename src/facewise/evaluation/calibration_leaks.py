"""What a model was trained on among the photos it is to be calibrated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facewise.errors import DatasetError
from facewise.evaluation.calibration_data import PairsOfPhotos, PhotosOfPeople
from facewise.evaluation.leak_check import Leaks, LeftOutFor

Data = PhotosOfPeople | PairsOfPhotos


def tested_photos(data: Data) -> list[tuple[str, Path, str]]:
    """Name, file and person (empty where not known) of each photo, as `LeakCheck.find` takes them."""
    if isinstance(data, PhotosOfPeople):
        return [
            (f"{photo.parent.name}/{photo.name}", photo, data.names[label])
            for photo, label in zip(data.photos, data.labels.tolist(), strict=True)
        ]
    person: dict[str, str] = {}
    for pair, two in zip(data.pairs, data.people or (), strict=data.people is not None):
        person |= dict(zip((pair.a, pair.b), two, strict=True))
    return [(key, photo, person.get(key, "")) for key, photo in zip(data.keys, data.photos, strict=True)]


def without_leaks(data: Data, leaks: Leaks) -> tuple[Data, LeftOutFor]:
    """The data without the people, or the pairs, that have something in common with the training.

    Raises:
        DatasetError: Nothing, or too little, is left.
    """
    gone = leaks.people
    told = f"{data.left_out} (without {len(gone)} people and {len(leaks.photos)} photos it was trained on)"
    if isinstance(data, PhotosOfPeople):
        keep = np.array([data.names[label] not in gone for label in data.labels.tolist()], np.bool_)
        if not keep.any():
            raise DatasetError(f"The model was trained on everybody of {data.name}; calibrate it on others.")
        photos = [photo for photo, kept in zip(data.photos, keep, strict=True) if kept]
        left = LeftOutFor(len(leaks.photos), len(gone), "photos", int((~keep).sum()))
        people_left, labels = np.unique(data.labels[keep], return_inverse=True)
        names = [data.names[label] for label in people_left.tolist()]
        return replace(data, photos=photos, labels=labels.astype(np.int64), names=names, left_out=told), left
    places, left = leaks.kept(data.pairs, data.people, data.name)
    pairs = [data.pairs[i] for i in places]
    used = {photo for pair in pairs for photo in (pair.a, pair.b)}
    kept = [(key, photo) for key, photo in zip(data.keys, data.photos, strict=True) if key in used]
    people = None if data.people is None else [data.people[i] for i in places]
    return (
        replace(
            data,
            keys=[key for key, _ in kept],
            photos=[photo for _, photo in kept],
            pairs=pairs,
            people=people,
            left_out=told,
        ),
        left,
    )
