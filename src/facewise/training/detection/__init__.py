"""Training a face detector on composed scenes."""

from facewise.training.detection.config import DetectorConfig, detector_config
from facewise.training.detection.run import DetectorRun, train_detector

__all__ = ["DetectorConfig", "DetectorRun", "detector_config", "train_detector"]
