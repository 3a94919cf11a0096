"""Embeddings to names: one of a closed set of people, or unknown."""

from __future__ import annotations

import os
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
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """Who a face is taken for.

    Attributes:
        person: Their name; None for somebody who is none of the people.
        likeliest: Whoever of the people it would be if it had to be one.
        probability: Of `likeliest`, if it is one of the people at all.
        similarity: Cosine to what the classifier keeps of `likeliest`; None where it keeps nothing.
    """

    person: str | None
    likeliest: str
    probability: float
    similarity: float | None


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
        self, vectors: FloatArray, *, unknown: bool = True, threshold: float | None = None
    ) -> list[Prediction]:
        """Who each face is.

        Args:
            vectors: (N, D) embeddings of the classifier's model; N may be 0.
            unknown: False gives everybody a name.
            threshold: In place of that of the classifier's own rule for strangers.

        Raises:
            SettingError: As `probabilities`; or a threshold for a classifier without a rule for strangers.
            ModelError: As `probabilities`.
        """
        rule = self.file.card.unknown
        if threshold is not None and (rule is None or not unknown):
            raise SettingError("A threshold needs a rule for strangers, and here there is none.")
        found = self._run(vectors)
        probabilities, similarities = found[PROBABILITIES], found.get(SIMILARITIES)
        predictions = []
        for i, best in enumerate(probabilities.argmax(axis=1).tolist()):
            chance = float(probabilities[i, best])
            alike = None if similarities is None else float(similarities[i, best])
            named = not unknown or _known(rule, chance, alike, threshold)
            who = self.people[best]
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


def _known(rule: UnknownRule | None, chance: float, alike: float | None, threshold: float | None) -> bool:
    if rule is None:
        return True
    value = {SIMILARITY: alike, PROBABILITY: chance}[rule.by]
    # A file whose rule needs similarities has them: that is checked as it is read.
    return value is not None and value >= (rule.threshold if threshold is None else threshold)
