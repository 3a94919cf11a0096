"""The bundled models on photos as people have them: turned, and close up. More is in benchmarks/turned.py."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facewise.image import read_image
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.types import Image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load("facewise-detect-s", "facewise-embed-s", threads=2)


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Image]:
    """100 of LFW, evenly from all."""
    paths = sorted((shared / "data" / "lfw" / "images").glob("*/*.jpg"))
    return [read_image(path) for path in paths[:: len(paths) // 100][:100]]


def likeness(one: PhotoFaces, other: PhotoFaces) -> float:
    if not one.faces or not other.faces:
        return -1.0
    return float(np.vdot(one.faces[0].embedding, other.faces[0].embedding))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_photos_show_the_same_face(pipeline: Pipeline, photos: list[Image], quarters: int) -> None:
    upright = pipeline.read_many(photos)
    turned = pipeline.read_many([np.ascontiguousarray(np.rot90(photo, quarters)) for photo in photos])
    found = np.array([likeness(a, b) for a, b in zip(upright, turned, strict=True)])
    assert (found >= 0.36).mean() >= 0.97
    assert np.median(found) >= 0.99


@pytest.mark.parametrize("share", [0.55, 0.77, 1.0])
@pytest.mark.parametrize("side", [1024, pytest.param(3000, marks=pytest.mark.slow)])
def test_close_ups_show_the_same_face(
    pipeline: Pipeline, photos: list[Image], share: float, side: int
) -> None:
    whole, close = [], []
    for photo in photos[::5]:
        found = pipeline.read(photo)
        box = found.faces[0].box
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / share / 2
        x, y = np.maximum(np.rint(middle - half).astype(int), 0)
        end_x, end_y = np.rint(middle + half).astype(int)
        cut = photo[y:end_y, x:end_x]
        scale = side / max(cut.shape[:2])
        close.append(pipeline.read(cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)))
        whole.append(found)
    found = np.array([likeness(a, b) for a, b in zip(whole, close, strict=True)])
    assert (found >= 0.36).mean() >= 0.97, found
