"""Prepared photos of drawn people, and a detector for labelling, small and quick."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facewise.data.scenes.labels import LEAST_SCORE
from facewise.data.scenes.photos import LabelledPhoto, PhotoStore, pyramid
from facewise.data.scenes.prepare import prepare_photos
from facewise.data.synthetic import SyntheticSource
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.models.file import read_model


def labeller(path: Path) -> OnnxDetector:
    """The detector of a file at the threshold for labelling."""
    settings = DetectorSettings(score_threshold=LEAST_SCORE)
    return OnnxDetector(read_model(path), settings=settings, threads=1)


def drawn_store(
    folder: Path, detector: Path, *, people: int = 5, size: int = 96, held_out=0.34
) -> PhotoStore:
    """Two photos of each of some drawn people."""
    source = SyntheticSource(people, 2, seed=3, size=size, difficulty=0.2)
    return prepare_photos(folder, {"drawn": source}, labeller(detector), held_out=held_out)


def blob_photo(points: np.ndarray, size: tuple[int, int] = (160, 160), radius: float = 2.5) -> LabelledPhoto:
    """A black photo with a soft white dot of its own at each of five landmarks, one colour channel free."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    image = np.zeros((*size, 3), np.float64)
    for px, py in points:
        dot = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))
        image[..., 0] = np.maximum(image[..., 0], 255 * dot)
    low, high = points.min(axis=0) - 20, points.max(axis=0) + 20
    return LabelledPhoto(
        "dots",
        drawn=False,
        held_out=False,
        levels=pyramid(image.astype(np.uint8)),
        boxes=np.concatenate([low, high])[None].astype(np.float32),
        landmarks=points[None].astype(np.float32),
        sure=np.array([True]),
        clear=np.empty((0, 4), np.int32),
    )
