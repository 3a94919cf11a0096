"""The percentile bootstrap, vectorised: a statistic of how often each item was drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError, SettingError
from facewise.metrics.scores import Counts, Floats

_BATCH = 2_000_000  # counts held at once: 16 MB, and a few temporaries of that size


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its interval.

    Attributes:
        estimate: The statistic of the data as they are.
        low: Lower end.
        high: Upper end.
        level: Share of such intervals meant to hold the true value, 0.95 for a 95% interval.
    """

    estimate: float
    low: float
    high: float
    level: float


def bootstrap_interval(
    statistic: Callable[[Counts], Floats],
    strata: int | ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of a statistic (Efron and Tibshirani 1993, chapter 13).

    Args:
        statistic: Takes `(R, N)` int64 counts, how often each of the N items was drawn in each of R
            resamples, and returns `(R,)` values. A mean is `lambda counts: counts @ values /
            counts.sum(axis=1)`.
        strata: N, or `(N,)` labels: items are redrawn within their stratum, whose size stays what it is.
        repeats: Number of resamples.
        seed: Of the random draws; the same seed gives the same interval.
        level: In (0, 1).

    Raises:
        SettingError: Repeats, seed or level out of range.
        DatasetError: No items.
    """
    check_level(level)
    groups = _groups(strata)
    whole = np.ones((1, sum(map(len, groups))), np.int64)
    draws = resample(lambda counts: statistic(counts)[:, np.newaxis], strata, repeats, seed)
    return percentile_interval(float(statistic(whole)[0]), draws[:, 0], level)


def resample(
    statistics: Callable[[Counts], Floats], strata: int | ArrayLike, repeats: int, seed: int
) -> Floats:
    """`(repeats, S)` values of S statistics, all on the same resamples; memory stays bounded.

    Args:
        statistics: Takes `(R, N)` int64 counts and returns `(R, S)` values.
        strata: As in `bootstrap_interval`.
        repeats: Number of resamples.
        seed: Of the random draws.

    Raises:
        SettingError: Repeats or seed out of range.
        DatasetError: No items.
    """
    if repeats < 1:
        raise SettingError(f"The bootstrap needs at least one resample, not {repeats}.")
    if seed < 0:
        raise SettingError(f"The seed must be 0 or more, not {seed}.")
    groups = _groups(strata)
    items = sum(map(len, groups))
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH // items)
    sizes = [min(batch, repeats - start) for start in range(0, repeats, batch)]
    return np.concatenate([statistics(_draw(rng, groups, items, size)) for size in sizes])


def percentile_interval(estimate: float, draws: Floats, level: float) -> Interval:
    """The middle `level` share of the bootstrap draws `(repeats,)`."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level)


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        SettingError: Out of range or NaN.
    """
    if not 0.0 < level < 1.0:
        raise SettingError(f"The level must lie between 0 and 1 (0.95 for a 95% interval), not {level}.")


def _groups(strata: int | ArrayLike) -> list[NDArray[np.intp]]:
    """The items of each stratum."""
    labels = np.asarray(strata)
    if labels.ndim == 0:
        labels = np.zeros(max(0, int(labels)), np.int64)
    if labels.ndim != 1 or not len(labels):
        raise DatasetError("There is nothing to resample; give at least one item, or a (N,) array of strata.")
    _, group = np.unique(labels, return_inverse=True)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group))[:-1])


def _draw(rng: np.random.Generator, groups: list[NDArray[np.intp]], items: int, rows: int) -> Counts:
    """`(rows, items)` how often each item is drawn when every group is redrawn with replacement."""
    counts = np.empty((rows, items), np.int64)
    for group in groups:
        size = len(group)
        drawn = rng.integers(0, size, size=(rows, size))
        drawn += np.arange(rows)[:, np.newaxis] * size
        counts[:, group] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
    return counts
