"""Models: the model file, the store they are kept in, those in the package, the zoo they come from."""

from facewise.models.calibration import DEFAULT_FMR, Calibration, Threshold
from facewise.models.decisions import (
    DEFAULT_FPIR,
    NO_CALIBRATION,
    Verdict,
    best_pair_rate,
    better_of,
    choose_decision,
    fmr_for,
    fpir_of,
    judge,
    no_decision,
    refusal,
    refused,
    rule_of,
    search_decision,
    threshold_for,
    thresholds_for,
)
from facewise.models.file import ModelCard, ModelFile, read_model, write_model
from facewise.models.quality import QualityRule
from facewise.models.score_map import ScoreMap
from facewise.models.store import (
    Installed,
    default_name,
    default_path,
    find_model,
    installed_models,
    save_calibration,
)
from facewise.models.trained_on import TrainedOn

__all__ = [
    "DEFAULT_FMR",
    "DEFAULT_FPIR",
    "NO_CALIBRATION",
    "Calibration",
    "Installed",
    "ModelCard",
    "ModelFile",
    "QualityRule",
    "ScoreMap",
    "Threshold",
    "TrainedOn",
    "Verdict",
    "best_pair_rate",
    "better_of",
    "choose_decision",
    "default_name",
    "default_path",
    "find_model",
    "fmr_for",
    "fpir_of",
    "installed_models",
    "judge",
    "no_decision",
    "read_model",
    "refusal",
    "refused",
    "rule_of",
    "save_calibration",
    "search_decision",
    "threshold_for",
    "thresholds_for",
    "write_model",
]
