"""A straight line from similarity to the log-likelihood ratio of one person against two: Platt scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError, SettingError
from facewise.metrics.scores import Floats, check_scores

_STEPS = 100
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """The natural log-likelihood ratio `offset + slope × similarity`.

    Attributes:
        slope: Above 0 where genuine pairs are the more alike.
        offset: At similarity 0.
    """

    slope: float
    offset: float


def fit_logistic(
    similarities: ArrayLike,
    genuine: ArrayLike,
    impostors: ArrayLike,
    *,
    genuine_worth: float,
    impostors_worth: float,
    prior: float = 0.5,
) -> LogisticFit:
    """Logistic regression of "one person" on the similarity, each kind of pair weighing as the prior says.

    Platt 1999 ("Probabilistic outputs for support vector machines", section 2.2): the targets are not 1 and 0
    but (n + 1) / (n + 2) and 1 / (m + 2), as if one more pair of either kind had been seen to come out the
    other way. So data that a threshold separates do not give certainty, and few data give little of it.

    Args:
        similarities: `(K,)` distinct scores, or one a pair.
        genuine: `(K,)` how many genuine pairs have each score, 0 or more.
        impostors: `(K,)` likewise of impostor pairs.
        genuine_worth: n, how many observations the genuine pairs count as, above 0: in Platt's, each is one.
        impostors_worth: m, likewise of the impostor pairs.
        prior: Share of genuine pairs that the fit is best at, in (0, 1); the ratio itself knows no prior.

    Raises:
        DatasetError: Malformed or not finite, no pair of one kind, or all scores equal.
        SettingError: The prior or a worth is out of range.
    """
    scores = check_scores(similarities).astype(np.float64)
    hits, misses = _weights(genuine, scores), _weights(impostors, scores)
    if not 0.0 < prior < 1.0:
        raise SettingError(f"The prior must lie between 0 and 1, not {prior}.")
    if not (genuine_worth > 0.0 and impostors_worth > 0.0):
        raise SettingError("Pairs must be worth more than no observation.")
    weights = prior * hits + (1.0 - prior) * misses
    aims = prior * hits * (genuine_worth + 1.0) / (genuine_worth + 2.0)
    aims += (1.0 - prior) * misses / (impostors_worth + 2.0)
    centre = float(weights @ scores)
    spread = math.sqrt(float(weights @ (scores - centre) ** 2))
    if spread < 1e-9:
        raise DatasetError("All pairs are equally alike, so their similarity tells nothing.")
    # Centred and scaled, Newton's steps are well conditioned whatever the model's similarities are like.
    columns = np.stack([(scores - centre) / spread, np.ones_like(scores)], axis=1)
    found = _newton(columns, weights, aims)
    slope = float(found[0]) / spread
    return LogisticFit(slope, float(found[1]) - slope * centre - math.log(prior / (1.0 - prior)))


def _newton(columns: Floats, weights: Floats, aims: Floats) -> Floats:
    """`(2,)` the least of the cross-entropy; it is convex, and steps that would overshoot are halved."""
    found = np.zeros(2)
    loss = _loss(columns @ found, weights, aims)
    for _ in range(_STEPS):
        stated = _sigmoid(columns @ found)
        gradient = columns.T @ (weights * stated - aims)
        curvature = (columns * (weights * stated * (1.0 - stated))[:, np.newaxis]).T @ columns
        # A little on the diagonal, relative to it: far out both classes are certain and the curve is flat.
        step = np.linalg.solve(curvature + 1e-12 * np.trace(curvature) * np.eye(2) + 1e-300, gradient)
        for _ in range(_HALVINGS):
            moved = found - step
            new = _loss(columns @ moved, weights, aims)
            if new <= loss:
                break
            step = step / 2.0
        else:
            break
        found, gain, loss = moved, loss - new, new
        if gain <= 1e-16 and float(np.abs(step).max()) < 1e-9:
            break
    return found


def _loss(logits: Floats, weights: Floats, aims: Floats) -> float:
    return float(weights @ np.logaddexp(0.0, logits) - aims @ logits)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)), np.float64)


def _weights(values: ArrayLike, scores: Floats) -> Floats:
    """`(K,)` shares that add up to 1."""
    array = np.asarray(values, np.float64)
    if array.shape != scores.shape or not np.isfinite(array).all() or (array < 0.0).any():
        raise DatasetError(f"There must be a number of pairs, 0 or more, for each of {len(scores)} scores.")
    total = float(array.sum())
    if total <= 0.0:
        raise DatasetError(
            "There is no pair of one kind; a probability needs pairs of one person and of two."
        )
    return np.asarray(array / total, np.float64)
