"""Facewise: face recognition from a folder of photos to a measured, calibrated and served recogniser.

import facewise as fw

fw.verify("a.jpg", "b.jpg")
people = fw.Gallery.open("people.db")
people.enroll("Ada", ["ada1.jpg", "ada2.jpg"])
people.identify("party.jpg")
fw.analyze("party.jpg")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from facewise._version import __version__
from facewise.errors import (
    DatasetError,
    FaceNotFoundError,
    FacewiseError,
    GalleryError,
    ImageError,
    ModelError,
    PoorPhotoError,
    SettingError,
)

if TYPE_CHECKING:
    from facewise.gallery import Gallery
    from facewise.image import read_image
    from facewise.pipeline import Pipeline
    from facewise.recognizer import Recognizer, analyze, landmarks, verify
    from facewise.training import train
    from facewise.types import Attributes, Face, Match, Quality, Verification

# ONNX Runtime would keep an identifier of this machine in the user's home, and send what it runs.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "Attributes": "facewise.types",
    "Face": "facewise.types",
    "Gallery": "facewise.gallery",
    "Match": "facewise.types",
    "Pipeline": "facewise.pipeline",
    "Quality": "facewise.types",
    "Recognizer": "facewise.recognizer",
    "Verification": "facewise.types",
    "analyze": "facewise.recognizer",
    "landmarks": "facewise.recognizer",
    "read_image": "facewise.image",
    "train": "facewise.training",
    "verify": "facewise.recognizer",
}
"""Loaded when first used, so that `import facewise` is instant."""

__all__ = [
    "Attributes",
    "DatasetError",
    "Face",
    "FaceNotFoundError",
    "FacewiseError",
    "Gallery",
    "GalleryError",
    "ImageError",
    "Match",
    "ModelError",
    "Pipeline",
    "PoorPhotoError",
    "Quality",
    "Recognizer",
    "SettingError",
    "Verification",
    "__version__",
    "analyze",
    "landmarks",
    "read_image",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'facewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
