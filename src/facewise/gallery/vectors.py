"""The gallery of embeddings: everything a gallery does that needs no photo."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from facewise.gallery.enrollment import enrollment, store_picked
from facewise.gallery.identification import identifications
from facewise.gallery.live import LiveIndex
from facewise.gallery.names import clean_groups, clean_name
from facewise.gallery.notes import Noted, Tell
from facewise.gallery.photos import Picked, nothing_enrolled, sift
from facewise.gallery.results import Enrollment, Identification, Person, PersonDetail, Sample, Space
from facewise.gallery.search import Scoring, checked_embeddings
from facewise.gallery.searcher import Searcher
from facewise.gallery.store import Change, Store, refuse_foreign
from facewise.gallery.transfer import read_export, write_export
from facewise.models.calibration import Calibration
from facewise.models.decisions import rule_of
from facewise.quality import Gate, check_gate
from facewise.types import Candidate, Decision, Quality


class VectorGallery:
    """People, their samples and the search over them.

    Any thread may use it; several processes may share its file. The first enrolment binds it to the model
    that made its embeddings, for good: what another model made is refused.

    Args:
        store: Where people and samples are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # A database that searches brings its own.
        self._searcher: Searcher = store.searcher() or LiveIndex(store)

    def close(self) -> None:
        """Ends the use of the gallery; a large one keeps its index for the next opening."""
        self._searcher.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def space(self) -> Space | None:
        """The model the gallery is bound to, or None before the first enrolment."""
        return self._store.space()

    def enroll_embeddings(
        self,
        name: str,
        samples: Sequence[Sample],
        *,
        fingerprint: str,
        model: str = "",
        flip: bool = False,
        decision: Decision | None = None,
        groups: Iterable[str] = (),
        calibration: Calibration | None = None,
        quality: Gate = "standard",
    ) -> Enrollment:
        """Adds embeddings made elsewhere to a person; as `enroll` otherwise.

        Args:
            name: Whose embeddings they are.
            samples: Unit vectors with what is known of their photos.
            fingerprint: Of the model that made them.
            model: That model's name, for people.
            flip: Whether they average a crop and its mirror image.
            decision: The rule by which one is said to look like somebody else, or None to not say so.
            groups: Groups to put the person into, beside those they are in.
            calibration: Of the model, where it is known: what it knows of quality is asked for.
            quality: As of `Gallery.enroll`.

        Raises:
            PoorPhotoError: All were refused, the first for its quality.
            GalleryError: Of another model than the gallery's, no unit vectors, or none was stored.
        """
        check_gate(quality)
        name = clean_name(name)
        picked = Picked(samples=list(samples))
        space = Space(fingerprint, model, len(samples[0].embedding) if samples else 0, flip)
        if calibration is not None and calibration.quality is not None:
            # One sample is one row, so that a matrix given as one is refused, as by what stores it.
            for sample in samples:
                checked_embeddings(np.asarray(sample.embedding)[None], space.size)
            sift(picked, calibration, quality)
        return self._good(picked, self._keep(name, picked, space, decision, clean_groups(groups)))

    def _refuse_foreign(self, space: Space) -> None:
        if (bound := self.space) is not None:
            refuse_foreign(self._store.location, bound, space)

    def _keep(
        self,
        name: str,
        picked: Picked,
        space: Space,
        decision: Decision | None,
        groups: Collection[str] = (),
    ) -> Enrollment:
        return store_picked(self._store, self._searcher, name, picked, space, decision, groups)

    @staticmethod
    def _good(picked: Picked, done: Enrollment) -> Enrollment:
        """The enrolment, unless nothing of it was good: then its error."""
        if done.added or done.duplicates:
            return done
        raise nothing_enrolled(done.name, picked)

    def identify_embeddings(
        self,
        embeddings: ArrayLike,
        *,
        fingerprint: str,
        model: str = "",
        flip: bool = False,
        decision: Decision | None = None,
        scoring: Scoring = "best",
        top: int = 5,
        groups: Collection[str] | None = None,
        calibration: Calibration | None = None,
        qualities: Sequence[Quality | None] | None = None,
    ) -> list[Identification]:
        """Says whose embeddings these are, all in one go.

        Args:
            embeddings: `(P, D)` unit vectors.
            fingerprint: Of the model that made them.
            model: That model's name, for people.
            flip: Whether they average a crop and its mirror image.
            decision: The rule to decide by, or None: candidates without a decision.
            scoring: By a person's `"best"` sample, or by the `"mean"` of all.
            top: How many candidates to name for each.
            groups: Only people in any of these groups are looked at; None is everybody.
            calibration: Of the model: what it knows of quality is decided by; None decides whatever the
                photos are like.
            qualities: What was measured of each face, where it was.

        Raises:
            GalleryError: The gallery is of another model, or these are no unit vectors.
            SettingError: A scoring or count out of range.
        """
        probes = checked_embeddings(embeddings)
        self._refuse_foreign(Space(fingerprint, model, probes.shape[1], flip))
        rule = rule_of(decision, calibration)
        # Where poor photos are enrolled, they may be before whoever it is.
        looked = top if rule is None or top < 1 else max(top, 5)
        found = [
            tuple(Candidate(hit.name, hit.similarity, hit.person) for hit in best)
            for best in self._searcher.top(probes, looked, scoring, groups, rule)
        ]
        told = identifications(
            probes, found, decision, calibration, qualities, scoring, self._searcher.vectors
        )
        return [replace(one, candidates=one.candidates[:top]) for one in told] if looked > top else told

    def comparisons(self, scoring: Scoring = "best", groups: Collection[str] | None = None) -> int:
        """With how much each face is compared: all samples, or by their `"mean"` one template a person."""
        return self._searcher.count(scoring, groups)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self._store.people()

    def page(
        self, offset: int = 0, limit: int = 100, search: str | None = None, group: str | None = None
    ) -> tuple[list[Person], int]:
        """A page of the people, by name, and how many there are on all pages.

        Args:
            offset: How many to leave out.
            limit: At most so many.
            search: Only whose name holds this, in any case.
            group: Only who is in this group.
        """
        return self._store.page(offset, limit, search, group)

    def show(self, name: str) -> PersonDetail:
        """One person with all samples; a `GalleryError` for an unknown name tells the nearest known one."""
        return self._store.person(clean_name(name))

    def person(self, person: int) -> PersonDetail:
        """One person with all samples, by number; an `UnknownPersonError` if nobody has it."""
        return self._store.person_by_id(person)

    def remove(self, name: str) -> int:
        """Deletes a person and every byte of their embeddings; says how many samples went."""
        return len(self._changed(self._store.remove(clean_name(name))).gone)

    def rename(self, old: str, new: str, groups: Iterable[str] | None = None) -> None:
        """Gives a person another name; one that somebody has is refused with a `GalleryError`.

        With `groups` they come into these and no others, by the same transaction.
        """
        theirs = None if groups is None else clean_groups(groups)
        self._changed(self._store.rename(clean_name(old), clean_name(new), theirs))

    def merge(self, into: str, from_: str) -> int:
        """Moves all samples of `from_` to `into`, says how many, and deletes `from_`."""
        moved, change = self._store.merge(clean_name(into), clean_name(from_))
        self._changed(change)
        return moved

    def remove_id(self, person: int) -> int:
        """As `remove`, by number."""
        return self.remove(self.person(person).name)

    def rename_id(self, person: int, new: str, groups: Iterable[str] | None = None) -> None:
        """As `rename`, by number."""
        self.rename(self.person(person).name, new, groups)

    def merge_ids(self, into: int, from_: int) -> int:
        """As `merge`, by number."""
        return self.merge(self.person(into).name, self.person(from_).name)

    def _changed(self, change: Change) -> Change:
        self._searcher.apply(change)
        return change

    def set_groups(self, name: str, groups: Iterable[str]) -> None:
        """Puts a person into these groups and no others; groups are made by their first member."""
        self._changed(self._store.set_groups(clean_name(name), clean_groups(groups)))

    def photo(self, sample: int) -> bytes | None:
        """The JPEG kept with a sample, or None where none is."""
        return self._store.photo(sample)

    def remove_sample(self, sample: int) -> None:
        """Deletes one sample by its id and every byte of its embedding; a person's last one is refused."""
        self._changed(self._store.remove_sample(sample))

    def export(self, path: str | os.PathLike[str]) -> int:
        """Writes all embeddings and names to one `.npz` file (keep it safe); says how many samples."""
        return write_export(self._store, Path(path))

    def import_(self, path: str | os.PathLike[str]) -> list[Enrollment]:
        """Adds everybody of an exported file, in one transaction, and tells what was known already.

        Raises:
            GalleryError: The file is damaged, no export, or of another model than the gallery's.
        """
        space, batches, groups = read_export(Path(path))
        change = self._store.add(batches, space, groups)
        self._searcher.apply(change, batches, groups)
        return [
            enrollment(name, Picked(samples), added)
            for (name, samples), added in zip(batches, change.added, strict=True)
        ]

    def noting(self, tell: Tell) -> AbstractContextManager[Noted]:
        """Within, the next change of this thread is noted by what `tell` says of it; see `gallery.notes`."""
        return self._store.noting(tell)

    def take_notes(self, record: Callable[[Sequence[str]], None]) -> None:
        """Hands over the notes of changes that are on no record yet, and forgets them where it returns."""
        self._store.take_notes(record)

    def check(self) -> list[str]:
        """What is wrong with the gallery, a sentence each; empty if nothing is."""
        return self._store.check()

    def advice(self) -> list[str]:
        """What would make the gallery safer though nothing is wrong with it, a sentence each."""
        return self._store.advice()
