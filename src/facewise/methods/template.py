"""One-shot, and a few: the mean embedding of a person's photos, nearest by cosine, as a gallery searches."""

from __future__ import annotations

import time

from facewise.gallery.search import Matrix
from facewise.methods.tasks import Part, Result, Task
from facewise.methods.vectors import read_vectors


def learn_template(task: Task, part: Part) -> Result:
    """Enrol the photos, and name each test photo by the nearest mean template."""
    found = read_vectors(task.vectors)
    assert found is not None  # noqa: S101  made before any task that needs it
    vectors = found.vectors
    begun = time.perf_counter()
    gallery = Matrix(vectors[part.learn], part.labels)
    gallery.top(vectors[part.learn[:1]], 1, "mean")  # the templates are made when first asked for
    fitted = time.perf_counter()
    answers = gallery.top(vectors[part.test], 1, "mean")
    ended = time.perf_counter()
    return Result(
        predicted=tuple(answer[0][0] for answer in answers),
        photos=len(part.learn),
        fit_s=fitted - begun,
        predict_ms=(ended - fitted) * 1000 / len(part.test),
        keep_bytes=len(task.names) * vectors.shape[1] * vectors.itemsize,
    )
