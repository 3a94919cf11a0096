"""Photos of a dataset to the vectors a classifier takes, and the embedder that goes with a classifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from facewise.classify.file import ClassifierFile
from facewise.data.prepared import PreparedSource
from facewise.data.source import FileSource, Source
from facewise.embedding import Embedder
from facewise.errors import DatasetError, ModelError, SettingError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_any
from facewise.evaluation.embedded import EmbeddedPhoto
from facewise.models import ModelFile, find_model, installed_models, read_model
from facewise.pipeline import Pipeline, Steps

Progress = Callable[[int], None]
Model = Pipeline | Embedder
"""What makes vectors: a pipeline of photos, an embedder of crops that are aligned already."""

_BESIDE = "model.onnx"
"""The embedder of a training run, which lies beside its classifier."""


def find_embedder(file: ClassifierFile, model: str | os.PathLike[str] | None = None) -> ModelFile:
    """The embedder whose embeddings a classifier takes, known by its fingerprint.

    Args:
        file: The classifier.
        model: A name or path the user gave; None looks beside the classifier, then among all models here.

    Raises:
        ModelError: That one is another, or none is here.
    """
    card = file.card
    if model is not None:
        found = find_model(model, kind="embedder")
        if found.fingerprint != card.model_fingerprint:
            raise ModelError(
                f"{file.path} takes embeddings of {card.model} ({card.model_fingerprint[:12]}); "
                f"{found.card.name} ({found.fingerprint[:12]}) is another model."
            )
        return found
    places = [file.path.with_name(_BESIDE), *(one.path for one in installed_models())]
    for place in places:
        try:
            found = read_model(place)
        except ModelError:  # not there, or not the one looked for; `models verify` is for broken ones
            continue
        if found.fingerprint == card.model_fingerprint:
            return found
    raise ModelError(
        f"{file.path} takes embeddings of {card.model} ({card.model_fingerprint[:12]}), which is not here: "
        "import or download that model, or name its file with `--model`."
    )


def files_of(source: Source) -> FileSource:
    """The dataset as files, which records are not.

    Raises:
        DatasetError: Its photos are no files.
    """
    if not isinstance(source, FileSource):
        raise DatasetError(
            f"The photos of {source.name} are no files of their own: give a folder with a sub-folder of "
            "photos a person, or a CSV."
        )
    return source


def is_aligned(source: Source) -> bool:
    """Whether a dataset holds crops that were aligned before."""
    return isinstance(source, PreparedSource)


def vectors_of(
    model: Model,
    photos: Sequence[Path],
    features: str = "unit",
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
) -> list[EmbeddedPhoto]:
    """The vector of every photo's main face.

    Args:
        model: See `Model`.
        photos: Paths.
        features: `"unit"` embeddings, or `"raw"` ones as the network gives them.
        cache: Where faces and unit embeddings are looked up and kept, or None.
        progress: Told as photos are done.

    Returns:
        One entry a photo, in order; without a vector where there is no face, or the photo cannot be read.
    """
    if features == "unit":
        return embed_any(model, photos, cache=cache, progress=progress, processes=True)
    return [*_raw_of(model, photos, progress)]


def _raw_of(model: Model, photos: Sequence[Path], progress: Progress) -> list[EmbeddedPhoto]:
    if isinstance(model, Embedder):
        raise SettingError(
            "This classifier takes embeddings as the network gives them, which are made of photos and not of "
            "crops: give the photos."
        )
    steps = Steps(embed=False, main_only=True, keep_crops=True)
    found = []
    for path, faces in zip(photos, model.read_many(photos, steps), strict=True):
        vector = None
        if faces.crops is not None and len(faces.crops):
            vector = model.embedder.features(faces.crops[:1])[0]
        found.append(EmbeddedPhoto(path, faces.sha256, vector, faces.error))
        progress(1)
    return found
