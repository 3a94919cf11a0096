"""From what a protocol measured to the thresholds a model file carries."""

from __future__ import annotations

from facewise.metrics import VerificationResult
from facewise.models import Calibration, Threshold
from facewise.pipeline import Pipeline


def measured_calibration(
    metrics: VerificationResult, pipeline: Pipeline, *, dataset: str, protocol: str, data_hash: str
) -> Calibration:
    """Thresholds for the embedder's model file; rates that the impostors cannot support are left out.

    Args:
        metrics: With an interval of the TAR at each rate.
        pipeline: What was measured.
        dataset: Name of the data.
        protocol: What was run on it.
        data_hash: sha256 (hex) over the pairs and their photos' content.
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
    )
