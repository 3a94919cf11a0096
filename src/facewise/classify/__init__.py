"""Classic classifiers on embeddings: a closed set of people, and whoever is none of them told as unknown."""

from facewise.classify.classifier import Classifier, Prediction
from facewise.classify.file import (
    ClassifierCard,
    ClassifierFile,
    UnknownRule,
    read_classifier,
    write_classifier,
)

__all__ = [
    "Classifier",
    "ClassifierCard",
    "ClassifierFile",
    "Prediction",
    "UnknownRule",
    "read_classifier",
    "write_classifier",
]
