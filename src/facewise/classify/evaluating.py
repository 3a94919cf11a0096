"""A classifier file on photos whose people are known: who is named rightly, and which strangers are named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from facewise.classify.classifier import Classifier, Prediction
from facewise.classify.vectors import Model, Progress, files_of, vectors_of
from facewise.data.source import Source
from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto
from facewise.evaluation.leak_check import LeakPolicy
from facewise.metrics.classification import classify_metrics
from facewise.metrics.classification_result import ClassificationResult
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True)
class Named:
    """One photo.

    Attributes:
        key: Of the photo in its dataset.
        truth: Who it shows.
        known: Whether that is one of the classifier's people.
        prediction: Who it is taken for.
    """

    key: str
    truth: str
    known: bool
    prediction: Prediction

    @property
    def right(self) -> bool:
        """One of the people named as such, or a stranger given no name."""
        return self.prediction.person == (self.truth if self.known else None)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A classifier on a dataset.

    Attributes:
        photos: Every photo that shows a face.
        closed_set: The people it knows, each named by the highest probability; None where none is there.
        left_out: Photos that could not be used, and why.
        fitted_on: Photos that it was fitted on, whose figures say nothing: left out, or only marked.
        excluded: Whether they were left out.
    """

    photos: tuple[Named, ...]
    closed_set: ClassificationResult | None
    left_out: tuple[tuple[str, str], ...]
    fitted_on: tuple[str, ...]
    excluded: bool

    def rates(self) -> dict[str, Any]:
        """With the rule for strangers: shares of known people named rightly, wrongly, not at all.

        And of strangers given a name. None where there is nobody of the kind.
        """
        known = [one for one in self.photos if one.known]
        strangers = [one for one in self.photos if not one.known]
        named = Counter("right" if one.right else _how(one.prediction) for one in known)
        return {
            "known": len(known),
            "named_rightly": named["right"] / len(known) if known else None,
            "named_wrongly": named["named"] / len(known) if known else None,
            "not_named": named["refused"] / len(known) if known else None,
            "strangers": len(strangers),
            "strangers_named": sum(one.prediction.person is not None for one in strangers) / len(strangers)
            if strangers
            else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "photos": [
                {
                    "photo": one.key,
                    "person": one.truth,
                    "known": one.known,
                    "named": one.prediction.person,
                    "likeliest": one.prediction.likeliest,
                    "probability": one.prediction.probability,
                    "similarity": one.prediction.similarity,
                    "right": one.right,
                }
                for one in self.photos
            ],
            "closed_set": None if self.closed_set is None else self.closed_set.to_dict(),
            "rates": self.rates(),
            "left_out": [{"photo": photo, "error": error} for photo, error in self.left_out],
            "fitted_on": {"photos": list(self.fitted_on), "excluded": self.excluded},
        }


def _how(prediction: Prediction) -> str:
    return "refused" if prediction.person is None else "named"


def evaluate_people(
    classifier: Classifier,
    source: Source,
    model: Model,
    *,
    leaks: LeakPolicy = LeakPolicy.REFUSE,
    unknown: bool = True,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
) -> Evaluated:
    """Name everybody of a dataset, and compare.

    Args:
        classifier: To be measured.
        source: Photos that are files, with their people; who is none of the classifier's is a stranger.
        model: Its embedder, with a detector or for crops that are aligned.
        leaks: What to do with photos it was fitted on.
        unknown: False gives everybody a name.
        cache: Where faces and embeddings are kept, or None.
        progress: Told as photos are done.

    Raises:
        DatasetError: It was fitted on photos of the dataset; or no photo is left.
        ModelError: The embedder is another one.
    """
    files, card = files_of(source), classifier.file.card
    found = vectors_of(
        model, [files.path(i) for i in range(len(files.keys))], card.features, cache=cache, progress=progress
    )
    seen = _seen(classifier, found)
    fitted_on = tuple(key for key, known in zip(files.keys, seen, strict=True) if known)
    if fitted_on and leaks is LeakPolicy.REFUSE:
        raise DatasetError(
            f"{len(fitted_on)} of {len(seen)} photos of {files.name} are among those the classifier was "
            f"fitted on, such as {fitted_on[0]}, so figures on them say nothing: take other photos, or "
            "`--leaks exclude` or `--leaks mark`."
        )
    exclude = leaks is LeakPolicy.EXCLUDE
    used = [i for i, one in enumerate(found) if one.embedding is not None and not (exclude and seen[i])]
    if not used:
        raise DatasetError(f"No photo of {files.name} is left to measure on.")
    vectors: FloatArray = np.stack([v for i in used if (v := found[i].embedding) is not None])
    place = {name: i for i, name in enumerate(classifier.people)}
    photos = tuple(
        Named(files.keys[i], name := files.names[files.labels[i]], name in place, prediction)
        for i, prediction in zip(used, classifier.predict(vectors, unknown=unknown), strict=True)
    )
    known = np.array([one.known for one in photos])
    closed = None
    if known.any():
        labels = np.array([place[one.truth] for one in photos if one.known])
        chances = classifier.probabilities(vectors[known])
        closed = classify_metrics(chances, labels, classifier.people, kind="probabilities")
    return Evaluated(photos, closed, _left_out(files.keys, found), fitted_on, exclude)


def _seen(classifier: Classifier, found: list[EmbeddedPhoto]) -> list[bool]:
    """Which photos the classifier was fitted on, by their content."""
    record = classifier.file.card.trained_on
    if record is None or not record.listed:
        return [False] * len(found)
    known = iter(record.has_contents([one.sha256 for one in found if one.sha256]))
    return [bool(one.sha256) and next(known) for one in found]


def _left_out(keys: tuple[str, ...], found: list[EmbeddedPhoto]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, str(one.error) if one.error is not None else f"No face was found in {key}.")
        for key, one in zip(keys, found, strict=True)
        if one.embedding is None
    )
