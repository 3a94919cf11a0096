"""Published protocols, run end to end on any pair of models."""

from facewise.data.lfw import Lfw, Pair, load_lfw
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto, embed_photos
from facewise.evaluation.lfw import LfwResult, OneShotResult, evaluate_lfw, one_shot

__all__ = [
    "EmbeddedPhoto",
    "FaceCache",
    "Lfw",
    "LfwResult",
    "OneShotResult",
    "Pair",
    "embed_photos",
    "evaluate_lfw",
    "load_lfw",
    "one_shot",
]
