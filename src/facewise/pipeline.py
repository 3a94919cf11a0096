"""Photo to embedded faces: read, detect, align, embed. One photo at a time, or many side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import in_processes, side_by_side
from facewise.detection import Detector, DetectorSettings, ModelDetector, load_detector
from facewise.detection.orientation import find_upright, in_photo, turned
from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ImageError, SettingError
from facewise.geometry import Cut
from facewise.hardware import available_threads
from facewise.image import MAX_PIXELS, ImageSource, content_hash, decode, read_hashed, source_name
from facewise.models import find_model
from facewise.network import AUTO
from facewise.quality import embedded, measure, with_mesh
from facewise.types import Face, FloatArray, Image, Mesh
from facewise.variants import Variant, variants_of

if TYPE_CHECKING:
    from facewise.analysis.attributes import AttributeModel
    from facewise.analysis.liveness import LivenessModel
    from facewise.analysis.mesh import Landmarker

_MANY, _MANY_OF_TWO = 1000, 2000
"""Photos from which starting processes pays, with more than two workers and with two: the fewer threads, the
less they wait for Python's lock (benchmarks/RESULTS.md, pipeline)."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFaces:
    """What was found in one photo.

    Attributes:
        source: The path as given, or what else `facewise.image.source_name` calls it, such as `"array"`.
        sha256: Of the file's bytes, of the pixels for an array or a PIL image; empty if it could not be read.
        size: (height, width), or (0, 0) if unreadable.
        faces: The main face first, then the most confident; embedded unless only detection was asked for.
        others: How many faces were found and left out (`Steps.main_only`, a bound on faces).
        crops: (F, S, S, 3) crops of `faces`, or None unless asked for.
        error: Why the photo could not be read, or None.
    """

    source: str
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    faces: tuple[Face, ...] = ()
    others: int = 0
    crops: NDArray[np.uint8] | None = None
    error: FacewiseError | None = None

    @property
    def main(self) -> int | None:
        """Index of the main face, None if there is no face."""
        return 0 if self.faces else None

    @property
    def found(self) -> int:
        """How many faces are in the photo, those left out and all."""
        return len(self.faces) + self.others


@dataclass(frozen=True, slots=True)
class Steps:
    """How far to go with each photo.

    Attributes:
        align: Cut crops, and measure quality on them.
        embed: Embed the crops; needs `align`.
        main_only: Align and embed the main face alone, and leave the others out.
        keep_crops: Hand the crops out.
        attributes: What to say of each face beside where it is, such as `("age", "emotion")`; needs `align`
            and a pipeline with `attributes`.
        mesh: Find the mesh of each face, where the pipeline has a landmarker.
    """

    align: bool = True
    embed: bool = True
    main_only: bool = False
    keep_crops: bool = False
    attributes: tuple[str, ...] = ()
    mesh: bool = True


DEFAULT_STEPS = Steps()
"""All faces, aligned and embedded; crops not kept."""


class Pipeline:
    """A detector and an embedder at work together.

    Args:
        detector: Finds faces.
        embedder: Embeds them; None for a pipeline that only detects and aligns.
        crop_size: Side of the crops where there is neither an embedder nor a `cut` to say it.
        cut: How faces are cut where there is no embedder to say it; None cuts them by their landmarks.
        threads: Photos read side by side by `read_many`; None is all CPUs of this process.
        any_way_up: Where nothing sure is found, look at photos turned by 90°, 180° and 270° too.
        liveness: Says of every face that is aligned whether it is live; None says nothing of it.
        attributes: Says of faces what `Steps.attributes` asks, or None.
        landmarker: Finds the mesh of every face that is aligned; None finds none.

    Examples:
        >>> pipeline = Pipeline.load()  # doctest: +SKIP
        >>> pipeline.read("ada.jpg").faces[0].embedding.shape  # doctest: +SKIP
        (128,)
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder | None,
        *,
        crop_size: int = 112,
        cut: Cut | None = None,
        threads: int | None = None,
        any_way_up: bool = True,
        liveness: LivenessModel | None = None,
        attributes: AttributeModel | None = None,
        landmarker: Landmarker | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise SettingError(f"The number of threads must be at least 1, not {threads}.")
        self.detector = detector
        self._embedder = embedder
        self.cut = embedder.cut if embedder else cut or Cut(crop_size)
        self.crop_size = self.cut.size
        self.threads = threads or available_threads()
        self.any_way_up = any_way_up
        self.liveness = liveness
        self._attributes = attributes
        self.landmarker = landmarker

    @classmethod
    def load(
        cls,
        detector: str | os.PathLike[str] | None = None,
        model: str | os.PathLike[str] | None = None,
        *,
        embed: bool = True,
        flip: bool | None = None,
        provider: str = AUTO,
        threads: int | None = None,
        settings: DetectorSettings | None = None,
        variant: str = "auto",
        liveness: bool | str | os.PathLike[str] = False,
        attributes: bool | str | os.PathLike[str] = False,
        mesh: bool | str | os.PathLike[str] = False,
    ) -> Pipeline:
        """A pipeline of two models from the store, or from files.

        Args:
            detector: Name or path of the detector; None is the default one.
            model: Name or path of the embedder; None is the default one.
            embed: False loads no embedder.
            flip: See `Embedder`.
            provider: See `facewise.network.PROVIDERS`.
            threads: CPU threads to use; None is all CPUs of this process.
            settings: What counts as a face.
            variant: Which network of an int8 model runs, a key of `facewise.variants.VARIANTS`. Where an
                embedder is loaded, it is the embedder's, and the detector's where that has it too.
            liveness: True says of every face whether it is live, by the default networks; a name or path by
                others. Who does not look live is then nobody.
            attributes: True loads the default model of attributes, a name or path another one.
            mesh: True finds the mesh of every face, by the default landmarker; a name or path by another. How
                its head is turned is then told by the mesh, in its quality too.

        Raises:
            ModelError: A model is missing or unusable, or the provider or variant is not to be had.
            SettingError: A setting is out of range.
        """
        file = find_model(detector, kind="detector")
        own = variant if not embed or variant in variants_of(file) else "auto"
        found = load_detector(file, settings=settings, provider=provider, threads=threads, variant=own)
        embedder = None
        if embed:
            file = find_model(model, kind="embedder")
            embedder = Embedder(file, flip=flip, provider=provider, threads=threads, variant=variant)
        alive = None
        if liveness is not False:
            from facewise.analysis.liveness import LivenessModel  # noqa: PLC0415  most runs need none

            named = None if liveness is True else liveness
            alive = LivenessModel.load(named, provider=provider, threads=threads)
        loaded = cls(found, embedder, threads=threads, liveness=alive)
        if mesh is not False:
            loaded = loaded.with_mesh(None if mesh is True else mesh, provider=provider)
        if attributes is False:
            return loaded
        return loaded.with_attributes(None if attributes is True else attributes, provider=provider)

    def with_mesh(self, name: str | os.PathLike[str] | None = None, *, provider: str = AUTO) -> Pipeline:
        """The same that finds the mesh of every face.

        Args:
            name: Name or path of a landmarker; None is the default one.
            provider: See `facewise.network.PROVIDERS`.

        Raises:
            ModelError: The landmarker is missing or unusable, or the provider is not to be had.
        """
        from facewise.analysis.mesh import Landmarker  # noqa: PLC0415  most runs need none of it

        return self._but(landmarker=Landmarker.load(name, provider=provider, threads=self.threads))

    def with_attributes(
        self, name: str | os.PathLike[str] | None = None, *, provider: str = AUTO
    ) -> Pipeline:
        """The same that can say more of a face: age, gender, emotion and race, as far as the model does.

        Args:
            name: Name or path of a model of attributes; None is the default one.
            provider: See `facewise.network.PROVIDERS`.

        Raises:
            ModelError: The model is missing or unusable, or the provider is not to be had.
        """
        from facewise.analysis.attributes import AttributeModel  # noqa: PLC0415  most runs need none of it

        return self._but(attributes=AttributeModel.load(name, provider=provider, threads=self.threads))

    def upright_only(self) -> Pipeline:
        """The same that looks at photos as they lie: for frames of a video, of which many show nobody."""
        return self._but(any_way_up=False)

    def _but(self, **other: Any) -> Pipeline:
        """The same, with something else about it."""
        own: dict[str, Any] = {
            "cut": self.cut, "threads": self.threads, "any_way_up": self.any_way_up,
            "liveness": self.liveness, "attributes": self._attributes,
            "landmarker": self.landmarker,
        }  # fmt: skip
        return Pipeline(self.detector, self._embedder, **(own | other))

    @property
    def liveness_doubt(self) -> str | None:
        """What is wrong with its liveness, in a sentence: no calibration, or one of another detector."""
        if self.liveness is None:
            return None
        calibration, name = self.liveness.calibration, self.liveness.name
        if calibration is None:
            return (
                f"Liveness is scored, and nothing is decided by it: {name} was not calibrated, which "
                "`facewise calibrate-liveness --on DIR` does."
            )
        if calibration.detector_fingerprint == self.detector.fingerprint:
            return None
        return (
            f"The liveness threshold of {name} was measured on faces that {calibration.detector} found, and "
            f"{self.detector.name} gives them other boxes: `facewise calibrate-liveness` sets it for these."
        )

    @property
    def embedder(self) -> Embedder:
        """The embedder.

        Raises:
            SettingError: This pipeline was made without one.
        """
        if self._embedder is None:
            raise SettingError("This pipeline was loaded without an embedder.")
        return self._embedder

    @property
    def tells_attributes(self) -> bool:
        """Whether it can say more of a face than where it is and whose."""
        return self._attributes is not None

    @property
    def attributes(self) -> AttributeModel:
        """What says more of a face.

        Raises:
            SettingError: This pipeline was made without it.
        """
        if self._attributes is None:
            raise SettingError("This pipeline was loaded without a model of attributes.")
        return self._attributes

    def read(
        self, photo: ImageSource, steps: Steps = DEFAULT_STEPS, *, threads: int | None = None
    ) -> PhotoFaces:
        """The faces of one photo.

        Args:
            photo: A path, the bytes of an image file, a file object, a PIL image, or an RGB array.
            steps: How far to go.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Raises:
            ImageError: The photo cannot be read.
        """
        return self._read(photo, steps, threads)

    def read_bytes(
        self,
        data: bytes,
        steps: Steps = DEFAULT_STEPS,
        *,
        name: str = "image bytes",
        max_pixels: int = MAX_PIXELS,
        max_faces: int | None = None,
        threads: int | None = 1,
    ) -> PhotoFaces:
        """The faces of one photo that somebody sent, within limits.

        Args:
            data: The bytes of an image file.
            steps: How far to go.
            name: What to call the photo in an error and in `PhotoFaces.source`.
            max_pixels: More are refused, from the header.
            max_faces: Of more, those that come first are kept: the main one, then the most confident.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Raises:
            ImageError: The photo cannot be read; `PhotoTooLargeError` where it has too many pixels.
        """
        image = decode(data, name=name, max_pixels=max_pixels)
        return self._look(image, name, content_hash(data), steps, threads, max_faces)

    def read_many(
        self, photos: Iterable[ImageSource], steps: Steps = DEFAULT_STEPS, *, processes: bool = False
    ) -> Iterator[PhotoFaces]:
        """The faces of many photos, side by side, in order.

        Each photo is worked on by one thread from its bytes to its embeddings: decoding, detection and
        embedding all leave Python's lock, and small networks use several cores better this way than within.

        Args:
            photos: Taken one by one as workers come free, so the iterable may be long.
            steps: How far to go.
            processes: Where there are photos enough (1,000; with two threads 2,000), use processes instead of
                threads: what is Python between the networks then runs side by side as well. A script that
                asks for it needs `if __name__ == "__main__":`, as for any use of `multiprocessing`.

        Yields:
            One result a photo. A photo that cannot be read has its `error`; it stops nothing.

        Raises:
            FacewiseError: A worker process died.
        """
        least = _MANY if self.threads > 2 else _MANY_OF_TWO
        many = isinstance(photos, Sized) and len(photos) >= least
        if self._embedder is not None and steps.embed and isinstance(photos, Sized):
            self._embedder.settle(len(photos))
        # A file object cannot be sent to a process.
        sendable = not isinstance(photos, list | tuple) or not any(map(_keeps_a_process, photos))
        if processes and many and self.threads > 1 and self.portable and sendable:
            return in_processes(_read_in_worker, (self, steps), photos, self.threads)
        return side_by_side(lambda photo: self._read_or_tell(photo, steps), photos, self.threads)

    @property
    def providers(self) -> dict[str, str]:
        """Where its networks run, such as `{"detector": "cpu", "embedder": "cuda"}`."""
        return {name: part.provider for name, part in self._networks().items()}

    @property
    def passed_over(self) -> dict[str, str]:
        """Providers that `"auto"` would rather have used, and why each did not work: see `Network`."""
        return {name: why for part in self._networks().values() for name, why in part.passed_over.items()}

    @property
    def variants(self) -> dict[str, Variant]:
        """Which network of each model runs, and why, by the names of `providers`."""
        return {name: part.variant for name, part in self._networks().items()}

    def _networks(self) -> dict[str, ModelDetector | Embedder | AttributeModel | Landmarker | LivenessModel]:
        found: dict[str, ModelDetector | Embedder | AttributeModel | Landmarker | LivenessModel] = {}
        if isinstance(self.detector, ModelDetector):
            found["detector"] = self.detector
        if isinstance(self._embedder, Embedder):
            found["embedder"] = self._embedder
        if self._attributes is not None:
            found["attributes"] = self._attributes
        if self.landmarker is not None:
            found["landmarker"] = self.landmarker
        if self.liveness is not None:
            found["liveness"] = self.liveness
        return found

    @property
    def portable(self) -> bool:
        """Whether other processes can open the same networks: on the CPU, and of a kind that knows how."""
        return isinstance(self.detector, ModelDetector) and set(self.providers.values()) == {"cpu"}

    def _read_or_tell(self, photo: ImageSource, steps: Steps) -> PhotoFaces:
        try:
            return self._read(photo, steps, threads=1)
        except ImageError as error:
            return PhotoFaces(source_name(photo), error=error)

    def _read(self, photo: ImageSource, steps: Steps, threads: int | None) -> PhotoFaces:
        image, digest = read_hashed(photo)
        return self._look(image, source_name(photo), digest, steps, threads)

    def _look(
        self,
        image: Image,
        name: str,
        digest: str,
        steps: Steps,
        threads: int | None,
        max_faces: int | None = None,
    ) -> PhotoFaces:
        """Detect, and do the other steps on the photo turned so that its faces are upright."""
        size = (image.shape[0], image.shape[1])
        if self.any_way_up:
            quarters, seen = find_upright(self.detector, image, threads=threads)
        else:
            quarters, seen = 0, self.detector.detect(image, threads=threads)
        faces = tuple(seen[:max_faces])
        found = PhotoFaces(name, digest, size, faces, len(seen) - len(faces))
        found = self._finish(found, turned(image, quarters), steps, threads)
        if quarters == 0:
            return found
        return replace(found, faces=tuple(in_photo(face, quarters, size) for face in found.faces))

    def _finish(self, found: PhotoFaces, image: Image, steps: Steps, threads: int | None) -> PhotoFaces:
        faces = found.faces[:1] if steps.main_only else found.faces
        others = found.others + len(found.faces) - len(faces)
        if not steps.align:
            return replace(found, faces=faces, others=others)
        height, width = image.shape[:2]
        faces = tuple(face for face in faces if self.cut.fits(height, width, face.box, face.landmarks))
        crops = self.cut.of(image, [face.box for face in faces], _landmarks(faces))
        faces = tuple(
            replace(face, quality=measure(face, crop, (height, width)))
            for face, crop in zip(faces, crops, strict=True)
        )
        if self.liveness is not None:
            looks = self.liveness.look(image, faces, threads=threads)
            faces = tuple(replace(face, liveness=look) for face, look in zip(faces, looks, strict=True))
        if self.landmarker is not None and steps.mesh:
            meshes = self.landmarker.meshes(image, faces, threads=threads)
            faces = tuple(map(_with_mesh, faces, meshes))
        if steps.attributes:
            faces = self._with_attributes(image, faces, crops, steps.attributes, threads)
        if steps.embed:
            vectors = self.embedder.embed(crops, threads=threads)
            faces = self.with_embeddings(faces, vectors)
        return replace(found, faces=faces, others=others, crops=crops if steps.keep_crops else None)

    def _with_attributes(
        self,
        image: Image,
        faces: tuple[Face, ...],
        crops: NDArray[np.uint8],
        asked: tuple[str, ...],
        threads: int | None,
    ) -> tuple[Face, ...]:
        """Measured faces with what is said of each; `crops` are theirs, cut as `self.cut` says."""
        model = self.attributes
        if model.cut != self.cut:
            crops = model.cut.of(image, [face.box for face in faces], _landmarks(faces))
        told = model.analyze(crops, [face.quality for face in faces], asked, threads=threads)
        return tuple(replace(face, attributes=one) for face, one in zip(faces, told, strict=True))

    def with_embeddings(self, faces: Sequence[Face], vectors: FloatArray) -> tuple[Face, ...]:
        """Measured faces with their embeddings (F, D), and the quality that follows from them."""
        calibration = self.embedder.calibration
        rule = None if calibration is None else calibration.quality
        return tuple(embedded(face, vector, rule) for face, vector in zip(faces, vectors, strict=True))


def _with_mesh(face: Face, mesh: Mesh | None) -> Face:
    """A face with its mesh, and the quality that this tells better."""
    if mesh is None:
        return face
    quality = None if face.quality is None else with_mesh(face.quality, mesh)
    return replace(face, mesh=mesh, quality=quality)


def _read_in_worker(shared: tuple[Pipeline, Steps], photo: ImageSource) -> PhotoFaces:
    """`Pipeline._read_or_tell` in a process of `in_processes`."""
    pipeline, steps = shared
    return pipeline._read_or_tell(photo, steps)


def _keeps_a_process(photo: object) -> bool:
    """Whether a photo cannot be sent to another process, as a file object cannot."""
    return not (photo is None or isinstance(photo, str | os.PathLike | bytes | bytearray | np.ndarray))


def _landmarks(faces: tuple[Face, ...]) -> NDArray[np.float32]:
    return np.stack([face.landmarks for face in faces]) if faces else np.empty((0, 5, 2), dtype=np.float32)
