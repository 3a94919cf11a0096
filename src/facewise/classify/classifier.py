"""Embeddings to names: one of a closed set of people, or unknown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facewise.classify.file import (
    PROBABILITIES,
    PROBABILITY,
    SIMILARITIES,
    SIMILARITY,
    ClassifierFile,
    UnknownRule,
    check_outputs,
    read_classifier,
)
from facewise.errors import ModelError, SettingError
from facewise.models.calibration import Calibration
from facewise.models.decisions import refused
from facewise.types import FloatArray, Quality


@dataclass(frozen=True, slots=True)
class Prediction:
    """Who a face is taken for.

    Attributes:
        person: Their name; None for somebody who is none of the people, or where there is no decision.
        likeliest: Whoever of the people it would be if it had to be one.
        probability: Of `likeliest`, if it is one of the people at all; None where there is no decision.
        similarity: Cosine to what the classifier keeps of `likeliest`; None where it keeps nothing.
        note: Why there is no decision, or empty.
    """

    person: str | None
    likeliest: str
    probability: float | None
    similarity: float | None
    note: str = ""


class Classifier:
    """A classifier file at work.

    Args:
        file: A classifier file, or its path.

    Attributes:
        file: It.
        people: (C,) names, in the order of the columns.

    Raises:
        ModelError: See `read_classifier`.

    Examples:
        >>> classifier = Classifier("people.classifier.onnx")  # doctest: +SKIP
        >>> classifier.predict(embedder.embed(crops))[0].person  # doctest: +SKIP
        'Ada'
    """

    def __init__(self, file: ClassifierFile | str | os.PathLike[str]) -> None:
        self.file = file if isinstance(file, ClassifierFile) else read_classifier(file)
        self.people = self.file.card.people

    def check_model(self, fingerprint: str) -> None:
        """Refuse embeddings of another model.

        Args:
            fingerprint: Of the embedder that is to be used.

        Raises:
            ModelError: It is another one.
        """
        card = self.file.card
        if fingerprint != card.model_fingerprint:
            raise ModelError(
                f"{self.file.path} was fitted on embeddings of {card.model} "
                f"({card.model_fingerprint[:12]}), and this model is another ({fingerprint[:12]}): "
                f"name {card.model}."
            )

    def probabilities(self, vectors: FloatArray) -> FloatArray:
        """How likely each of the people is, if it is one of them.

        Args:
            vectors: (N, D) embeddings of the classifier's model; N may be 0.

        Returns:
            (N, C) float32; each row sums to 1.

        Raises:
            SettingError: Vectors of another shape, or not finite.
            ModelError: The classifier gives no probabilities for them.
        """
        return self._run(vectors)[PROBABILITIES]

    def predict(
        self,
        vectors: FloatArray,
        *,
        unknown: bool = True,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        qualities: Sequence[Quality | None] | None = None,
    ) -> list[Prediction]:
        """Who each face is.

        Args:
            vectors: (N, D) embeddings of the classifier's model; N may be 0.
            unknown: False gives everybody a name.
            threshold: In place of that of the classifier's own rule for strangers.
            calibration: Of the model, which may know of quality: then nothing is decided about a face that is
                too poor, unless everybody is to have a name or a threshold is given.
            qualities: What was measured of each face, where it was.

        Raises:
            SettingError: As `probabilities`; or a threshold for a classifier without a rule for strangers.
            ModelError: As `probabilities`.
        """
        rule = self.file.card.unknown
        if threshold is not None and (rule is None or not unknown):
            raise SettingError("A threshold needs a rule for strangers, and here there is none.")
        found = self._run(vectors)
        probabilities, similarities = found[PROBABILITIES], found.get(SIMILARITIES)
        judged = unknown and threshold is None
        reasons = _reasons(vectors, calibration if judged else None, qualities)
        predictions = []
        for i, best in enumerate(probabilities.argmax(axis=1).tolist()):
            chance = float(probabilities[i, best])
            alike = None if similarities is None else float(similarities[i, best])
            named = not unknown or _known(rule, chance, alike, threshold)
            who = self.people[best]
            if reasons[i]:
                note = f"no decision: {refused(reasons[i])}"
                predictions.append(Prediction(None, who, None, alike, note))
                continue
            predictions.append(Prediction(who if named else None, who, chance, alike))
        return predictions

    def _run(self, vectors: FloatArray) -> dict[str, FloatArray]:
        size = self.file.card.embedding_size
        if vectors.ndim != 2 or vectors.shape[1] != size or not np.isfinite(vectors).all():
            raise SettingError(
                f"The classifier takes finite embeddings of {size} numbers (N, {size}), not {vectors.shape}."
            )
        outputs = self.file.algebra.run(np.ascontiguousarray(vectors, np.float32))
        try:
            check_outputs(outputs)
        except ModelError as error:
            raise ModelError(f"The classifier {self.file.path} is broken: {error}") from error
        return outputs


def _reasons(
    vectors: FloatArray, calibration: Calibration | None, qualities: Sequence[Quality | None] | None
) -> list[tuple[str, ...]]:
    """Why nothing can be decided by each of (N, D) embeddings, of any length."""
    rule = None if calibration is None else calibration.quality
    if rule is None:
        return [()] * len(vectors)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return rule.reasons(vectors / lengths, qualities)


def _known(rule: UnknownRule | None, chance: float, alike: float | None, threshold: float | None) -> bool:
    if rule is None:
        return True
    value = {SIMILARITY: alike, PROBABILITY: chance}[rule.by]
    # A file whose rule needs similarities has them: that is checked as it is read.
    return value is not None and value >= (rule.threshold if threshold is None else threshold)
