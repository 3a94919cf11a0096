"""Galleries of drawn people, on tiny models with made-up thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facewise.gallery import Gallery
from facewise.models import Calibration, read_model, write_model
from facewise.models.calibration import Threshold
from facewise.pipeline import Pipeline

POINTS = ((0.1, 0.6), (0.01, 0.7), (0.001, 0.8))
"""False match rate and threshold, made up: drawn people are less than 0.6 alike unless chosen to be."""


@pytest.fixture(scope="session")
def calibrated_pipeline(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Pipeline:
    """The tiny models on two threads, with a calibration."""
    detector, embedder = read_model(tiny_detector_file), read_model(tiny_embedder_file)
    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, detector.card.name, detector.fingerprint,
        tuple(Threshold(fmr, threshold, fmr, 0.0, (0.0, 0.1)) for fmr, threshold in POINTS),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("video-models") / "calibrated.onnx"
    write_model(path, embedder.network, replace(embedder.card, name="calibrated", calibration=calibration))
    return Pipeline.load(tiny_detector_file, path, threads=2)


@pytest.fixture
def gallery_of(
    calibrated_pipeline: Pipeline, drawn_photo: Callable[..., np.ndarray], tmp_path: Path
) -> Iterator[Callable[..., Gallery]]:
    """`gallery_of(Ada=3, Bob=7)`: a gallery with these drawn people."""
    opened: list[Gallery] = []

    def make(pipeline: Pipeline = calibrated_pipeline, **people: int) -> Gallery:
        gallery = Gallery.open(tmp_path / f"{len(opened)}.db", pipeline=pipeline)
        opened.append(gallery)
        for name, number in people.items():
            gallery.enroll(name, [drawn_photo([(160, 120, size, number)]) for size in (33, 62)])
        return gallery

    yield make
    for gallery in opened:
        gallery.close()
