"""From what a protocol measured to the thresholds a model file carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.evaluation.calibrate import fit_score_map
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.metrics import VerificationResult
from facewise.models import Calibration, ScoreMap, Threshold
from facewise.pipeline import Pipeline


def measured_calibration(
    metrics: VerificationResult,
    pipeline: Pipeline,
    *,
    dataset: str,
    protocol: str,
    data_hash: str,
    scored: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None,
) -> Calibration:
    """Thresholds for the embedder's model file; rates that the impostors cannot support are left out.

    Args:
        metrics: With an interval of the TAR at each rate.
        pipeline: What was measured.
        dataset: Name of the data.
        protocol: What was run on it.
        data_hash: sha256 (hex) over the pairs and their photos' content.
        scored: (P,) similarities and (P,) whether the pairs are of one person, for probabilities; None stores
            none.
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
        data_hash=data_hash,
        genuine=metrics.genuine,
        impostors=metrics.impostors,
        flip=pipeline.embedder.flip,
        detector=pipeline.detector.name,
        detector_fingerprint=pipeline.detector.fingerprint,
        thresholds=tuple(points),
        score_map=None if scored is None else _score_map(*scored),
    )


def _score_map(similarities: NDArray[np.float64], same: NDArray[np.bool_]) -> ScoreMap | None:
    """Probabilities from pairs that a protocol lists; None where they give none.

    Pairs that are scored the least alike for want of a face have no similarity, and are left out.
    """
    found = similarities != NO_FACE_SIMILARITY
    genuine, impostors = same[found].astype(np.int64), (~same[found]).astype(np.int64)
    if not genuine.any() or not impostors.any():
        return None
    try:
        return fit_score_map(similarities[found], genuine, impostors)
    except DatasetError:  # the same person's photos are not the more alike: there is nothing to fit
        return None
