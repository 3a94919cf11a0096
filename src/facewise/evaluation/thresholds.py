"""From what a protocol measured to the thresholds a model file carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.evaluation.calibrate import fit_score_map
from facewise.evaluation.pairs import ScoredPairs
from facewise.metrics import VerificationResult
from facewise.models import Calibration, ScoreMap, Threshold
from facewise.pipeline import Pipeline


def measured_calibration(
    metrics: VerificationResult, pipeline: Pipeline, scored: ScoredPairs, *, dataset: str, protocol: str
) -> Calibration:
    """Thresholds for the embedder's model file; rates that the impostors cannot support are left out.

    Args:
        metrics: Of `scored`, with an interval of the TAR at each rate.
        pipeline: What was measured.
        scored: Pairs with two faces: a threshold is for faces that were found, and one set on pairs that
            match for want of a face would let more strangers pass than it says.
        dataset: Name of the data.
        protocol: What was run on it.
    """
    points = []
    for point in metrics.operating_points:
        if not point.supported:
            continue
        tar = metrics.intervals[f"tar@fmr={point.fmr_target!r}"]
        points.append(
            Threshold(
                point.fmr_target, point.threshold, point.fmr, point.fnmr, (1.0 - tar.high, 1.0 - tar.low)
            )
        )
    return Calibration(
        dataset=dataset,
        protocol=protocol,
        data_hash=scored.data_hash,
        genuine=metrics.genuine,
        impostors=metrics.impostors,
        flip=pipeline.embedder.flip,
        detector=pipeline.detector.name,
        detector_fingerprint=pipeline.detector.fingerprint,
        thresholds=tuple(points),
        score_map=_score_map(scored.similarities, scored.same),
    )


def fmrs_of_two_faces(scored: ScoredPairs, metrics: VerificationResult) -> dict[str, float | None]:
    """FMR over the pairs with two faces at each threshold of `metrics`, by the rate it was set for."""
    points = metrics.operating_points
    return {f"{point.fmr_target:g}": scored.fmr_of_two_faces(point.threshold) for point in points}


def _score_map(similarities: NDArray[np.float64], same: NDArray[np.bool_]) -> ScoreMap | None:
    """Probabilities from pairs that a protocol lists; None where they give none."""
    genuine, impostors = same.astype(np.int64), (~same).astype(np.int64)
    if not genuine.any() or not impostors.any():
        return None
    try:
        return fit_score_map(similarities, genuine, impostors)
    except DatasetError:  # the same person's photos are not the more alike: there is nothing to fit
        return None
