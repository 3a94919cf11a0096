"""All of LFW with the imported public models: minutes, run by `make check-real`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facewise.evaluation import FaceCache, Lfw, embed_photos, evaluate_lfw, one_shot
from facewise.evaluation.embedded import detector_key
from facewise.image import content_hash
from facewise.pipeline import Pipeline

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("lfw")]


def test_landmarks_on_all_photos(pipeline: Pipeline, lfw: Lfw, cache: FaceCache, shared: Path) -> None:
    """As they are kept with the crops, which are made for all that comes after."""
    golden = np.load(shared / "reference" / "lfw_retinaface.npz")
    paths = [lfw.images / path for path in golden["path"].tolist()]
    assert len(paths) == 13233
    embed_photos(pipeline, paths, cache=cache)
    hashes = [content_hash(path.read_bytes()) for path in paths]
    found = cache.crops(hashes, detector_key(pipeline))
    distance = np.full(len(paths), np.inf)
    for i, (digest, landmarks) in enumerate(zip(hashes, golden["landmarks"], strict=True)):
        if found[digest].landmarks is not None:
            distance[i] = np.hypot(*(found[digest].landmarks - landmarks).T).max()
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
    assert (result.scored.without_face, result.scored.unreadable, result.scored.affected) == ((), (), 0)
    again = evaluate_lfw(lfw, pipeline, cache=cache)
    np.testing.assert_array_equal(again.scored.similarities, result.scored.similarities)


def test_one_shot_identification(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> None:
    metrics = one_shot(lfw, pipeline, cache=cache).metrics
    rates = {point.fpir_target: round(point.dir, 4) for point in metrics.open_set}
    print(f"LFW one-shot: rank-1 {metrics.rank1:.4f}, DIR@FPIR {rates}")  # noqa: T201
    assert (metrics.gallery, metrics.strangers, metrics.mated) == (1680, 4069, 13233 - 1680 - 4069)
    assert metrics.rank1 >= 0.9
    assert rates[0.1] >= 0.8
    assert rates[0.01] >= 0.6
