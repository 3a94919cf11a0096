"""Detection: photos to boxes, scores and five landmarks."""

from __future__ import annotations

from facewise.detection import retinaface, scrfd  # noqa: F401  register their decoders
from facewise.detection.base import Detector, DetectorSettings, non_maximum_suppression
from facewise.detection.load import load_detector
from facewise.detection.model_detector import ModelDetector
from facewise.detection.onnx_detector import OnnxDetector
from facewise.detection.yunet import YuNetDetector

__all__ = [
    "Detector",
    "DetectorSettings",
    "ModelDetector",
    "OnnxDetector",
    "YuNetDetector",
    "load_detector",
    "non_maximum_suppression",
]
