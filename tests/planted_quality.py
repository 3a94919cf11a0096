"""A rule for quality made by hand: an embedding's first value is how bad its photo is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facewise.models import Calibration, QualityRule

LEAST = 0.3
QUALITIES = (0.0, 0.5, 0.7, 0.9)
THRESHOLDS = (0.95, 0.8, 0.65)
"""Of all but the good photos, whose threshold is the calibration's own."""

CEILING = 0.7


def planted_rule(size: int, plain: float, fmr: float = 1e-3) -> QualityRule:
    """Quality is 1 less the first value of an embedding, and who is bad is blurred, or dark by its second.

    Args:
        size: Length of an embedding.
        plain: The calibration's threshold at `fmr`.
        fmr: At which the thresholds hold.
    """
    first = np.zeros((size, 4), np.float32)
    first[0, 0] = first[1, 1] = 1 / np.sqrt(size)
    last = np.zeros((4, 3), np.float32)
    last[0, 0] = last[1, 2] = 1.0
    return QualityRule(
        layers=(
            (first[np.newaxis], np.zeros((1, 1, 4), np.float32)),
            (np.eye(4, dtype=np.float32)[np.newaxis], np.zeros((1, 1, 4), np.float32)),
            (last[np.newaxis], np.array([[[0.0, 0.001, 0.0]]], np.float32)),
        ),
        kinds=("blurred", "too dark"),
        best=0.0,
        fmr=fmr,
        qualities=np.array(QUALITIES, np.float32),
        thresholds=np.array([*THRESHOLDS, plain], np.float32),
        least=LEAST,
        ceiling=CEILING,
        measured={},
    )


def with_rule(calibration: Calibration) -> Calibration:
    """The calibration, knowing of quality; for embeddings of 32 values."""
    return replace(calibration, quality=planted_rule(32, calibration.thresholds[0].threshold))


def all_of_quality(size: int, plain: float, quality: float) -> QualityRule:
    """A rule by which every face has this quality, whatever its embedding is."""
    rule = planted_rule(size, plain)
    nothing = [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in rule.layers]
    nothing[-1][1][..., 0], nothing[-1][1][..., 1] = 1.0 - quality, 0.001
    return replace(rule, layers=tuple(nothing))


def of_quality(vector: np.ndarray, quality: float) -> np.ndarray:
    """A unit embedding like this one, (D,), but of that quality."""
    rest = np.array(vector, np.float64)
    rest[:2] = 0.0
    bad = 1.0 - quality
    found = rest / np.linalg.norm(rest) * np.sqrt(1.0 - bad * bad)
    found[0] = bad
    return found.astype(np.float32)
