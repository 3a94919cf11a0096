"""A dataset of people to a classifier file: embed, hold photos out and measure, fit on all, write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise._version import __version__
from facewise.classify.file import ClassifierCard, ClassifierFile, check_name, write_classifier
from facewise.classify.fit import Fitted, fit_classifier
from facewise.classify.unknown import DEFAULT_FPIR, person_means
from facewise.classify.vectors import Model, Progress, files_of, vectors_of
from facewise.data.source import FileSource, Source, Subset
from facewise.data.split import split
from facewise.embedding import Embedder
from facewise.errors import DatasetError, SettingError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto
from facewise.metrics.classification import classify_metrics
from facewise.metrics.classification_result import ClassificationResult
from facewise.models.decisions import choose_decision
from facewise.models.trained_on import TrainedOn
from facewise.types import Decision, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A classifier that was fitted on a dataset.

    Attributes:
        file: The classifier file: fitted on all photos.
        held_out: What a classifier fitted on the others says of the photos held out; None where none were.
        refused: Share of those photos that its rule for strangers gave no name; None likewise.
        photos: How many it was fitted on.
        notes: What there was to say, in sentences.
        left_out: Photos that could not be used, and why.
    """

    file: ClassifierFile
    held_out: ClassificationResult | None
    refused: float | None
    photos: int
    notes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def learn_people(
    source: Source,
    model: Model,
    out: str | os.PathLike[str],
    *,
    method: str = "svc",
    test: float = 0.2,
    seed: int = 0,
    fpir: float | None = DEFAULT_FPIR,
    record_photos: bool = True,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
) -> Learned:
    """Fit a classifier on a dataset and write it.

    A share of each person's photos is held out, a classifier fitted on the rest is measured on them, and the
    one that is kept is fitted on all: with more photos of the same people it is no worse, and it would be a
    pity to leave out a fifth of the few there are.

    Args:
        source: Photos that are files, with their people.
        model: Detector and embedder; an embedder alone for crops that are aligned.
        out: The classifier file to write.
        method: See `fit_classifier`.
        test: Share of each person's photos held out, stratified; 0 measures nothing.
        seed: Of that division and of the cross-validation.
        fpir: Share of strangers who may be given a name; None gives everybody one.
        record_photos: Keep hashes of the photos in the file, so that a test on them is noticed.
        cache: Where faces and embeddings are kept, or None.
        progress: Told as photos are done.

    Raises:
        DatasetError: Fewer than two people have a photo with a face, or they have too few.
        SettingError: A setting makes no sense.
    """
    if not 0.0 <= test < 1.0:
        raise SettingError(f"The share held out lies between 0 and 1, not at {test}.")
    check_name(out)
    files = files_of(source)
    found = vectors_of(model, [files.path(i) for i in range(len(files.keys))], cache=cache, progress=progress)
    usable = [i for i, one in enumerate(found) if one.embedding is not None]
    faces = _Faces.of(files, found, usable)
    notes = faces.notes(files)
    # What tells two photos apart is the least that few people are told from strangers by.
    least = choose_decision(_embedder(model).calibration)
    held_out, refused = None, None
    if test:
        measured = _measure(faces, method, test, seed, fpir, least, notes)
        held_out, refused = measured if measured is not None else (None, None)
    fitted = fit_classifier(
        faces.vectors, faces.labels, faces.people, method=method, seed=seed, fpir=fpir, least=least
    )
    card = _card(files, faces, fitted, model, held_out, refused, test)
    if record_photos:
        card = _remember(card, faces)
    file = write_classifier(out, fitted.to_onnx(), card)
    left_out = tuple(
        (files.keys[i], str(one.error) if one.error is not None else f"No face was found in {files.keys[i]}.")
        for i, one in enumerate(found)
        if one.embedding is None
    )
    return Learned(file, held_out, refused, len(usable), (*notes, *fitted.notes), left_out)


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """What of a dataset can be learned from."""

    subset: Subset
    vectors: FloatArray
    labels: NDArray[np.int64]
    people: tuple[str, ...]
    contents: tuple[str, ...]

    @classmethod
    def of(cls, files: FileSource, found: Sequence[EmbeddedPhoto], usable: Sequence[int]) -> _Faces:
        if not usable:
            raise DatasetError(f"No photo of {files.name} shows a face, so there is nobody to learn.")
        subset = Subset(files, usable)
        vectors = np.stack([one.embedding for one in found if one.embedding is not None])
        contents = tuple(found[i].sha256 for i in usable)
        return cls(subset, vectors, subset.labels, tuple(subset.names), contents)

    def notes(self, files: FileSource) -> list[str]:
        """Who is missing."""
        gone = [name for name in files.names if name not in set(self.people)]
        if not gone:
            return []
        named = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")
        return [f"{len(gone)} of {len(files.names)} people have no photo with a face: {named}."]


def _measure(
    faces: _Faces,
    method: str,
    test: float,
    seed: int,
    fpir: float | None,
    least: Decision | None,
    notes: list[str],
) -> tuple[ClassificationResult, float | None] | None:
    """A classifier fitted on a part, on the photos it did not see; None where nobody has a photo to spare."""
    try:
        parts = split(faces.subset, (1.0 - test, test), by="photo", names=("train", "test"), seed=seed)
    except DatasetError:
        notes.append("Nobody has a photo to spare, so nothing was held out and nothing measured.")
        return None
    held = np.array([part == "test" for part in parts.parts])
    fitted = fit_classifier(
        faces.vectors[~held],
        faces.labels[~held],
        faces.people,
        method=method,
        seed=seed,
        fpir=fpir,
        least=least,
    )
    vectors, labels = faces.vectors[held], faces.labels[held]
    chances = fitted.probabilities(vectors)
    result = classify_metrics(chances, labels, faces.people, kind="probabilities")
    return result, _refused(fitted, vectors, chances.argmax(axis=1))


def _refused(fitted: Fitted, vectors: FloatArray, predicted: NDArray[np.int64]) -> float | None:
    if fitted.unknown is None:
        return None
    means = person_means(fitted.vectors, fitted.labels, len(fitted.people))
    alike = (vectors * means[predicted]).sum(axis=1)
    return float((alike < fitted.unknown.threshold).mean())


def _card(
    files: FileSource,
    faces: _Faces,
    fitted: Fitted,
    model: Model,
    held_out: ClassificationResult | None,
    refused: float | None,
    test: float,
) -> ClassifierCard:
    embedder = _embedder(model)
    training: dict[str, Any] = {
        "data": files.name,
        "photos": len(faces.labels),
        "people": len(faces.people),
        "facewise": __version__,
    }
    if not isinstance(model, Embedder):
        training |= {"detector": model.detector.name, "detector_fingerprint": model.detector.fingerprint}
    results: dict[str, Any] = {}
    if held_out is not None:
        results = {
            "held_out_share": test,
            "held_out_photos": held_out.photos,
            "accuracy": held_out.top1,
            "loss": held_out.loss,
            "refused": refused,
        }
    return ClassifierCard(
        fitted.method,
        faces.people,
        embedder.name,
        embedder.fingerprint,
        embedder.embedding_size,
        unknown=fitted.unknown,
        settings=fitted.settings,
        training=training,
        results=results,
        flip=embedder.flip,
    )


def _embedder(model: Model) -> Embedder:
    return model if isinstance(model, Embedder) else model.embedder


def _remember(card: ClassifierCard, faces: _Faces) -> ClassifierCard:
    return replace(card, trained_on=TrainedOn.of(len(faces.labels), faces.people, faces.contents, ()))
