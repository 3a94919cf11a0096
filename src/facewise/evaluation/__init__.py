"""Published protocols, run end to end on any pair of models."""

from facewise.data.lfw import Lfw, Pair, load_lfw
from facewise.evaluation.bin_file import BinResult, evaluate_bin
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto, embed_photos
from facewise.evaluation.folder_protocol import FolderResult, evaluate_folder
from facewise.evaluation.ijb import Weighting, evaluate_ijb
from facewise.evaluation.ijb_results import IjbResult
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
    "LeftOut",
    "Lfw",
    "LfwResult",
    "OneShotResult",
    "Pair",
    "PairFile",
    "PairsResult",
    "ScoredPairs",
    "View1Result",
    "Weighting",
    "embed_photos",
    "evaluate_bin",
    "evaluate_folder",
    "evaluate_ijb",
    "evaluate_lfw",
    "evaluate_pair_file",
    "evaluate_view1",
    "load_lfw",
    "one_shot",
    "read_pair_file",
    "score_pairs",
]
