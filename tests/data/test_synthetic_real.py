"""Drawn faces before public models: found where they are, and told apart by what a face is.

`pytest -s tests/data/test_synthetic_real.py` prints the figures that docs/data/synthetic.md gives.
"""

from __future__ import annotations

import numpy as np
import pytest

from facewise.data.synthetic import SyntheticSource
from facewise.geometry import align
from facewise.pipeline import Pipeline, Steps

pytestmark = pytest.mark.real


def area_under_curve(similarity: np.ndarray, same: np.ndarray) -> float:
    """How often a pair of one person is more alike than a pair of two."""
    upper = np.triu_indices(len(same), 1)
    scores, genuine = similarity[upper], same[upper]
    rank = scores.argsort().argsort() + 1.0
    positive = int(genuine.sum())
    return float((rank[genuine].sum() - positive * (positive + 1) / 2) / positive / (len(rank) - positive))


def likeness(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1).astype(np.float64)
    square = (flat**2).sum(1)
    return 2 * flat @ flat.T - square[:, None] - square


def test_public_models_see_drawn_people(real_models):
    source = SyntheticSource(12, 5, seed=0)
    photos = [source.read(index) for index in range(len(source.keys))]
    truths = [source.truth(index) for index in range(len(source.keys))]
    pipeline = Pipeline.load(real_models.detector, real_models.embedder, threads=2)
    errors, extra = [], 0
    for truth, photo in zip(truths, pipeline.read_many(photos, Steps(align=False, embed=False)), strict=True):
        eyes = np.linalg.norm(truth.landmarks[1] - truth.landmarks[0])
        off = [np.linalg.norm(f.landmarks - truth.landmarks, axis=1).mean() / eyes for f in photo.faces]
        found = [value for value in off if value < 0.5]
        errors += sorted(found)[:1]
        extra += len(off) - len(found[:1])
    crops = np.stack([align(p, truth.landmarks) for p, truth in zip(photos, truths, strict=True)])
    same = np.equal.outer(source.labels, source.labels)
    vectors = pipeline.embedder.embed(crops)
    small = crops.reshape(len(crops), 28, 4, 28, 4, 3).mean((2, 4))
    figures = {
        "found": len(errors) / len(photos),
        "faces where there are none": extra,
        "median landmark error, eye distances": float(np.median(errors)),
        "AUC, embedder": area_under_curve(vectors @ vectors.T, same),
        "AUC, pixels of crops": area_under_curve(likeness(small), same),
        "AUC, mean colour of crops": area_under_curve(likeness(crops.mean((1, 2))), same),
        "AUC, mean colour of photos": area_under_curve(
            likeness(np.stack([p.mean((0, 1)) for p in photos])), same
        ),
    }
    print("", *(f"{name}: {value:.3f}" for name, value in figures.items()), sep="\n")  # noqa: T201
    assert figures["found"] >= 0.95
    assert extra <= 1
    assert figures["median landmark error, eye distances"] < 0.09
    assert figures["AUC, embedder"] > 0.9
    assert figures["AUC, embedder"] > figures["AUC, pixels of crops"] > figures["AUC, mean colour of crops"]
    assert figures["AUC, mean colour of photos"] < 0.65
