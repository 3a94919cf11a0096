"""Composed scenes for detectors: photos with known faces, put together anew as often as one likes."""

from facewise.data.scenes.compose import compose, face_free
from facewise.data.scenes.mixture import KINDS, Mixture
from facewise.data.scenes.photos import LabelledPhoto, PhotoStore
from facewise.data.scenes.pool import Pool
from facewise.data.scenes.prepare import prepare_photos
from facewise.data.scenes.scene import Scene

__all__ = [
    "KINDS",
    "LabelledPhoto",
    "Mixture",
    "PhotoStore",
    "Pool",
    "Scene",
    "compose",
    "face_free",
    "prepare_photos",
]
