"""Models: the model file, the store they are kept in, those in the package, the zoo they come from."""

from facewise.models.calibration import DEFAULT_FMR, NO_CALIBRATION, Calibration, Threshold, choose_decision
from facewise.models.file import ModelCard, ModelFile, read_model, write_model
from facewise.models.store import Installed, default_name, find_model, installed_models, save_calibration

__all__ = [
    "DEFAULT_FMR",
    "NO_CALIBRATION",
    "Calibration",
    "Installed",
    "ModelCard",
    "ModelFile",
    "Threshold",
    "choose_decision",
    "default_name",
    "find_model",
    "installed_models",
    "read_model",
    "save_calibration",
    "write_model",
]
