"""When is somebody none of the people? A threshold on the cosine to the likeliest person's mean.

A classifier of a closed set names everybody: a stranger is likeliest somebody too, often with a high
probability, for it was never shown one. The cosine to the mean of that person's photos tells them apart, and
the people themselves show how: to everybody else's mean, each of them is a stranger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from facewise.classify.file import SIMILARITY, UnknownRule
from facewise.errors import SettingError
from facewise.types import Decision, FloatArray

DEFAULT_FPIR = 0.01
"""Share of strangers who may be given a name."""

FEW_PEOPLE = 10
"""Below it they are too few strangers to each other to show how alike a stranger can be."""

_STEP = 1e-6
"""Between cosines that are different in float32."""

Floats = NDArray[np.float64]


def hardly_told(labels: NDArray[np.int64], rule: UnknownRule) -> bool:
    """Whether next to nothing told how alike a stranger can be: few people, one photo each, no `least`."""
    counts = np.bincount(labels)
    return len(counts) < FEW_PEOPLE and counts.max() == 1 and not rule.source.startswith("the embedder")


def person_means(vectors: FloatArray, labels: NDArray[np.int64], people: int) -> Floats:
    """(C, D) mean of each person's unit embeddings, brought to unit length."""
    sums = np.zeros((people, vectors.shape[1]))
    np.add.at(sums, labels, vectors.astype(np.float64))
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))


def measure_unknown(
    vectors: FloatArray,
    labels: NDArray[np.int64],
    people: Sequence[str],
    *,
    fpir: float = DEFAULT_FPIR,
    least: Decision | None = None,
) -> UnknownRule:
    """The rule for strangers, measured by leaving people out.

    Every photo is compared with the means of all other people: what a stranger would be compared with. The
    threshold is the stricter of two: that which the highest of those cosines reach for a share `fpir` of the
    photos, people weighing alike; and that at which a single comparison would pass so rarely, if its cosines
    were normally distributed, that in C independent ones a share `fpir` does (Daugman, Proceedings of the
    IEEE 94 (2006)): with few people the first has seen hardly any stranger. Below `FEW_PEOPLE` people it is
    moved halfway towards the people's own photos, which then say more than the strangers do, and is never
    below `least`.

    That is on the safe side: the classifier may find somebody likeliest whose mean is not the nearest.

    Args:
        vectors: (N, D) unit embeddings.
        labels: (N,) numbers of people.
        people: C names, each with a photo.
        fpir: False positive identification rate: share of strangers who may be given a name.
        least: The embedder's own rule for two photos, where it is calibrated (`choose_decision`).

    Raises:
        SettingError: The rate is not between 0 and 1.
    """
    if not 0.0 < fpir < 1.0:
        raise SettingError(f"A false positive identification rate lies above 0 and below 1, not at {fpir}.")
    count, rows = len(people), np.arange(len(labels))
    weight = 1.0 / np.bincount(labels, minlength=count)[labels] / count
    alike = vectors.astype(np.float64) @ person_means(vectors, labels, count).T
    alike[rows, labels] = -np.inf
    nearest = alike.max(axis=1)
    # Each is compared with one person fewer than a stranger will be.
    empirical = _exceeded_by(nearest, weight, fpir * (count - 1) / count)
    alike[rows, labels] = np.nan
    mean = float(weight @ np.nanmean(alike, axis=1))
    spread = math.sqrt(float(weight @ np.nanmean((alike - mean) ** 2, axis=1)))
    single = -math.expm1(math.log1p(-fpir) / count)
    threshold = max(empirical, mean + spread * NormalDist().inv_cdf(1.0 - single))
    own = _own_cosines(vectors, labels, count)
    source = f"cosines of {len(labels)} photos to the means of {count - 1} other people"
    if count < FEW_PEOPLE and own.size and own.min() > threshold:
        threshold = (threshold + float(own.min())) / 2.0
        source += f"; halfway to those of their own, as {count} people are few"
    if count < FEW_PEOPLE and least is not None and least.threshold > threshold:
        threshold, source = least.threshold, f"the embedder's own threshold ({least.source})"
    threshold = min(threshold, 1.0)
    return UnknownRule(
        SIMILARITY,
        threshold,
        source,
        {
            "fpir": fpir,
            "strangers_named": float(weight @ (nearest >= threshold)),
            "own_refused": float((own < threshold).mean()) if own.size else None,
            "people": count,
            "photos": len(labels),
        },
    )


def _exceeded_by(values: Floats, weight: Floats, share: float) -> float:
    """Just above the highest number that more than this share of the values reach."""
    order = np.argsort(-values)
    reached = int(np.searchsorted(np.cumsum(weight[order]), share * (1.0 + 1e-9), side="right"))
    return float(values[order[min(reached, len(order) - 1)]]) + _STEP


def _own_cosines(vectors: FloatArray, labels: NDArray[np.int64], people: int) -> Floats:
    """Of every photo to the mean of its person's others; of people with two photos or more."""
    exact = vectors.astype(np.float64)
    sums = np.zeros((people, vectors.shape[1]))
    np.add.at(sums, labels, exact)
    others = sums[labels] - exact
    several = np.bincount(labels, minlength=people)[labels] >= 2
    lengths = np.linalg.norm(others[several], axis=1)
    return np.asarray((exact[several] * others[several]).sum(axis=1) / np.maximum(lengths, 1e-12))
