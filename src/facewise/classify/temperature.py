"""How sure a classifier may be: one number its logits are multiplied by, fitted on photos it did not see.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (1706.04599), section 4.2, with its 1 / T called
sharpness. The targets are pulled in as Platt 1999 does ("Probabilistic Outputs for Support Vector Machines",
section 2.2), so that a classifier that erred in none of N photos does not become certain.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

SHARPEST, BLUNTEST = 1e3, 1e-3


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) logits to probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_sharpness(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The sharpness under which held-out photos are the most likely, and the mean loss then, in nats.

    Args:
        logits: (N, C), of photos the classifier did not see.
        labels: (N,) who they are.
    """
    target = (len(labels) + 1.0) / (len(labels) + 2.0)
    rows = np.arange(len(labels))

    def loss(exponent: float) -> float:
        right = np.clip(softmax(math.exp(exponent) * logits)[rows, labels], 1e-12, 1.0 - 1e-12)
        return float(-np.mean(target * np.log(right) + (1.0 - target) * np.log1p(-right)))

    found = minimize_scalar(loss, bounds=(math.log(BLUNTEST), math.log(SHARPEST)), method="bounded")
    return float(math.exp(found.x)), float(found.fun)
