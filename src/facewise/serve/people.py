"""The gallery as the service uses it: people by number, one change at a time, photos that were read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from facewise.errors import NameTakenError, UnknownPersonError
from facewise.gallery import Gallery
from facewise.gallery.identification import if_live
from facewise.gallery.names import clean_name
from facewise.gallery.results import Enrollment, Identification, Person, PersonDetail
from facewise.gallery.search import Scoring
from facewise.image import ImageSource
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.quality import Gate
from facewise.serve.settings import Keep
from facewise.serve.uploads import Upload
from facewise.types import Decision, Face, FloatArray

_FRESH = 0.2
"""Seconds for which the gallery's size is believed; what this service changes counts at once."""

_MOST_KNOWN = 100


class ReadUpload(Upload):
    """A photo that the workers have looked at already."""

    found: PhotoFaces

    @classmethod
    def of(cls, upload: Upload, found: PhotoFaces) -> ReadUpload:
        """The upload, and what was found in it."""
        read = cls(upload)
        read.name, read.found = upload.name, found
        return read


class UploadReader:
    """What the gallery reads photos with: it hands out what the workers found.

    Args:
        pipeline: Whose embedder was used; reads what no worker has seen.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.embedder = pipeline.embedder

    def read(self, photo: ImageSource) -> PhotoFaces:
        """The faces of one photo."""
        return photo.found if isinstance(photo, ReadUpload) else self._pipeline.read(photo)

    def read_many(self, photos: Iterable[ImageSource]) -> Iterator[PhotoFaces]:
        """The faces of many photos, in order."""
        return (self.read(photo) for photo in photos)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a search; equal ones are searched together."""

    fmr: float | None = None
    fpir: float | None = None
    threshold: float | None = None
    scoring: Scoring = "best"
    top: int = 5
    groups: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """What holds for all probes of a search: the rule, and how large the gallery is."""

    decision: Decision | None
    people: int
    samples: int


class People:
    """A gallery behind a service. Any thread may use it; changes wait for each other.

    Args:
        gallery: Read with an `UploadReader` from now on.
        pipeline: Whose embeddings it holds.
        keep: What is kept of enrolled photos.
    """

    def __init__(self, gallery: Gallery, pipeline: Pipeline, keep: Keep) -> None:
        self.gallery = gallery
        self._embedder = pipeline.embedder
        self._keep = keep
        self._changing = threading.Lock()
        self._known: dict[Asked, tuple[float, Searched]] = {}

    def search(
        self, rows: FloatArray, asked: Asked, faces: Sequence[Face] | None = None
    ) -> tuple[Searched, Sequence[Identification]]:
        """Who these probes are: see `Engine`."""
        gallery, shared = self.gallery, self._facts(asked)
        if not len(rows):
            return shared, ()
        qualities = None if faces is None else [face.quality for face in faces]
        who = gallery.identify_embeddings(
            rows, fingerprint=self._embedder.fingerprint, model=self._embedder.name,
            flip=self._embedder.flip, decision=shared.decision, scoring=asked.scoring, top=asked.top,
            groups=asked.groups, calibration=self._embedder.calibration, qualities=qualities,
        )  # fmt: skip
        return shared, who if faces is None else if_live(who, faces)

    def _facts(self, asked: Asked) -> Searched:
        """The rule and the gallery's size, looked up once in a while: that takes as long as a search does."""
        now, known = time.monotonic(), self._known.get(asked)
        if known is not None and now < known[0]:
            return known[1]
        gallery = self.gallery
        decision = gallery.search_decision(
            fmr=asked.fmr,
            fpir=asked.fpir,
            threshold=asked.threshold,
            scoring=asked.scoring,
            groups=asked.groups,
        )
        facts = Searched(decision, gallery.comparisons("mean"), gallery.comparisons("best"))
        if len(self._known) > _MOST_KNOWN:
            self._known = {}
        self._known[asked] = (now + _FRESH, facts)
        return facts

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A change by this service, from whose end on nothing of before is believed."""
        with self._changing:
            try:
                yield
            finally:
                self._known = {}

    def search_rule(self) -> Decision | None:
        """What a search is decided by that asks for nothing else."""
        return self.gallery.search_decision()

    def size(self) -> tuple[int, int]:
        """People and samples."""
        return self.gallery.comparisons("mean"), self.gallery.comparisons("best")

    def list(
        self, offset: int, limit: int, search: str | None, group: str | None
    ) -> tuple[list[Person], int]:
        """One page of the people, by name, and how many there are in all."""
        return self.gallery.page(offset, limit, search, group)

    def person(self, person: int) -> PersonDetail:
        """One person; `UnknownPersonError` where there is none of that number."""
        return self.gallery.person(person)

    def enrol(
        self,
        name: str,
        groups: Sequence[str],
        photos: Sequence[ReadUpload],
        quality: Gate = "standard",
    ) -> tuple[PersonDetail, Enrollment]:
        """Makes a person.

        Raises:
            NameTakenError: There is one of that name.
            FacewiseError: No photo is good: the first one's reason.
        """
        name = clean_name(name)
        with self._change():
            if self._exists(name):
                raise NameTakenError(
                    f"There is somebody called {name!r} already: add photos to them, or take another name."
                )
            sources = cast("Sequence[ImageSource]", photos)
            done = self.gallery.enroll(name, sources, keep=self._keep, groups=groups, quality=quality)
            return self.gallery.show(name), done

    def add(
        self, person: int, photos: Sequence[ReadUpload], quality: Gate = "standard"
    ) -> tuple[PersonDetail, Enrollment]:
        """Adds photos to a person; errors as for `enrol`, and where there is no such person."""
        with self._change():
            name = self.person(person).name
            sources = cast("Sequence[ImageSource]", photos)
            done = self.gallery.enroll(name, sources, keep=self._keep, quality=quality)
            return self.person(person), done

    def change(self, person: int, name: str | None, groups: Sequence[str] | None) -> PersonDetail:
        """Gives a person another name, other groups, or both at once."""
        with self._change():
            known = self.person(person)
            named = known.name if name is None else clean_name(name)
            if named == known.name and groups is not None:
                self.gallery.set_groups(known.name, groups)
            else:
                self.gallery.rename(known.name, named, groups)
            return self.person(person)

    def remove(self, person: int) -> int:
        """Deletes a person; says how many samples went."""
        with self._change():
            return self.gallery.remove_id(person)

    def merge(self, into: int, from_: int) -> tuple[PersonDetail, int]:
        """Moves all samples of one to another, and deletes the one."""
        with self._change():
            moved = self.gallery.merge_ids(into, from_)
            return self.person(into), moved

    def remove_sample(self, person: int, sample: int) -> None:
        """Deletes a sample of a person."""
        with self._change():
            self._own(person, sample)
            self.gallery.remove_sample(sample)

    def photo(self, person: int, sample: int) -> bytes:
        """The photo kept with a sample, a JPEG."""
        self._own(person, sample)
        photo = self.gallery.photo(sample)
        if photo is None:
            raise UnknownPersonError("No photo is kept with this sample.")
        return photo

    def _own(self, person: int, sample: int) -> None:
        if all(known.id != sample for known in self.person(person).samples):
            raise UnknownPersonError(f"Person {person} has no sample {sample}.")

    def _exists(self, name: str) -> bool:
        try:
            self.gallery.show(name)
        except UnknownPersonError:
            return False
        return True
