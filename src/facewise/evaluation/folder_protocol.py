"""A folder per person: all pairs of its photos, and identification from a few photos of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.evaluation.all_pairs import AllPairsResult, all_pairs
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_any
from facewise.evaluation.embedded import EmbeddedPhoto, Progress
from facewise.evaluation.identification import stacked
from facewise.evaluation.pairs import MOST_UNREADABLE, check_readable
from facewise.evaluation.shots import ShotsResult, identify_by_shots
from facewise.evaluation.side_by_side import Model, embedder_of


@dataclass(frozen=True, slots=True, eq=False)
class FolderResult:
    """How one model does on a folder of people.

    Attributes:
        photos: How many there are.
        people: How many people.
        verification: All pairs.
        identification: One a number of shots.
        without_face: Photos in which no face was found: their pairs are scored the least alike, a probe of
            them is missed, and nobody is like a gallery photo of them.
        unreadable: Photos that could not be read, with the reason; it is as if they were not there.
        data_hash: sha256 (hex) over the people and their photos' content.
    """

    photos: int
    people: int
    verification: AllPairsResult
    identification: tuple[ShotsResult, ...]
    without_face: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    data_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "photos": self.photos,
            "people": self.people,
            "without_face": list(self.without_face),
            "unreadable": [{"photo": photo, "error": error} for photo, error in self.unreadable],
            "data_hash": self.data_hash,
            "verification": self.verification.to_dict(),
            "identification": [one.to_dict() for one in self.identification],
        }


def evaluate_folder(
    people: FileSource,
    model: Model,
    *,
    shots: Sequence[int] = (1,),
    strangers: float | None = None,
    repeats: int = 10,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> FolderResult:
    """Measure one model on the photos of people.

    Args:
        people: See `facewise.data.folder.folder_source`.
        model: A pipeline, or an embedder where the photos are aligned crops.
        shots: Photos a person in the galleries; none leaves identification out.
        strangers: See `identify_by_shots`.
        repeats: Random galleries.
        cache: See `embed_photos`.
        progress: Told as photos are done.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos that may be unreadable and left out.

    Raises:
        DatasetError: There are too few people or photos, too many cannot be read, or there is no face.
        SettingError: Shots, strangers or repeats out of range.
    """
    paths = [people.path(i) for i in range(len(people.keys))]
    done = embed_any(model, paths, cache=cache, progress=progress, processes=processes)
    named = list(zip(people.keys, done, strict=True))
    unreadable = tuple((key, str(e.error)) for key, e in named if e.error is not None)
    check_readable(people.name, unreadable, {"photos": (len(unreadable), len(done))}, most_unreadable)
    read = [i for i, e in enumerate(done) if e.error is None]
    labels = np.asarray(people.labels)[read]
    vectors, faceless = stacked([done[i] for i in read], embedder_of(model).embedding_size)
    if faceless.all():
        raise DatasetError(f"In no photo of {people.name} was a face found, so nothing is measured.")
    return FolderResult(
        photos=len(done),
        people=len(people.names),
        verification=all_pairs(vectors, faceless, labels, people.names),
        identification=identify_by_shots(
            vectors, faceless, labels, shots, strangers=strangers, repeats=repeats
        )
        if shots
        else (),
        without_face=tuple(key for key, e in named if e.embedding is None and e.error is None),
        unreadable=unreadable,
        data_hash=_data_hash(people, done),
    )


def _data_hash(people: FileSource, done: Sequence[EmbeddedPhoto]) -> str:
    digest = hashlib.sha256()
    for photo, label in zip(done, people.labels, strict=True):
        digest.update(f"{photo.sha256} {people.names[label]}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
