"""All of LFW with the imported public models: minutes, run by `make check-real`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facewise.evaluation import FaceCache, Lfw, evaluate_lfw, one_shot
from facewise.pipeline import Pipeline, Steps

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_landmarks_on_all_photos(pipeline: Pipeline, lfw: Lfw, shared: Path) -> None:
    golden = np.load(shared / "reference" / "lfw_retinaface.npz")
    paths = golden["path"].tolist()
    assert len(paths) == 13233
    results = pipeline.read_many([lfw.images / path for path in paths], Steps(align=False, embed=False))
    distance = np.full(len(paths), np.inf)
    for i, (result, landmarks) in enumerate(zip(results, golden["landmarks"], strict=True)):
        if result.faces:
            distance[i] = np.hypot(*(result.faces[0].landmarks - landmarks).T).max()
    within = float((distance <= 1).mean())
    print(f"landmarks: median {np.median(distance):.4f} px, {within:.4%} within 1 px")  # noqa: T201
    assert np.median(distance) <= 0.05
    assert within >= 0.999


def test_view_2(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> None:
    result = evaluate_lfw(lfw, pipeline, cache=cache)
    kfold = result.metrics.kfold
    assert kfold is not None
    tar = {point.fmr_target: 1 - point.fnmr for point in result.metrics.operating_points}
    print(f"LFW View 2: {kfold.mean:.4f} ± {kfold.standard_error:.4f}, TAR@FMR {tar}")  # noqa: T201
    assert result.metrics.pairs == 6000
    assert kfold.mean >= 0.993
    assert tar[1e-3] >= 0.98
    assert (result.without_face, result.unreadable, result.affected) == ((), (), 0)
    again = evaluate_lfw(lfw, pipeline, cache=cache)
    np.testing.assert_array_equal(again.similarities, result.similarities)


def test_one_shot_identification(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> None:
    metrics = one_shot(lfw, pipeline, cache=cache).metrics
    rates = {point.fpir_target: round(point.dir, 4) for point in metrics.open_set}
    print(f"LFW one-shot: rank-1 {metrics.rank1:.4f}, DIR@FPIR {rates}")  # noqa: T201
    assert (metrics.gallery, metrics.strangers, metrics.mated) == (1680, 4069, 13233 - 1680 - 4069)
    assert metrics.rank1 >= 0.9
    assert rates[0.1] >= 0.8
    assert rates[0.01] >= 0.6
