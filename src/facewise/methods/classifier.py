"""Classic classifiers on embeddings, fitted and kept as `facewise classify fit` does it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from facewise.classify.classifier import Classifier
from facewise.classify.file import ClassifierCard, write_classifier
from facewise.classify.fit import fit_classifier
from facewise.errors import DatasetError
from facewise.methods.tasks import Part, Result, Task, TooFewError
from facewise.methods.vectors import read_vectors


def learn_classifier(task: Task, part: Part) -> Result:
    """Fit a classifier, write the file a user would keep, and name the test photos by that file.

    Everybody is given a name: the people are all known.

    Raises:
        TooFewError: It cannot be fitted on so few photos.
    """
    found = read_vectors(task.vectors)
    assert found is not None  # noqa: S101  made before any task that needs it
    vectors, method = found.vectors, task.method.name
    begun = time.perf_counter()
    try:
        fitted = fit_classifier(vectors[part.learn], part.labels, task.names, method=method, seed=part.seed)
    except DatasetError as error:
        raise TooFewError(str(error)) from error
    fit_s = time.perf_counter() - begun
    name, fingerprint = task.model
    card = ClassifierCard(method, task.names, name, fingerprint, vectors.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.classifier.onnx"
        classifier = Classifier(write_classifier(path, fitted.to_onnx(), card))
        keep = path.stat().st_size
    classifier.probabilities(vectors[part.test[:1]])  # the first call is slower
    begun = time.perf_counter()
    chances = classifier.probabilities(vectors[part.test])
    return Result(
        predicted=tuple(chances.argmax(axis=1).tolist()),
        photos=len(part.learn),
        fit_s=fit_s,
        predict_ms=(time.perf_counter() - begun) * 1000 / len(part.test),
        keep_bytes=keep,
        facts={"notes": list(fitted.notes), **dict(fitted.settings)},
    )
