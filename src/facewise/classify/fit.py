"""Fitting a classifier: StandardScaler → PCA → SVC and its like, settings and sureness by cross-validation.

Needs scikit-learn and onnx, of the `train` extra.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from facewise.classify.estimators import CLASSICS, MANY_PEOPLE, UNMEASURED, candidates, estimator, logits
from facewise.classify.export import to_onnx
from facewise.classify.file import UnknownRule
from facewise.classify.folds import Folds
from facewise.classify.temperature import fit_sharpness, softmax
from facewise.classify.unknown import DEFAULT_FPIR, hardly_told, measure_unknown
from facewise.errors import DatasetError, SettingError, nearest_known
from facewise.types import Decision, FloatArray

FOLDS, FEWER_FOLDS = 5, 3
"""Parts of the cross-validation, and those with more than `MANY_PEOPLE` people."""

MOST_TO_CHOOSE = 3000
"""Photos that settings are chosen on: of more, as many of each person, so that the time stays in minutes."""

_UNBALANCED = 10
_LENGTH = 1e-3
"""How far the length of a unit embedding may be from 1."""

_ALIKE = 1e-6
"""Below it embeddings differ by rounding alone."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A classifier that was fitted.

    Attributes:
        method: One of `CLASSICS`.
        people: Names, in the order of the probabilities.
        pipeline: scikit-learn's, fitted on all that was given.
        sharpness: What its logits are multiplied by before the softmax; see `facewise.classify.temperature`.
        unknown: The rule for strangers; None where none was asked for.
        settings: What was chosen, among what, and how well it did in cross-validation; plain Python for JSON.
        notes: What the data was too small or too uneven for, in sentences.
        vectors: (N, D) what it was fitted on.
        labels: (N,) who is on each.
    """

    method: str
    people: tuple[str, ...]
    pipeline: Pipeline
    sharpness: float
    unknown: UnknownRule | None
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    vectors: FloatArray = field(repr=False)
    labels: Labels = field(repr=False)

    def probabilities(self, vectors: FloatArray) -> NDArray[np.float64]:
        """(N, C) probabilities of (N, D) unit embeddings, by scikit-learn in float64."""
        exact = np.asarray(vectors, np.float64)
        return softmax(self.sharpness * logits(self.method, self.pipeline, exact))

    def to_onnx(self) -> bytes:
        """ONNX for `write_classifier`, proven to give what `probabilities` does.

        Raises:
            ModelError: It gives something else.
        """
        return to_onnx(self)


def fit_classifier(
    vectors: FloatArray,
    labels: NDArray[Any],
    people: Sequence[str],
    *,
    method: str = "svc",
    seed: int = 0,
    fpir: float | None = DEFAULT_FPIR,
    least: Decision | None = None,
) -> Fitted:
    """Fit StandardScaler → PCA → a classifier, its settings chosen by stratified cross-validation.

    The settings with the highest mean recall over people are taken; of equals those whose probabilities fit
    best. How sure a decision is, is fitted on the same held-out photos. With the same data and seed the
    result is the same.

    Args:
        vectors: (N, D) unit embeddings.
        labels: (N,) numbers of `people`.
        people: C names, 2 or more, each with a photo.
        method: `svc` (linear or RBF), `knn` (cosine), `lda` (shrunk) or `logistic`.
        seed: Of the folds.
        fpir: Share of strangers who may be given a name, see `measure_unknown`; None names everybody.
        least: See `measure_unknown`.

    Raises:
        SettingError: There is no such method, or the rate is not between 0 and 1.
        DatasetError: Fewer than two people, somebody without a photo, or too few photos for the method.
    """
    if method not in CLASSICS:
        raise SettingError(f"There is no classifier {method!r}{nearest_known(method, list(CLASSICS))}")
    vectors, labels = np.ascontiguousarray(vectors, np.float32), np.asarray(labels, np.int64)
    counts = _check(vectors, labels, people)
    notes = _notes(counts, people)
    if method == "lda" and counts.max() < 2:
        raise DatasetError("LDA needs two photos of somebody: give more photos, or fit `knn` or `svc`.")
    unknown = None if fpir is None else measure_unknown(vectors, labels, people, fpir=fpir, least=least)
    if unknown is not None and hardly_told(labels, unknown):
        notes.append(
            "With one photo each of so few people, strangers can hardly be told from them: give two or more."
        )
    # Of matrices so small, threads wait for each other: on busy cores it took a hundred times as long.
    with threadpool_limits(1):
        settings, sharpness = _choose(method, vectors, labels, seed)
        parameters = settings.pop("parameters")
        pipeline = _fitted(method, vectors, labels, seed, parameters, notes)
    settings = {
        "method": method,
        "seed": seed,
        **{key.split("__")[-1]: value for key, value in parameters.items()},
        "sharpness": sharpness,
        **settings,
    }
    return Fitted(
        method, tuple(people), pipeline, sharpness, unknown, settings, tuple(notes), vectors, labels
    )


def _choose(method: str, vectors: FloatArray, labels: Labels, seed: int) -> tuple[dict[str, Any], float]:
    """Settings by cross-validation, and the sharpness that goes with them."""
    kept = _some(labels, seed)
    vectors, labels = vectors[kept], labels[kept]
    counts = np.bincount(labels)
    people = len(counts)
    if np.count_nonzero(counts >= 2) < 2:
        return {"parameters": candidates(method, people, len(labels))[0], "folds": 0}, UNMEASURED[method]
    folds = Folds(labels, FOLDS if people <= MANY_PEOPLE else FEWER_FOLDS, seed)
    tried = candidates(method, people, min(len(learned) for learned, _ in folds))
    out = folds.held_out >= 0
    best: tuple[tuple[float, float], dict[str, Any], float] | None = None
    for parameters in tried:
        found = np.zeros((len(labels), people))
        for learned, held in folds:
            pipeline = _fitted(method, vectors[learned], labels[learned], seed, parameters, [])
            found[held] = logits(method, pipeline, vectors[held].astype(np.float64))
        sharpness, loss = fit_sharpness(found[out], labels[out])
        rank = (-round(_mean_recall(found[out], labels[out]), 9), round(loss, 9))
        if best is None or rank < best[0]:
            best = rank, parameters, sharpness
    assert best is not None  # noqa: S101  there is always something to try
    (recall, loss), parameters, sharpness = best
    settings = {"parameters": parameters, "folds": folds.count, "tried": len(tried), "photos": len(labels)}
    return settings | {"cross_validated_recall": -recall, "cross_validated_loss": loss}, sharpness


def _fitted(
    method: str,
    vectors: FloatArray,
    labels: Labels,
    seed: int,
    parameters: Mapping[str, Any],
    notes: list[str],
) -> Pipeline:
    pipeline = estimator(method, int(labels.max()) + 1, seed, parameters)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            pipeline.fit(vectors.astype(np.float64), labels)
        except ValueError as error:  # scikit-learn's word for data that it cannot use
            said = str(error).splitlines()[0].rstrip(".")
            raise DatasetError(f"The photos are too few or too alike for {method}: {said}.") from error
    if any(issubclass(one.category, ConvergenceWarning) for one in told):
        notes.append(f"{method} had not quite settled when its last step was done.")
    return pipeline


def _some(labels: Labels, seed: int) -> Labels:
    """At most `MOST_TO_CHOOSE` photos, the same number of everybody who has as many; sorted."""
    if len(labels) <= MOST_TO_CHOOSE:
        return np.arange(len(labels))
    counts = np.bincount(labels)
    each = max(2, int(counts.max()))
    while each > 2 and np.minimum(counts, each).sum() > MOST_TO_CHOOSE:
        each -= 1
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(labels == person))[:each] for person in range(len(counts))]
    return np.sort(np.concatenate(parts))


def _mean_recall(found: NDArray[np.float64], labels: Labels) -> float:
    """Over the people with a photo among these."""
    right = found.argmax(axis=1) == labels
    counts = np.bincount(labels)
    return float((np.bincount(labels, right)[counts > 0] / counts[counts > 0]).mean())


def _check(vectors: FloatArray, labels: Labels, people: Sequence[str]) -> Labels:
    """(C,) photos of each."""
    if vectors.ndim != 2 or labels.shape != (len(vectors),) or not np.isfinite(vectors).all():
        raise SettingError(f"Expected finite embeddings (N, D) with a label each, got {vectors.shape}.")
    if len(people) < 2 or len(set(people)) < len(people):
        raise DatasetError(f"A classifier tells people apart: it needs two or more, not {len(set(people))}.")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(people)):
        raise SettingError(f"A label names nobody: there are {len(people)} people.")
    counts = np.bincount(labels, minlength=len(people))
    if not counts.all():
        name = people[int(np.argmin(counts))]
        raise DatasetError(f"{name} has no photo with a face to learn from; leave {name} out.")
    if np.abs(np.linalg.norm(vectors, axis=1) - 1.0).max() > _LENGTH:
        raise SettingError("Expected embeddings of unit length, as `Embedder.embed` gives them.")
    if np.ptp(vectors, axis=0).max() < _ALIKE:
        raise DatasetError("All photos show the same: there is nothing to tell people apart by.")
    return counts


def _notes(counts: Labels, people: Sequence[str]) -> list[str]:
    notes = []
    single = np.flatnonzero(counts == 1)
    if len(people) - len(single) < 2:
        notes.append(
            "Fewer than two people have two photos: settings were not chosen by cross-validation, and how "
            "sure a decision is was not measured."
        )
    elif single.size:
        named = ", ".join(people[i] for i in single[:5]) + (" …" if single.size > 5 else "")
        notes.append(
            f"{single.size} of {len(people)} people have one photo ({named}): it was learned from, but could "
            "not be held out in cross-validation."
        )
    if counts.max() >= _UNBALANCED * counts.min():
        notes.append(f"The photos are uneven, {counts.min()} to {counts.max()} a person.")
    return notes
