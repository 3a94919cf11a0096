"""All of LFW with the public models, found and embedded once for all the tests that take minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from facewise.evaluation import FaceCache, Lfw, load_lfw
from facewise.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipeline(real_models: SimpleNamespace) -> Pipeline:
    """The public models, with flip averaging."""
    return Pipeline.load(real_models.detector, real_models.embedder, flip=True)


@pytest.fixture(scope="session")
def lfw(shared: Path) -> Lfw:
    """LFW's View 2."""
    return load_lfw(shared / "data" / "lfw")


@pytest.fixture(scope="session")
def cache() -> Iterator[FaceCache]:
    """Of every photo that any of them looks at, in the tests' home: commands find it there."""
    with FaceCache() as opened:
        yield opened
