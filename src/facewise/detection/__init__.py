"""Detection: photos to boxes, scores and five landmarks."""

from __future__ import annotations

from facewise.detection import retinaface  # noqa: F401  registers its decoder
from facewise.detection.base import Detector, DetectorSettings, non_maximum_suppression
from facewise.detection.onnx_detector import OnnxDetector

__all__ = ["Detector", "DetectorSettings", "OnnxDetector", "non_maximum_suppression"]
