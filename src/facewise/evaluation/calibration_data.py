"""What a calibration can be made on: LFW, pairs in a CSV, a folder a person."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from facewise.data.folder import folder_source
from facewise.data.lfw import Pair, lfw_people, load_lfw
from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.evaluation.calibrate import spread_evenly
from facewise.evaluation.comparisons import AllPairs, Comparisons, ListedPairs
from facewise.evaluation.embedded import EmbeddedPhoto
from facewise.evaluation.pair_file import read_pair_file
from facewise.evaluation.pair_intervals import PEOPLE, who_is_in
from facewise.evaluation.pairs import data_hash_of, pair_similarities, photos_of

PHOTOS = 10
"""Photos a person whose pairs are all compared, at most, unless another number is asked for."""

Which = Literal["all", "view2"]


class CalibrationData(Protocol):
    """Photos, and which of them are compared.

    Attributes:
        name: What to call it in the model file.
        photos: Where the photos lie, each once.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def photos(self) -> Sequence[Path]:
        """See above."""
        ...

    def protocol(self, compared: Comparisons) -> str:
        """What was compared, for people."""
        ...

    def compared(self, embedded: Sequence[EmbeddedPhoto]) -> tuple[Comparisons, str]:
        """The pairs that have two faces, and whom the intervals resample.

        Args:
            embedded: Of each of `photos`, in order.
        """
        ...

    def content_hash(self, embedded: Sequence[EmbeddedPhoto]) -> str:
        """sha256 (hex) over who or what is compared and the photos' content."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PhotosOfPeople:
    """Photos of known people, each compared with every other.

    Attributes:
        name: See `CalibrationData`.
        photos: See `CalibrationData`.
        labels: (N,) who is in each.
        names: The people.
        most: Photos a person at most; those beyond are not among `photos`.
        left_out: What was left out for the sake of people named, for people; or empty.
    """

    name: str
    photos: Sequence[Path]
    labels: NDArray[np.int64]
    names: Sequence[str]
    most: int
    left_out: str = ""

    def protocol(self, compared: Comparisons) -> str:
        """See `CalibrationData`."""
        people = int(np.count_nonzero(compared.impostor_pairs))
        return f"all pairs of at most {self.most} photos of each of {people} people{self.left_out}"

    def compared(self, embedded: Sequence[EmbeddedPhoto]) -> tuple[Comparisons, str]:
        """See `CalibrationData`."""
        vectors = [photo.embedding for photo in embedded if photo.embedding is not None]
        if not vectors:
            raise DatasetError(f"In no photo of {self.name} was a face found.")
        found = np.array([photo.embedding is not None for photo in embedded])
        return AllPairs(np.stack(vectors), self.labels[found]), PEOPLE

    def content_hash(self, embedded: Sequence[EmbeddedPhoto]) -> str:
        """See `CalibrationData`."""
        digest = hashlib.sha256()
        for photo, label in zip(embedded, self.labels, strict=True):
            digest.update(f"{photo.sha256} {self.names[label]}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class PairsOfPhotos:
    """Pairs that a protocol or somebody lists.

    Attributes:
        name: See `CalibrationData`.
        keys: The photos, as the pairs name them.
        photos: See `CalibrationData`; one a key.
        pairs: Which are compared.
        people: The two people of each pair, or None where nobody is named.
        what: What the pairs are, as in `"View 2"`; or empty.
        left_out: As in `PhotosOfPeople`.
    """

    name: str
    keys: Sequence[str]
    photos: Sequence[Path]
    pairs: Sequence[Pair]
    people: Sequence[tuple[str, str]] | None
    what: str = ""
    left_out: str = ""

    def protocol(self, compared: Comparisons) -> str:
        """See `CalibrationData`."""
        pairs = int(compared.genuine_pairs.sum() + compared.impostor_pairs.sum() // 2)
        return f"{self.what}{pairs} pairs{self.left_out}"

    def compared(self, embedded: Sequence[EmbeddedPhoto]) -> tuple[Comparisons, str]:
        """See `CalibrationData`."""
        by_key = self._by_key(embedded)
        good = [
            place
            for place, pair in enumerate(self.pairs)
            if by_key[pair.a].embedding is not None and by_key[pair.b].embedding is not None
        ]
        if not good:
            raise DatasetError(f"In no pair of {self.name} was a face found in both photos.")
        pairs = [self.pairs[place] for place in good]
        people = None if self.people is None else [self.people[place] for place in good]
        who = who_is_in(pairs, people)
        return ListedPairs(pair_similarities(pairs, by_key), who.first, who.second), who.resampled

    def content_hash(self, embedded: Sequence[EmbeddedPhoto]) -> str:
        """See `CalibrationData`; the same as an evaluation on these pairs has."""
        return data_hash_of(self.pairs, self._by_key(embedded))

    def _by_key(self, embedded: Sequence[EmbeddedPhoto]) -> Mapping[str, EmbeddedPhoto]:
        return dict(zip(self.keys, embedded, strict=True))


def is_lfw(path: Path) -> bool:
    """Whether a folder is taken for LFW: it has the pair file."""
    return (path / "pairs.txt").is_file()


def open_calibration_data(
    path: str | os.PathLike[str],
    *,
    which: Which = "all",
    root: Path | None = None,
    most: int = PHOTOS,
    without: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> PhotosOfPeople | PairsOfPhotos:
    """Find out what the data are, and which photos are compared.

    Args:
        path: A CSV of pairs (see `read_pair_file`), the folder of LFW with `pairs.txt`, or a folder with a
            sub-folder of photos a person.
        which: For LFW, all pairs of its people's photos, or those of View 2.
        root: The folder a CSV's paths are relative to; None is its own.
        most: Photos a person where all pairs are compared, 1 or more.
        without: People to leave out, such as those the embedder was trained on.
        tell: Told what else is left out.

    Raises:
        DatasetError: There are no such data, they are malformed, or nobody is left.
    """
    path = Path(path)
    if path.is_file():
        return _pair_file(path, root, without)
    if not path.is_dir():
        raise DatasetError(f"There is no file or folder {path} to calibrate on.")
    if not is_lfw(path):
        return _people(path.resolve().name, folder_source(path, tell=tell), most, without)
    if which == "all":
        return _people("LFW", lfw_people(path), most, without)
    lfw = load_lfw(path)
    people = [(pair.a.partition("/")[0], pair.b.partition("/")[0]) for pair in lfw.pairs]
    return _listed("LFW", lfw.images, lfw.pairs, people, without, "View 2, ")


def _people(name: str, source: FileSource, most: int, without: Collection[str]) -> PhotosOfPeople:
    named = np.array([person in without for person in source.names])
    left = np.flatnonzero(~named[source.labels])
    if not len(left):
        raise DatasetError(f"Without the people named nobody is left in {name}; name fewer.")
    kept = left[spread_evenly(source.labels[left], most)]
    return PhotosOfPeople(
        name=name,
        photos=[source.path(int(place)) for place in kept],
        labels=source.labels[kept],
        names=source.names,
        most=most,
        left_out=_told(without, int(named.sum())),
    )


def _pair_file(path: Path, root: Path | None, without: Collection[str]) -> PairsOfPhotos:
    found = read_pair_file(path, root)
    if without and found.people is None:
        raise DatasetError(
            f"{found.name} names nobody, so nobody can be left out: add the columns identity_a and "
            "identity_b."
        )
    return _listed(path.stem, found.root, found.pairs, found.people, without, "")


def _listed(
    name: str,
    root: Path,
    pairs: Sequence[Pair],
    people: Sequence[tuple[str, str]] | None,
    without: Collection[str],
    what: str,
) -> PairsOfPhotos:
    left_out = ""
    if without and people is not None:
        named = frozenset(without)
        good = [place for place, two in enumerate(people) if named.isdisjoint(two)]
        left_out = _told(without, len(named & {person for two in people for person in two}))
        pairs, people = [pairs[place] for place in good], [people[place] for place in good]
    if not pairs:
        raise DatasetError(f"Without the people named no pair is left in {name}; name fewer.")
    keys = photos_of(pairs)
    return PairsOfPhotos(name, keys, [root / key for key in keys], pairs, people, what, left_out)


def _told(without: Collection[str], here: int) -> str:
    return f" ({here} of the {len(set(without))} people named left out)" if without else ""
