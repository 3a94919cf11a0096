"""Published protocols, run end to end on any pair of models."""

from facewise.data.lfw import Lfw, Pair, load_lfw
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto, embed_photos
from facewise.evaluation.lfw import LfwResult, OneShotResult, evaluate_lfw, one_shot
from facewise.evaluation.pairs import LeftOut, ScoredPairs, score_pairs
from facewise.evaluation.view1 import View1Result, evaluate_view1

__all__ = [
    "EmbeddedPhoto",
    "FaceCache",
    "LeftOut",
    "Lfw",
    "LfwResult",
    "OneShotResult",
    "Pair",
    "ScoredPairs",
    "View1Result",
    "embed_photos",
    "evaluate_lfw",
    "evaluate_view1",
    "load_lfw",
    "one_shot",
    "score_pairs",
]
