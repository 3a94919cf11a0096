"""Similarity to probability where a model file has no such map: one fitted on the other folds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facewise.evaluation.folds import Folds
from facewise.metrics.logistic import fit_logistic

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def probabilities_by_fold(similarities: Floats, same: Bools, folds: Folds) -> Floats | None:
    """(P,) probability of each pair to be of one person, at the share of such pairs in the other folds.

    No pair has a say in its own probability. See `facewise.metrics.logistic`.

    Args:
        similarities: (P,).
        same: (P,).
        folds: Of the pairs.

    Returns:
        None where a fold leaves only one kind of pair to fit on.
    """
    found = np.empty(len(same))
    low, high = np.minimum(folds.first, folds.second), np.maximum(folds.first, folds.second)
    for f, g in np.unique(np.stack([low, high]), axis=1).T:
        rest = ~np.isin(low, (f, g)) & ~np.isin(high, (f, g))
        genuine, impostors = int(same[rest].sum()), int((~same[rest]).sum())
        if not genuine or not impostors:
            return None
        prior = genuine / (genuine + impostors)
        fit = fit_logistic(
            similarities[rest],
            same[rest],
            ~same[rest],
            genuine_worth=genuine,
            impostors_worth=impostors,
            prior=prior,
        )
        judged = (low == f) & (high == g)
        logits = fit.offset + fit.slope * similarities[judged] + math.log(prior / (1.0 - prior))
        found[judged] = np.exp(-np.logaddexp(0.0, -logits))
    return found
