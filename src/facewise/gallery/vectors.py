"""The gallery of embeddings: everything a gallery does that needs no photo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from facewise.gallery.enrollment import enrollment, store_picked
from facewise.gallery.identification import identification
from facewise.gallery.live import LiveMatrix
from facewise.gallery.names import clean_name
from facewise.gallery.photos import Picked, nothing_enrolled
from facewise.gallery.results import Enrollment, Identification, Person, PersonDetail, Sample, Space
from facewise.gallery.search import Scoring, checked_embeddings
from facewise.gallery.store import Store, refuse_foreign
from facewise.gallery.transfer import read_export, write_export
from facewise.types import Candidate, Decision


class VectorGallery:
    """People, their samples and the search over them.

    Any thread may use it; several processes may share its file. The first enrolment binds it to the model
    that made its embeddings, for good: what another model made is refused.

    Args:
        store: Where people and samples are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live = LiveMatrix(store)

    def close(self) -> None:
        """Ends the use of the file."""
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
    ) -> Enrollment:
        """Adds embeddings made elsewhere to a person; as `enroll` otherwise.

        Args:
            name: Whose embeddings they are.
            samples: Unit vectors with what is known of their photos.
            fingerprint: Of the model that made them.
            model: That model's name, for people.
            flip: Whether they average a crop and its mirror image.
            decision: The rule by which one is said to look like somebody else, or None to not say so.

        Raises:
            GalleryError: Of another model than the gallery's, no unit vectors, or none was stored.
        """
        name = clean_name(name)
        picked = Picked(samples=list(samples))
        size = len(samples[0].embedding) if samples else 0
        return self._good(picked, self._keep(name, picked, Space(fingerprint, model, size, flip), decision))

    def _refuse_foreign(self, space: Space) -> None:
        if (bound := self.space) is not None:
            refuse_foreign(self._store.location, bound, space)

    def _keep(self, name: str, picked: Picked, space: Space, decision: Decision | None) -> Enrollment:
        return store_picked(self._store, self._live, name, picked, space, decision)

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
    ) -> list[Identification]:
        """Says whose embeddings these are, all in one matrix product.

        Args:
            embeddings: `(P, D)` unit vectors.
            fingerprint: Of the model that made them.
            model: That model's name, for people.
            flip: Whether they average a crop and its mirror image.
            decision: The rule to decide by, or None: candidates without a decision.
            scoring: By a person's `"best"` sample, or by the `"mean"` of all.
            top: How many candidates to name for each.

        Raises:
            GalleryError: The gallery is of another model, or these are no unit vectors.
            SettingError: A scoring or count out of range.
        """
        probes = checked_embeddings(embeddings)
        self._refuse_foreign(Space(fingerprint, model, probes.shape[1], flip))
        matrix, names = self._live.current()
        return [
            identification(tuple(Candidate(names[person], s) for person, s in best), decision)
            for best in matrix.top(probes, top, scoring)
        ]

    def comparisons(self, scoring: Scoring = "best") -> int:
        """With how much each face is compared: all samples, or by their `"mean"` one template a person."""
        matrix, _ = self._live.current()
        return len(matrix.ids) if scoring == "mean" else len(matrix)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self._store.people()

    def show(self, name: str) -> PersonDetail:
        """One person with all samples; a `GalleryError` for an unknown name tells the nearest known one."""
        return self._store.person(clean_name(name))

    def remove(self, name: str) -> int:
        """Deletes a person and every byte of their embeddings; says how many samples went."""
        return len(self._store.remove(clean_name(name)).gone)

    def rename(self, old: str, new: str) -> None:
        """Gives a person another name; one that somebody has is refused with a `GalleryError`."""
        self._store.rename(clean_name(old), clean_name(new))

    def merge(self, into: str, from_: str) -> int:
        """Moves all samples of `from_` to `into`, says how many, and deletes `from_`."""
        moved, _ = self._store.merge(clean_name(into), clean_name(from_))
        return moved

    def remove_sample(self, sample: int) -> None:
        """Deletes one sample by its id and every byte of its embedding; a person's last one is refused."""
        self._store.remove_sample(sample)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Writes all embeddings and names to one `.npz` file (keep it safe); says how many samples."""
        return write_export(self._store, Path(path))

    def import_(self, path: str | os.PathLike[str]) -> list[Enrollment]:
        """Adds everybody of an exported file, in one transaction, and tells what was known already.

        Raises:
            GalleryError: The file is damaged, no export, or of another model than the gallery's.
        """
        space, batches = read_export(Path(path))
        change = self._store.add(batches, space)
        self._live.apply(change, batches)
        return [
            enrollment(name, Picked(samples), added)
            for (name, samples), added in zip(batches, change.added, strict=True)
        ]

    def check(self) -> list[str]:
        """What is wrong with the gallery, a sentence each; empty if nothing is."""
        return self._store.check()
