"""Published protocols, run end to end on any pair of models."""

from facewise.data.lfw import Lfw, Pair, load_lfw
from facewise.evaluation.bin_file import BinResult, evaluate_bin
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.calibrate_model import calibrate_model
from facewise.evaluation.calibration_data import open_calibration_data
from facewise.evaluation.embedded import EmbeddedPhoto, embed_photos
from facewise.evaluation.folder_protocol import FolderResult, evaluate_folder
from facewise.evaluation.ijb import Weighting, evaluate_ijb
from facewise.evaluation.ijb_results import IjbResult
from facewise.evaluation.leak_check import LeakageError, LeakCheck, LeakPolicy
from facewise.evaluation.leakage import Leakage, TestedPhoto, find_leakage
from facewise.evaluation.lfw import LfwResult, OneShotResult, evaluate_lfw, one_shot
from facewise.evaluation.pair_file import PairFile, read_pair_file
from facewise.evaluation.pair_protocol import PairsResult
from facewise.evaluation.pair_run import evaluate_pair_file
from facewise.evaluation.pairs import LeftOut, ScoredPairs, score_pairs
from facewise.evaluation.view1 import View1Result, evaluate_view1

__all__ = [
    "BinResult",
    "EmbeddedPhoto",
    "FaceCache",
    "FolderResult",
    "IjbResult",
    "LeakCheck",
    "LeakPolicy",
    "Leakage",
    "LeakageError",
    "LeftOut",
    "Lfw",
    "LfwResult",
    "OneShotResult",
    "Pair",
    "PairFile",
    "PairsResult",
    "ScoredPairs",
    "TestedPhoto",
    "View1Result",
    "Weighting",
    "calibrate_model",
    "embed_photos",
    "evaluate_bin",
    "evaluate_folder",
    "evaluate_ijb",
    "evaluate_lfw",
    "evaluate_pair_file",
    "evaluate_view1",
    "find_leakage",
    "load_lfw",
    "one_shot",
    "open_calibration_data",
    "read_pair_file",
    "score_pairs",
]
