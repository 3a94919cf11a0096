"""Models: the model file, the store they are kept in, the zoo they come from."""

from facewise.models.calibration import DEFAULT_FMR, NO_CALIBRATION, Calibration, Threshold, choose_decision
from facewise.models.file import ModelCard, ModelFile, read_model, save_calibration, write_model
from facewise.models.store import DEFAULT_MODELS, find_model, stored_models

__all__ = [
    "DEFAULT_FMR",
    "DEFAULT_MODELS",
    "NO_CALIBRATION",
    "Calibration",
    "ModelCard",
    "ModelFile",
    "Threshold",
    "choose_decision",
    "find_model",
    "read_model",
    "save_calibration",
    "stored_models",
    "write_model",
]
