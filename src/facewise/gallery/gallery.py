"""The gallery: people with names, and who is in a photo."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facewise.gallery.folder import all_photos, people_in
from facewise.gallery.identification import embedding_of, if_live, named_twice
from facewise.gallery.names import clean_groups, clean_name
from facewise.gallery.photos import Keep, check_keep, pick, sift
from facewise.gallery.reader import FaceReader, FoundFaces
from facewise.gallery.results import Enrollment, Space
from facewise.gallery.search import Scoring
from facewise.gallery.store import Store
from facewise.gallery.uri import open_store
from facewise.gallery.vectors import VectorGallery
from facewise.models.decisions import choose_decision, search_decision
from facewise.quality import Gate, check_gate
from facewise.types import Decision, Match

if TYPE_CHECKING:  # who brings embeddings needs no image library
    from facewise.image import ImageSource
    from facewise.photos import Tell


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
        cls,
        path: str | os.PathLike[str],
        *,
        pipeline: FaceReader | None = None,
        create: bool = True,
        key_file: str | os.PathLike[str] | None = None,
        counter_file: str | os.PathLike[str] | None = None,
    ) -> Gallery:
        """Opens a gallery file.

        Args:
            path: The file, made with its first use, readable by its owner only; or a URI of another store, as
                `milvus://host:19530/name` (see `facewise.gallery.uri`).
            pipeline: Turns photos into embedded faces; the default models where None.
            create: Whether a missing file is made.
            key_file: Encrypts a new gallery, and opens an encrypted one; None is the file that the
                environment names by `FACEWISE_KEY_FILE`, or no key. `facewise gallery new-key` makes one.
            counter_file: A small file elsewhere in which the gallery's changes are counted too, so that an
                older copy in its place is refused; None is the file that the environment names by
                `FACEWISE_COUNTER_FILE`, or none.

        Raises:
            GalleryError: The file is missing, no gallery, of a newer Facewise, damaged or in use.

        Examples:
            >>> people = Gallery.open("people.db")  # doctest: +SKIP
            >>> people.enroll("Ada", ["ada1.jpg", "ada2.jpg"]).added  # doctest: +SKIP
            2
            >>> [match.name for match in people.identify("party.jpg")]  # doctest: +SKIP
            ['Ada', None]
        """
        store = open_store(path, create=create, key_file=key_file, counter_file=counter_file)
        return cls(store, pipeline)

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

    @pipeline.setter
    def pipeline(self, reader: FaceReader) -> None:
        """Reads photos with another reader of the same model from now on, as a service's workers."""
        with self._loading:
            self._pipeline = reader

    def enroll(
        self,
        name: str,
        photos: ImageSource | Iterable[ImageSource],
        *,
        fmr: float | None = None,
        threshold: float | None = None,
        keep: Keep = "none",
        groups: Iterable[str] = (),
        quality: Gate = "standard",
    ) -> Enrollment:
        """Adds the main face of each photo to a person, who is made if new; in one transaction.

        Args:
            name: Who is in the photos.
            photos: Paths, bytes, file objects, PIL images or RGB arrays; or one of them.
            fmr: False match rate at which a face is said to look like somebody else; None is 1e-3.
            threshold: The similarity to say so from, instead of the model's own for `fmr`.
            keep: Whether to keep, beside the embedding, a portrait of at most 256 pixels (`"face"`) or the
                photo of at most 1600 (`"photo"`): pixels only, without the file's metadata.
            groups: Groups to put the person into, beside those they are in.
            quality: Which photos are good enough, where the model's calibration knows of quality:
                `"standard"` refuses those that nothing could be decided by beside another as poor, `"strict"`
                also those that would need a much higher threshold, `"off"` none, but warns of them.

        Returns:
            What was added, what the person already had, what was refused and why, and what deserves a look.

        Raises:
            ImageError: No photo is good, the first for being unreadable.
            FaceNotFoundError: No photo is good, the first for having no face.
            PoorPhotoError: No photo is good, the first for its quality.
            GalleryError: No photo is good, the first for being another person's; a bad name; another model.
            SettingError: A threshold or rate out of range, a rate that was not measured, no such `keep` or
                `quality`.
        """
        check_keep(keep)
        check_gate(quality)
        member_of = clean_groups(groups)
        name, space = clean_name(name), self._pipeline_space()
        decision = self._decision(fmr, threshold)
        from facewise.image import is_one_photo  # noqa: PLC0415  who brings embeddings needs no image library

        given = cast("Iterable[ImageSource]", [photos] if is_one_photo(photos) else photos)
        if keep != "none":
            given = list(given)  # looked at twice
        picked = pick(self.pipeline.read_many(given), keep, given)
        sift(picked, self.pipeline.embedder.calibration, quality)
        return self._good(picked, self._keep(name, picked, space, decision, member_of))

    def enroll_folder(
        self,
        folder: str | os.PathLike[str],
        *,
        fmr: float | None = None,
        threshold: float | None = None,
        keep: Keep = "none",
        groups: Iterable[str] = (),
        quality: Gate = "standard",
        tell: Tell | None = None,
    ) -> Iterator[Enrollment]:
        """Enrols everybody in a folder with a sub-folder of photos a person, one transaction a person.

        Args:
            folder: The folder of people.
            fmr: As for `enroll`.
            threshold: As for `enroll`.
            keep: As for `enroll`.
            groups: As for `enroll`; everybody is put into them.
            quality: As for `enroll`.
            tell: Told what is no person's photo and so left out; None gives Python warnings.

        Returns:
            One enrolment a person as it is done, also where nothing of a person was good.

        Raises:
            DatasetError: There is no such folder, or nobody in it.
            ImageError: A folder cannot be listed.
            GalleryError: Another model than the gallery's.
        """
        from facewise.photos import warn  # noqa: PLC0415  who brings embeddings needs no image library

        check_keep(keep)
        check_gate(quality)
        member_of = clean_groups(groups)
        space = self._pipeline_space()
        plan = people_in(Path(folder), tell or warn)
        decision = self._decision(fmr, threshold)
        found = self.pipeline.read_many(all_photos(plan))

        def each() -> Iterator[Enrollment]:
            for person in plan:
                picked = pick(islice(found, len(person.photos)), keep, person.photos)
                sift(picked, self.pipeline.embedder.calibration, quality)
                done = self._keep(person.name, picked, space, decision, member_of)
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
        groups: Collection[str] | None = None,
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
            self.comparisons(scoring, groups),
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
        groups: Collection[str] | None = None,
    ) -> list[Match]:
        """Says who is in a photo.

        Args:
            photo: Path, bytes, file object, PIL image or RGB array.
            fmr: False match rate of a single comparison to decide at.
            fpir: Share of strangers who may be given a name (false positive identification rate): the
                threshold then follows the number of samples a face is compared with, and is that of the
                nearest stricter FMR that was measured.
            threshold: Similarity from which a face is somebody, instead. With none of the three it is FMR
                1e-3, or where the gallery is so large that this would name more than one stranger in ten, the
                measured FMR that does not, or else the strictest there is (`Match.fpir` says what it means).
            scoring: By a person's `"best"` sample, or by the `"mean"` of all.
            top: How many candidates to name a face.
            groups: Only people in any of these groups are looked at, and the threshold follows their number;
                None is everybody.

        Returns:
            One match a face, in the order of the faces; empty if there is none. A stranger has no name;
            without a threshold to decide by, nobody has (`decided` is False), and where the model's
            calibration knows of quality nor has a face that is too poor to decide by (`note` says why),
            nor one that was found not to be live.

        Raises:
            ImageError: The photo cannot be read.
            GalleryError: The gallery is of another model.
            SettingError: A threshold, rate, scoring or count out of range, a rate that was not measured, or a
                model that was not measured at rates low enough for `fpir` in a gallery of this size.
        """
        space = self._pipeline_space()
        rule = {"fmr": fmr, "fpir": fpir, "threshold": threshold}
        decision = self.search_decision(**rule, scoring=scoring, groups=groups)
        found = self.pipeline.read(photo)
        if found.error is not None:
            raise found.error
        return self._matches(found, space, decision, scoring, top, groups)

    def identify_many(
        self,
        photos: Iterable[ImageSource],
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
        scoring: Scoring = "best",
        top: int = 5,
        groups: Collection[str] | None = None,
    ) -> Iterator[tuple[FoundFaces, list[Match]]]:
        """Says who is in each of many photos, read side by side; arguments and errors as for `identify`.

        Returns:
            Each photo with its matches, in order. One that cannot be read has its `error` and no matches.
        """
        space = self._pipeline_space()
        rule = {"fmr": fmr, "fpir": fpir, "threshold": threshold}
        decision = self.search_decision(**rule, scoring=scoring, groups=groups)
        found = self.pipeline.read_many(photos)
        return ((photo, self._matches(photo, space, decision, scoring, top, groups)) for photo in found)

    def _matches(
        self,
        found: FoundFaces,
        space: Space,
        decision: Decision | None,
        scoring: Scoring,
        top: int,
        groups: Collection[str] | None,
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
            groups=groups,
            calibration=self.pipeline.embedder.calibration,
            qualities=[face.quality for face in found.faces],
        )
        who = if_live(who, found.faces)
        twice = named_twice([one.name for one in who])
        return [
            Match(
                face, i.name, i.similarity, i.decided, i.threshold, i.fmr, i.candidates, i.fpir, again, i.note
            )
            for face, i, again in zip(found.faces, who, twice, strict=True)
        ]
