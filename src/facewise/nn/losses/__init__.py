"""Losses: embeddings and labels to one number to minimise, one loss a file, found by name in `LOSSES`."""

from facewise.nn.losses.adacos import AdaCos
from facewise.nn.losses.adaface import AdaFace
from facewise.nn.losses.arcface import ArcFace
from facewise.nn.losses.base import ClassHead, Head, MarginHead, PairHead
from facewise.nn.losses.circle import Circle, CirclePair
from facewise.nn.losses.combined import Combined
from facewise.nn.losses.contrastive import Contrastive
from facewise.nn.losses.cosface import CosFace
from facewise.nn.losses.curricularface import CurricularFace
from facewise.nn.losses.elasticface import ElasticArcFace, ElasticCosFace
from facewise.nn.losses.magface import MagFace
from facewise.nn.losses.normface import NormFace
from facewise.nn.losses.registry import LOSSES
from facewise.nn.losses.sharded import ShardedHead
from facewise.nn.losses.softmax import Softmax
from facewise.nn.losses.sphereface import SphereFace
from facewise.nn.losses.sphereface2 import SphereFace2
from facewise.nn.losses.sphereface_r import SphereFaceR
from facewise.nn.losses.subcenter_arcface import SubcenterArcFace
from facewise.nn.losses.supcon import SupCon
from facewise.nn.losses.triplet import Triplet

__all__ = [
    "LOSSES",
    "AdaCos",
    "AdaFace",
    "ArcFace",
    "Circle",
    "CirclePair",
    "ClassHead",
    "Combined",
    "Contrastive",
    "CosFace",
    "CurricularFace",
    "ElasticArcFace",
    "ElasticCosFace",
    "Head",
    "MagFace",
    "MarginHead",
    "NormFace",
    "PairHead",
    "ShardedHead",
    "Softmax",
    "SphereFace",
    "SphereFace2",
    "SphereFaceR",
    "SubcenterArcFace",
    "SupCon",
    "Triplet",
]
