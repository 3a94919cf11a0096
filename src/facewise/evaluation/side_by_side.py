"""Several models on the same photos: one pass of the detector, and each one's difference to the first."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facewise.embedding import Embedder
from facewise.evaluation.cache import FaceCache
from facewise.pipeline import Pipeline

Model = Pipeline | Embedder
"""A pipeline for photos; an embedder alone for crops that are aligned already."""


@contextmanager
def faces_kept(*, keep: bool, models: int) -> Iterator[FaceCache | None]:
    """Where the models find the faces that the detector found for the first of them.

    Args:
        keep: In the user's own cache; otherwise nothing is left behind.
        models: How many; for several there is a cache for the time being in any case.
    """
    if keep:
        with FaceCache() as cache:
            yield cache
    elif models > 1:
        with (
            tempfile.TemporaryDirectory(prefix="facewise-") as folder,
            FaceCache(Path(folder) / "faces.cache") as cache,
        ):
            yield cache
    else:
        yield None


def embedder_of(model: Model) -> Embedder:
    """What embeds."""
    return model if isinstance(model, Embedder) else model.embedder


def model_names(models: Sequence[Model]) -> list[str]:
    """What to call each in a table: its name, with the start of its fingerprint where names are the same."""
    embedders = [embedder_of(model) for model in models]
    often = Counter(embedder.name for embedder in embedders)
    return [
        embedder.name if often[embedder.name] == 1 else f"{embedder.name} ({embedder.fingerprint[:8]})"
        for embedder in embedders
    ]
