"""The public models in int8, calibrated and checked on photos of CelebA."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facewise.data.lfw import lfw_people
from facewise.data.sample import open_photos, sample_crops, sample_photos
from facewise.detection import OnnxDetector
from facewise.embedding import Embedder
from facewise.evaluation.agreement import compare_detectors, compare_embedders
from facewise.models import find_model
from facewise.models.bundled import BUNDLED_MODELS
from facewise.models.quantize import quantize
from facewise.pipeline import Pipeline, Steps

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


def test_both_networks_of_the_bundled_embedder_are_one_model(shared: Path) -> None:
    """Of `benchmarks/variants.py`, a part: crops of people that its thresholds were set on."""
    model = find_model(BUNDLED_MODELS["embedder"], kind="embedder")
    calibration, trained_on = model.card.calibration, model.card.trained_on
    assert calibration is not None
    assert trained_on is not None
    people = lfw_people(shared / "data" / "lfw")
    new = [not seen for seen in trained_on.has_names(people.names)]
    first = [i for i, who in enumerate(people.labels) if new[who] and i and people.labels[i - 1] != who][::4]
    paths = [people.path(i) for i in first]
    pipeline = Pipeline.load(model=model.path, variant="int8")
    found = list(pipeline.read_many(paths, Steps(main_only=True, keep_crops=True)))
    crops = np.concatenate([one.crops for one in found if one.crops is not None])
    vectors = {name: Embedder(model, variant=name).embed(crops) for name in ("int8", "float")}
    cosines = (vectors["int8"] * vectors["float"]).sum(axis=1)
    assert cosines.mean() > 0.997
    assert cosines.min() > 0.99
    above = np.triu_indices(len(crops), 1)
    for fmr in (1e-2, 1e-3):
        threshold = calibration.decision(fmr).threshold
        rates = {name: float(((v @ v.T)[above] >= threshold).mean()) for name, v in vectors.items()}
        assert rates["float"] == pytest.approx(rates["int8"], rel=0.05)
        assert rates["float"] == pytest.approx(fmr, rel=0.25)  # of a fourth of the people


def test_the_public_detector(shared: Path, real_models: SimpleNamespace, tmp_path: Path) -> None:
    photos = sample_photos(open_photos(shared / "data" / "utkface" / "images"), 100, longest=640).images
    original = real_models.imported[0].model
    made = quantize(original, tmp_path / "int8.onnx", photos=photos[:60]).model
    found = compare_detectors(OnnxDetector(original), OnnxDetector(made), photos[60:])
    assert found.found > 0.97
    assert found.landmarks < 0.02
    assert len(made.network) < 0.45 * len(original.network)
