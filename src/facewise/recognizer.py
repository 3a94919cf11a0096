"""The facade: photos in, answers out."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from facewise.detection import DetectorSettings
from facewise.detection.orientation import TRIED
from facewise.errors import FaceNotFoundError, SettingError
from facewise.image import ImageSource, is_one_photo, source_name
from facewise.models import Verdict, best_pair_rate, choose_decision, default_path, judge
from facewise.models.calibration import Calibration
from facewise.models.liveness import not_live
from facewise.network import AUTO
from facewise.photos import find_photos
from facewise.pipeline import DEFAULT_STEPS, PhotoFaces, Pipeline, Steps
from facewise.types import Face, FloatArray, Match, Verification

if TYPE_CHECKING:
    from facewise.gallery import Gallery

WhichFace: TypeAlias = Literal["main", "best"]
"""Of photos with several faces: the main one of each is compared, or all with all, and the best pair told."""


class Recognizer:
    """Detects, aligns, embeds, verifies, identifies and analyzes with one detector and one embedder.

    Args:
        detector: Name or path of the detector; None is the default one.
        model: Name or path of the embedder; None is the default one.
        flip: Average with the mirrored crop; None does as the model was calibrated.
        provider: Where the networks run; see `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.
        settings: What counts as a face.
        variant: Which network of an int8 model runs; see `Pipeline.load`.
        liveness: Whether every face is to look live, see `Pipeline.load`: no decision by one that does not.
        attributes: Name or path of the model of attributes that `analyze` uses; None is the default one.
        mesh: Whether every face is to have its mesh, see `Pipeline.load`.
        pipeline: A pipeline that is there already, instead of all the above.

    Raises:
        ModelError: A model is missing or unusable, or the provider or variant is not to be had.

    Examples:
        >>> recognizer = Recognizer()  # doctest: +SKIP
        >>> recognizer.verify("ada1.jpg", "ada2.jpg").same  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        *,
        detector: str | os.PathLike[str] | None = None,
        model: str | os.PathLike[str] | None = None,
        flip: bool | None = None,
        provider: str = AUTO,
        threads: int | None = None,
        settings: DetectorSettings | None = None,
        variant: str = "auto",
        liveness: bool | str | os.PathLike[str] = False,
        attributes: str | os.PathLike[str] | None = None,
        mesh: bool | str | os.PathLike[str] = False,
        pipeline: Pipeline | None = None,
    ) -> None:
        self.pipeline = pipeline or Pipeline.load(
            detector,
            model,
            flip=flip,
            provider=provider,
            threads=threads,
            settings=settings,
            variant=variant,
            liveness=liveness,
            mesh=mesh,
        )
        self._named, self._provider = attributes, provider
        self._lock = threading.Lock()
        self._with_mesh: Pipeline | None = None

    def detect(self, photo: ImageSource) -> list[Face]:
        """Every face of a photo, the main one first; neither aligned nor embedded.

        Raises:
            ImageError: The photo cannot be read.
        """
        return list(self.pipeline.read(photo, Steps(align=False, embed=False)).faces)

    def align(self, photo: ImageSource) -> NDArray[np.uint8]:
        """(F, S, S, 3) RGB crops of every face of a photo, the main one first.

        Raises:
            ImageError: The photo cannot be read.
        """
        crops = self.pipeline.read(photo, Steps(embed=False, keep_crops=True)).crops
        if crops is None:
            raise RuntimeError("crops were asked for")
        return crops

    def faces(self, photo: ImageSource) -> list[Face]:
        """Every face of a photo with embedding and quality, the main one first.

        Raises:
            ImageError: The photo cannot be read.
        """
        return list(self.pipeline.read(photo).faces)

    def landmarks(self, photo: ImageSource) -> list[Face]:
        """Every face of a photo with its mesh and quality, the main one first; not embedded.

        Raises:
            ImageError: The photo cannot be read.
            ModelError: No landmarker is installed.
        """
        return list(self._mesher().read(photo, Steps(embed=False)).faces)

    def _mesher(self) -> Pipeline:
        """The pipeline with a landmarker; one of its own, as other calls need no meshes."""
        with self._lock:
            if self._with_mesh is None:
                own = self.pipeline
                found = own.landmarker is not None
                self._with_mesh = own if found else own.with_mesh(provider=self._provider)
        return self._with_mesh

    def embed(self, photo: ImageSource) -> FloatArray:
        """(D,) embedding of the main face of a photo.

        Raises:
            ImageError: The photo cannot be read.
            FaceNotFoundError: No face is in it.
        """
        embedding = self._with_face(photo, "main").faces[0].embedding
        if embedding is None:
            raise RuntimeError("an embedding was asked for")
        return embedding

    def analyze(self, photo: ImageSource, attributes: Sequence[str] | None = None) -> list[Face]:
        """What every face of a photo looks like, the main one first: age, gender, emotion, and race if asked.

        Args:
            photo: A photo.
            attributes: What to tell, of `"age"`, `"gender"`, `"emotion"` and `"race"`; None is all that the
                model tells but race, which must be asked for by name.

        Returns:
            Faces with `attributes` and quality, not embedded. Of a face that is too small, blurred or turned
            nothing is told but that, see `Attributes.note`.

        Raises:
            ImageError: The photo cannot be read.
            ModelError: There is no model of attributes.
            SettingError: There is no such attribute, or the model does not tell it.
        """
        pipeline = self._analyst()
        asked = pipeline.attributes.check(attributes)
        return list(pipeline.read(photo, Steps(embed=False, attributes=asked)).faces)

    def _analyst(self) -> Pipeline:
        """The pipeline, with a model of attributes from when one is first needed."""
        with self._lock:
            if not self.pipeline.tells_attributes:
                self.pipeline = self.pipeline.with_attributes(self._named, provider=self._provider)
        return self.pipeline

    def verify(
        self,
        a: ImageSource,
        b: ImageSource,
        *,
        fmr: float | None = None,
        threshold: float | None = None,
        prior: float | None = None,
        face: WhichFace = "main",
    ) -> Verification:
        """Are two photos of the same person? The main face of each is compared, or all with all.

        Args:
            a: A photo.
            b: Another.
            fmr: False match rate to decide at; None is 1e-3. It must have been measured for the model.
            threshold: Cosine similarity to decide by instead.
            prior: Share of such pairs that are of one person, for the probability; None is what the model was
                calibrated at, a half.
            face: See `compare_photos`.

        Returns:
            The similarity; a decision where the model's calibration or `threshold` allows one; the
            probability of one person where the calibration has a map; and how many faces the photos have.
            With `liveness`, nothing is decided by a face that does not look live.

        Raises:
            ImageError: A photo cannot be read.
            FaceNotFoundError: A photo has no face.
            SettingError: A rate, threshold or prior out of range, or a rate that was not measured.
        """
        check_prior(prior)
        check_face(face)
        calibration = self.pipeline.embedder.calibration
        choose_decision(calibration, fmr=fmr, threshold=threshold)  # refused before any photo is read
        photos = self._with_face(a, face), self._with_face(b, face)
        return compare_photos(*photos, calibration, fmr=fmr, threshold=threshold, prior=prior)

    def identify(
        self,
        photo: ImageSource,
        gallery: Gallery | str | os.PathLike[str],
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
    ) -> list[Match]:
        """Who is in a photo, of the people in a gallery. One match a face, the main one first.

        Args:
            photo: A photo.
            gallery: A gallery, or the path of one.
            fmr: False match rate of one comparison to decide at.
            fpir: Share of strangers who may be given a name; the threshold follows the gallery's size. See
                `Gallery.identify` for what happens without.
            threshold: Cosine similarity to decide by instead.

        Raises:
            ImageError: The photo cannot be read.
            GalleryError: The gallery is missing, damaged, or was made by another model.
            SettingError: A rate or threshold out of range or not measured.
        """
        from facewise.gallery import Gallery  # noqa: PLC0415  verifying needs none of it

        if isinstance(gallery, Gallery):
            return gallery.identify(photo, fmr=fmr, fpir=fpir, threshold=threshold)
        with Gallery.open(gallery, pipeline=self.pipeline, create=False) as opened:
            return opened.identify(photo, fmr=fmr, fpir=fpir, threshold=threshold)

    def read_many(
        self, photos: ImageSource | Iterable[ImageSource], steps: Steps = DEFAULT_STEPS
    ) -> Iterable[PhotoFaces]:
        """Faces of many photos and folders of photos, side by side, in order.

        Args:
            photos: Paths of photos and folders, and whatever else `read_image` reads.
            steps: How far to go.

        Raises:
            ImageError: A path is no local path, or a folder cannot be listed. A photo that is missing or
                cannot be read has its `error` instead.
        """
        given = [photos] if is_one_photo(photos) else cast("Iterable[ImageSource]", photos)
        found = list[ImageSource]()
        for paths, group in itertools.groupby(given, lambda one: isinstance(one, str | os.PathLike)):
            run = list(group)
            found += find_photos(cast("list[str]", run)) if paths else run
        return self.pipeline.read_many(found, steps)

    def _with_face(self, photo: ImageSource, face: WhichFace) -> PhotoFaces:
        found = self.pipeline.read(photo, Steps(main_only=face == "main"))
        if not found.faces:
            raise no_face(source_name(photo))
        return found


def no_face(photo: str) -> FaceNotFoundError:
    """The error for a photo of this name in which nobody was found."""
    return FaceNotFoundError(
        f"No face was found in {photo}, {TRIED}; try a sharper, larger or more frontal photo."
    )


def check_face(face: str) -> None:
    """Passes where `face` is a `WhichFace`.

    Raises:
        SettingError: It is none.
    """
    if face not in get_args(WhichFace):
        raise SettingError(f"The face to compare is 'main' or 'best', not {face!r}.")


def check_prior(prior: float | None) -> None:
    """Passes where `prior` can be one.

    Raises:
        SettingError: It is not between 0 and 1.
    """
    if prior is not None and not 0.0 < prior < 1.0:
        raise SettingError(f"A prior is the share of same pairs, above 0 and below 1, not {prior}.")


def compare_photos(
    a: PhotoFaces,
    b: PhotoFaces,
    calibration: Calibration | None,
    *,
    fmr: float | None = None,
    threshold: float | None = None,
    prior: float | None = None,
) -> Verification:
    """Is somebody in both photos? Every embedded face of one is compared with every one of the other.

    So where the main faces alone were embedded (`Steps.main_only`), they are compared. Of several pairs the
    most alike one is told that is of one person by a stricter rate (see `best_pair_rate`). If none is, it is
    the most alike of all, which may be no decision; but of pairs that are too unlike for one person anyway,
    the most alike that can be judged. The probability is at a prior shared out among them: that one of n
    pairs is of one person is as likely before any look as that a single pair is.

    Args:
        a: With at least one face, embedded.
        b: Likewise.
        calibration: Of the model that embedded them, or None.
        fmr: See `Recognizer.verify`.
        threshold: As there.
        prior: As there.

    Raises:
        SettingError: A rate, threshold or prior out of range, or a rate that was not measured.
    """
    check_prior(prior)
    pairs = len(a.faces) * len(b.faces)
    if threshold is None:
        fmr = best_pair_rate(calibration, pairs, fmr=fmr)
    asked = prior
    if pairs > 1 and calibration is not None and calibration.score_map is not None:
        asked = calibration.score_map.prior if prior is None else prior
        prior = asked / (asked + pairs * (1.0 - asked))
    result = _best_pair(a.faces, b.faces, calibration, fmr=fmr, threshold=threshold, prior=prior)
    result = replace(result, found=(a.found, b.found), comparisons=pairs)
    if pairs == 1:
        return result
    bound = "" if result.fmr is None else f", at FMR {min(1.0, pairs * result.fmr):.2g} at most all in all"
    note = f"{result.note}; the most alike of {pairs} pairs of faces{bound}"
    return replace(result, prior=None if result.prior is None else asked, note=note)


def _best_pair(
    a: tuple[Face, ...],
    b: tuple[Face, ...],
    calibration: Calibration | None,
    *,
    fmr: float | None,
    threshold: float | None,
    prior: float | None,
) -> Verification:
    """See `compare_photos`."""
    rows, columns = (np.stack([_embedding(face) for face in faces]) for faces in (a, b))
    order = np.argsort(-(rows @ columns.T), axis=None, kind="stable")

    def compare(place: int) -> Verification:
        pair = a[place // len(b)], b[place % len(b)]
        return compare_faces(pair, calibration, fmr=fmr, threshold=threshold, prior=prior)

    decision = choose_decision(calibration, fmr=fmr, threshold=threshold)
    told = compare(order[0])
    if decision is None or told.same:
        return told
    for place in order[1:]:
        result = compare(place)
        if result.same:
            return result
        # Who may be in both, but cannot be judged, is no stranger.
        if told.same is None and result.same is False and told.similarity < decision.threshold:
            told = result
        settled = told.same is False or told.similarity >= decision.threshold
        if settled and result.similarity < decision.threshold:
            break
    return told


def compare_faces(
    faces: tuple[Face, Face],
    calibration: Calibration | None,
    *,
    fmr: float | None = None,
    threshold: float | None = None,
    prior: float | None = None,
) -> Verification:
    """Are two embedded faces of the same person? See `Recognizer.verify`.

    Args:
        faces: Embedded by one model.
        calibration: Of that model, or None.
        fmr: As there.
        threshold: As there.
        prior: As there.

    Raises:
        SettingError: A rate, threshold or prior out of range, or a rate that was not measured.
    """
    check_prior(prior)
    decision = choose_decision(calibration, fmr=fmr, threshold=threshold)
    similarity = float(np.clip(np.vdot(_embedding(faces[0]), _embedding(faces[1])), -1.0, 1.0))
    qualities = (faces[0].quality, faces[1].quality)
    verdict = judge(similarity, qualities, decision, calibration, prior=prior)
    if (reason := not_live(faces)) is not None:
        verdict = Verdict(None, None, None, f"no decision: {reason}")
    told = None
    if verdict.probability is not None and calibration is not None and calibration.score_map is not None:
        told = calibration.score_map.prior if prior is None else prior
    return Verification(
        similarity=similarity,
        same=verdict.same,
        threshold=verdict.threshold,
        fmr=None if decision is None else decision.fmr,
        probability=verdict.probability,
        faces=faces,
        note=verdict.note,
        prior=told,
    )


def _embedding(face: Face) -> NDArray[np.float64]:
    if face.embedding is None:
        raise RuntimeError("an embedding was asked for")
    return face.embedding.astype(np.float64)


class _Default:
    """The recogniser behind functions that are given none: made once, and again where it would be another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[object, Recognizer] | None = None
        self._of_parents: object = None

    def __call__(self) -> Recognizer:
        with self._lock:
            made_of = self._made_of()
            if self._kept is None or self._kept[0] != made_of:
                self._kept = made_of, Recognizer()
            return self._kept[1]

    def forget_after_fork(self) -> None:
        """In a forked process: the threads of the networks, and whoever holds the lock, are the parent's.

        The networks are not used, nor freed: that would be to wait for their threads without end.
        """
        self._of_parents = (self._kept, self._of_parents)
        self._lock, self._kept = threading.Lock(), None

    @staticmethod
    def _made_of() -> object:
        """Which files the default models are now, and which state of them."""
        files = []
        for kind in ("detector", "embedder", "attributes", "landmarker"):
            path = default_path(kind)
            state = None if path is None else path.stat()
            files.append(state and (path, state.st_ino, state.st_size, state.st_mtime_ns))
        return files


_default = _Default()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_default.forget_after_fork)


def verify(
    a: ImageSource,
    b: ImageSource,
    *,
    fmr: float | None = None,
    threshold: float | None = None,
    face: WhichFace = "main",
) -> Verification:
    """Are two photos of the same person, by the default models? See `Recognizer.verify`.

    The models are opened by the first call and kept for the next ones, of any thread; they are opened again
    where the default models have become others (another `FACEWISE_HOME`, a model imported or calibrated).

    Examples:
        >>> import facewise as fw
        >>> fw.verify("ada1.jpg", "ada2.jpg").similarity  # doctest: +SKIP
        0.61
    """
    return _default().verify(a, b, fmr=fmr, threshold=threshold, face=face)


def analyze(photo: ImageSource, attributes: Sequence[str] | None = None) -> list[Face]:
    """What every face of a photo looks like, by the default models; see `Recognizer.analyze`.

    Examples:
        >>> import facewise as fw
        >>> fw.analyze("ada.jpg")[0].attributes.age  # doctest: +SKIP
        Age(mean=34.2, low=27.0, high=42.1)
    """
    return _default().analyze(photo, attributes)


def landmarks(photo: ImageSource) -> list[Face]:
    """Every face of a photo with 478 points, pose and expression (`Face.mesh`), the main one first.

    By the default models, kept as those of `verify` are; see `Recognizer.landmarks`.

    Examples:
        >>> import facewise as fw
        >>> fw.landmarks("ada.jpg")[0].mesh.pose.degrees  # doctest: +SKIP
        (12.1, -3.4, 0.8)
    """
    return _default().landmarks(photo)
