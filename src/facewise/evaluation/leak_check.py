"""What is done about photos and people of a test set that the models measured on it were trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from facewise.concurrency import side_by_side
from facewise.data.lfw import Pair
from facewise.data.seen import read_run
from facewise.data.source import FileSource, Subset
from facewise.errors import DatasetError, ImageError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import Progress
from facewise.evaluation.leakage import Leakage, TestedPhoto, find_leakage
from facewise.evaluation.looks import Photo, find_crop, find_looks
from facewise.evaluation.pair_file import PairFile
from facewise.evaluation.side_by_side import Model, embedder_of
from facewise.hardware import available_threads
from facewise.image import content_hash, load
from facewise.models.trained_on import TrainedOn
from facewise.types import Image

_BLOCK = 64
"""Photos a thread reads at once: handing over each by itself takes as long as reading it."""


class LeakPolicy(StrEnum):
    """What to do where photos of the test set were trained on."""

    REFUSE = "refuse"
    EXCLUDE = "exclude"
    MARK = "mark"


class LeakageError(DatasetError):
    """Photos of the test set were trained on.

    Attributes:
        found: What the models have in common with it.
    """

    def __init__(self, sentence: str, found: tuple[Leakage, ...]) -> None:
        super().__init__(sentence)
        self.found = found


@dataclass(frozen=True, slots=True)
class LeftOutFor:
    """What `LeakPolicy.EXCLUDE` left out.

    Attributes:
        photos: Photos that were trained on.
        people: People who were, by name or because one of these photos shows them.
        what: What was left out for their sake: `pairs` or `photos`.
        number: How many of these.
    """

    photos: int
    people: int
    what: str
    number: int

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {"photos": self.photos, "people": self.people, self.what + "_left_out": self.number}


@dataclass(frozen=True, slots=True)
class Leaks:
    """What a test set has in common with the training of the models measured on it.

    Attributes:
        policy: What is done about it.
        found: One a model.
    """

    policy: LeakPolicy
    found: tuple[Leakage, ...]

    @property
    def photos(self) -> set[str]:
        """Names of the photos in common with any model."""
        return {common.photo for one in self.found for common in one.photos}

    @property
    def people(self) -> set[str]:
        """The people in common with any model, by name or in a photo in common."""
        return {person for one in self.found for person in one.everybody}

    def to_dict(self, model: int, left_out: LeftOutFor | None = None) -> dict[str, Any]:
        """Of one model, plain Python for JSON."""
        gone = None if left_out is None else left_out.to_dict()
        return {"policy": str(self.policy), **self.found[model].to_dict(), "left_out": gone}

    def refuse(self, what: str) -> None:
        """Go no further where photos are in common and nobody said what to do about it.

        Args:
            what: Name of the test set.

        Raises:
            LeakageError: They are.
        """
        leaking = [one for one in self.found if one.photos]
        if self.policy is not LeakPolicy.REFUSE or not leaking:
            return
        first = leaking[0]
        others = "".join(f"; {one.model} on {len(one.photos)} of them" for one in leaking[1:])
        count = len(first.photos)
        raise LeakageError(
            f"{first.model} was trained on {count} {'photo' if count == 1 else 'photos'} of {what} "
            f"({first.photos_told()}){others}; --leaks exclude leaves out what they and their people are in, "
            "--leaks mark measures all and says so.",
            self.found,
        )

    def without(self, file: PairFile) -> tuple[PairFile, LeftOutFor]:
        """The pairs in which nothing and nobody is in common.

        Raises:
            DatasetError: Too few are left.
        """
        keep, gone = self.kept(file.pairs, file.people, file.name)
        return file.only(keep), gone

    def kept(
        self, pairs: Sequence[Pair], people: Sequence[tuple[str, str]] | None, what: str
    ) -> tuple[list[int], LeftOutFor]:
        """Places of the pairs in which nothing and nobody is in common.

        Args:
            pairs: Of photos by the names they were looked for by.
            people: The two people of each, or None where nobody is named.
            what: Name of the test set.

        Raises:
            DatasetError: Too few are left.
        """
        photos, gone = self.photos, self.people
        keep = [
            i
            for i, pair in enumerate(pairs)
            if photos.isdisjoint((pair.a, pair.b)) and (people is None or gone.isdisjoint(people[i]))
        ]
        kinds = [sum(pairs[i].same == same for i in keep) for same in (True, False)]
        if min(kinds) < 2:
            raise DatasetError(
                f"Without what was trained on, {kinds[0]} same and {kinds[1]} different pairs of {what} are "
                "left, too few to measure."
            )
        return keep, self._left_out("pairs", len(pairs) - len(keep))

    def without_people(self, folder: FileSource) -> tuple[FileSource, LeftOutFor]:
        """The photos of the people nothing of whom is in common.

        Raises:
            DatasetError: Nobody is left.
        """
        gone = self.people
        keep = [i for i, label in enumerate(folder.labels) if folder.names[label] not in gone]
        if not keep:
            raise DatasetError(f"Everybody of {folder.name} was trained on, so nobody is left to measure.")
        part = Subset(folder, keep)
        kept = FileSource(folder.name, folder.root, part.keys, part.labels, part.names)
        return kept, self._left_out("photos", len(folder.keys) - len(keep))

    def _left_out(self, what: str, number: int) -> LeftOutFor:
        return LeftOutFor(len(self.photos), len(self.people), what, number)


class LeakCheck:
    """Looks for the training photos of models in test sets.

    Attributes:
        records: What each model was trained on, or None.
    """

    def __init__(
        self,
        models: Sequence[Model],
        names: Sequence[str],
        policy: LeakPolicy = LeakPolicy.REFUSE,
        runs: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        """Read what the models were trained on.

        Args:
            models: To be measured.
            names: What to call each.
            policy: What to do where photos are in common.
            runs: Training runs, for the models whose files do not list their photos.

        Raises:
            DatasetError: One of them is no run, or its record is damaged.
        """
        self.models, self.names, self.policy = tuple(models), tuple(names), policy
        given = [read_run(run) for run in runs]
        cards = [embedder_of(model).model.card for model in models]
        self.unused = bool(given) and all(_is_listed(card.trained_on) for card in cards)
        self.records = [
            card.trained_on if _is_listed(card.trained_on) or not given else _joined(given) for card in cards
        ]

    @property
    def wanted(self) -> bool:
        """Whether photos are to be looked at: a model has a list of those it was trained on."""
        return any(_is_listed(record) for record in self.records)

    def find(
        self,
        photos: Sequence[tuple[str, Photo, str]],
        people: Iterable[str] = (),
        *,
        cache: FaceCache | None = None,
        progress: Progress = lambda _: None,
        processes: bool = False,
    ) -> Leaks:
        """What is in common; nothing is read where no model has a list of photos.

        Args:
            photos: Name, file and person (empty where not known) of each photo, each once.
            people: Names of the people of the test set, those of `photos` included.
            cache: Where crops and looks are kept; without one looks are not compared.
            progress: Told as photos are done.
            processes: See `Pipeline.read_many`.
        """
        everybody = {*people, *(person for _, _, person in photos if person)}
        tested: list[TestedPhoto] = []
        digests: list[str] = []

        def crop_of(place: int) -> Image | None:
            photo = photos[place][1]
            return None if cache is None else find_crop(self.models[0], digests[place], photo, cache)

        if self.wanted:
            digests = _digests([photo for _, photo, _ in photos])
            known = {d: photo for d, (_, photo, _) in zip(digests, photos, strict=True) if d}
            looks = {}
            if cache is not None:
                looks = find_looks(self.models[0], known, cache, progress=progress, processes=processes)
            tested = [
                TestedPhoto(name, digest, looks.get(digest, b""), person)
                for digest, (name, _, person) in zip(digests, photos, strict=True)
            ]
        return Leaks(
            self.policy,
            tuple(
                find_leakage(embedder_of(model).model.card, tested, everybody, name=name, trained_on=record)
                for model, name, record in zip(self.models, self.names, self.records, strict=True)
            ),
        )


def _is_listed(record: TrainedOn | None) -> bool:
    return record is not None and record.listed


def _joined(records: Sequence[TrainedOn]) -> TrainedOn:
    first, *others = records
    for other in others:
        first = first.joined(other)
    return first


def _digests(photos: Sequence[Photo]) -> list[str]:
    blocks = (photos[start : start + _BLOCK] for start in range(0, len(photos), _BLOCK))
    done = side_by_side(lambda block: [_digest(photo) for photo in block], blocks, available_threads())
    return [digest for block in done for digest in block]


def _digest(photo: Path | bytes) -> str:
    try:
        return content_hash(load(photo))
    except ImageError:  # whoever embeds it says so
        return ""
