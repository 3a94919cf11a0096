"""The gallery: people with names, and who is in a photo."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from facewise.gallery.folder import all_photos, people_in
from facewise.gallery.identification import embedding_of
from facewise.gallery.names import clean_name
from facewise.gallery.photos import pick
from facewise.gallery.reader import FaceReader, FoundFaces
from facewise.gallery.results import Enrollment, Space
from facewise.gallery.search import Scoring
from facewise.gallery.sqlite import SqliteStore
from facewise.gallery.store import Store
from facewise.gallery.vectors import VectorGallery
from facewise.models.decisions import choose_decision, search_decision
from facewise.types import Decision, Match

if TYPE_CHECKING:  # who brings embeddings needs no image library
    from facewise.image import ImageSource


class Gallery(VectorGallery):
    """People with names, found in photos.

    Any thread may use it; several processes may share its file. The first enrolment binds it to the model
    that made its embeddings, for good: what another model made is refused.

    Args:
        store: Where people and samples are kept; `Gallery.open` takes a path.
        pipeline: Turns photos into embedded faces; the default one is loaded when first needed.
    """

    def __init__(self, store: Store, pipeline: FaceReader | None = None) -> None:
        super().__init__(store)
        self._pipeline = pipeline
        self._loading = threading.Lock()

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, pipeline: FaceReader | None = None, create: bool = True
    ) -> Gallery:
        """Opens a gallery file.

        Args:
            path: The file; made with its first use, readable by its owner only.
            pipeline: Turns photos into embedded faces; the default models where None.
            create: Whether a missing file is made.

        Raises:
            GalleryError: The file is missing, no gallery, of a newer Facewise, damaged or in use.

        Examples:
            >>> people = Gallery.open("people.db")  # doctest: +SKIP
            >>> people.enroll("Ada", ["ada1.jpg", "ada2.jpg"]).added  # doctest: +SKIP
            2
            >>> [match.name for match in people.identify("party.jpg")]  # doctest: +SKIP
            ['Ada', None]
        """
        return cls(SqliteStore(Path(path), create=create), pipeline)

    @property
    def pipeline(self) -> FaceReader:
        """What reads photos; where none was given, the default models with the gallery's flip setting."""
        with self._loading:
            if self._pipeline is None:
                # Only here: who brings embeddings needs no ONNX Runtime.
                from facewise.pipeline import Pipeline  # noqa: PLC0415

                bound = self.space
                self._pipeline = Pipeline.load(flip=bound.flip if bound else None)
            return self._pipeline

    def enroll(
        self,
        name: str,
        photos: ImageSource | Iterable[ImageSource],
        *,
        fmr: float | None = None,
        threshold: float | None = None,
    ) -> Enrollment:
        """Adds the main face of each photo to a person, who is made if new; in one transaction.

        Args:
            name: Who is in the photos.
            photos: Paths, bytes or RGB arrays; or one of them.
            fmr: False match rate at which a face is said to look like somebody else; None is 1e-3.
            threshold: The similarity to say so from, instead of the model's own for `fmr`.

        Returns:
            What was added, what the person already had, what was refused and why, and what deserves a look.

        Raises:
            ImageError: No photo is good, the first for being unreadable.
            FaceNotFoundError: No photo is good, the first for having no face.
            GalleryError: No photo is good, the first for being another person's; a bad name; another model.
            SettingError: A threshold or rate out of range, or a rate that was not measured.
        """
        name, space = clean_name(name), self._pipeline_space()
        decision = self._decision(fmr, threshold)
        one = isinstance(photos, str | os.PathLike | bytes | np.ndarray)
        given = cast("Iterable[ImageSource]", [photos] if one else photos)
        picked = pick(self.pipeline.read_many(given))
        return self._good(picked, self._keep(name, picked, space, decision))

    def enroll_folder(
        self, folder: str | os.PathLike[str], *, fmr: float | None = None, threshold: float | None = None
    ) -> Iterator[Enrollment]:
        """Enrols everybody in a folder with a sub-folder of photos a person, one transaction a person.

        Args:
            folder: The folder of people.
            fmr: As for `enroll`.
            threshold: As for `enroll`.

        Returns:
            One enrolment a person as it is done, also where nothing of a person was good; files that lie in
            no person's folder come last, rejected under an empty name. Hidden files are left out.

        Raises:
            DatasetError: There is no such folder, or nobody in it.
            GalleryError: Another model than the gallery's.
        """
        plan, space = people_in(Path(folder)), self._pipeline_space()
        decision = self._decision(fmr, threshold)
        found = self.pipeline.read_many(all_photos(plan))

        def each() -> Iterator[Enrollment]:
            for person in plan:
                done = self._keep(person.name, pick(islice(found, len(person.photos))), space, decision)
                yield replace(done, rejected=(*person.rejected, *done.rejected))

        return each()

    def _pipeline_space(self) -> Space:
        """The space of the pipeline's embeddings; a foreign one is refused before any photo is read."""
        embedder = self.pipeline.embedder
        space = Space(embedder.fingerprint, embedder.name, embedder.embedding_size, embedder.flip)
        self._refuse_foreign(space)
        return space

    def _decision(self, fmr: float | None, threshold: float | None) -> Decision | None:
        return choose_decision(self.pipeline.embedder.calibration, fmr=fmr, threshold=threshold)

    def search_decision(
        self,
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
        scoring: Scoring = "best",
    ) -> Decision | None:
        """The rule `identify` decides by now, with as many samples as there are; see there.

        Returns:
            The threshold, the FMR it was set for, and the share of strangers that lets pass in this gallery
            (`fpir`); None where the model has no calibration.

        Raises:
            SettingError: As `identify`.
        """
        return search_decision(
            self.pipeline.embedder.calibration,
            self.comparisons(scoring),
            fmr=fmr,
            fpir=fpir,
            threshold=threshold,
        )

    def identify(
        self,
        photo: ImageSource,
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
        scoring: Scoring = "best",
        top: int = 5,
    ) -> list[Match]:
        """Says who is in a photo.

        Args:
            photo: Path, bytes or RGB array.
            fmr: False match rate of a single comparison to decide at.
            fpir: Share of strangers who may be given a name (false positive identification rate): the
                threshold then follows the number of samples a face is compared with, and is that of the
                nearest stricter FMR that was measured.
            threshold: Similarity from which a face is somebody, instead. With none of the three it is FMR
                1e-3, or where the gallery is so large that this would name more than one stranger in ten, the
                measured FMR that does not, or else the strictest there is (`Match.fpir` says what it means).
            scoring: By a person's `"best"` sample, or by the `"mean"` of all.
            top: How many candidates to name a face.

        Returns:
            One match a face, in the order of the faces; empty if there is none. A stranger has no name;
            without a threshold to decide by, nobody has (`decided` is False).

        Raises:
            ImageError: The photo cannot be read.
            GalleryError: The gallery is of another model.
            SettingError: A threshold, rate, scoring or count out of range, a rate that was not measured, or a
                model that was not measured at rates low enough for `fpir` in a gallery of this size.
        """
        space = self._pipeline_space()
        decision = self.search_decision(fmr=fmr, fpir=fpir, threshold=threshold, scoring=scoring)
        found = self.pipeline.read(photo)
        if found.error is not None:
            raise found.error
        return self._matches(found, space, decision, scoring, top)

    def identify_many(
        self,
        photos: Iterable[ImageSource],
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
        scoring: Scoring = "best",
        top: int = 5,
    ) -> Iterator[tuple[FoundFaces, list[Match]]]:
        """Says who is in each of many photos, read side by side; arguments and errors as for `identify`.

        Returns:
            Each photo with its matches, in order. One that cannot be read has its `error` and no matches.
        """
        space = self._pipeline_space()
        decision = self.search_decision(fmr=fmr, fpir=fpir, threshold=threshold, scoring=scoring)
        found = self.pipeline.read_many(photos)
        return ((photo, self._matches(photo, space, decision, scoring, top)) for photo in found)

    def _matches(
        self, found: FoundFaces, space: Space, decision: Decision | None, scoring: Scoring, top: int
    ) -> list[Match]:
        if not found.faces:
            return []
        who = self.identify_embeddings(
            [embedding_of(face) for face in found.faces],
            fingerprint=space.fingerprint,
            model=space.model,
            flip=space.flip,
            decision=decision,
            scoring=scoring,
            top=top,
        )
        return [
            Match(face, i.name, i.similarity, i.decided, i.threshold, i.fmr, i.candidates, i.fpir)
            for face, i in zip(found.faces, who, strict=True)
        ]
