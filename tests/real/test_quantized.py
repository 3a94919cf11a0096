"""The public models in int8, calibrated and checked on photos of CelebA."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facewise.data.sample import open_photos, sample_crops, sample_photos
from facewise.detection import OnnxDetector
from facewise.embedding import Embedder
from facewise.evaluation.agreement import compare_detectors, compare_embedders
from facewise.models.quantize import quantize
from facewise.pipeline import Pipeline

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_public_embedder(shared: Path, real_models: SimpleNamespace, tmp_path: Path) -> None:
    source = open_photos(shared / "data" / "celeba-wild" / "images")

    def pipeline() -> Pipeline:
        return Pipeline.load(real_models.detector, embed=False)

    crops = sample_crops(source, 100, 112, pipeline=pipeline).images
    original = real_models.imported[1].model
    made = quantize(original, tmp_path / "int8.onnx", photos=crops[:60]).model
    pair = [Embedder(model, flip=False) for model in (original, made)]
    found = compare_embedders(pair[0], pair[1], np.stack(crops[60:]))
    assert found.mean > 0.995
    assert found.least > 0.98
    assert len(made.network) < 0.45 * len(original.network)


def test_the_public_detector(shared: Path, real_models: SimpleNamespace, tmp_path: Path) -> None:
    photos = sample_photos(open_photos(shared / "data" / "utkface" / "images"), 100, longest=640).images
    original = real_models.imported[0].model
    made = quantize(original, tmp_path / "int8.onnx", photos=photos[:60]).model
    found = compare_detectors(OnnxDetector(original), OnnxDetector(made), photos[60:])
    assert found.found > 0.97
    assert found.landmarks < 0.02
    assert len(made.network) < 0.45 * len(original.network)
