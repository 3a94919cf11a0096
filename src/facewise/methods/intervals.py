"""How sure an accuracy is, and a difference of two: over other people, photos and seeds.

A seed is a division of the photos, a draw of those learned from, and the random numbers of training, all at
once; the people are the same for all seeds. So two things are drawn at random, seeds and people, and the
variance of a mean over seeds is A + C as in `facewise.training.differences`: A the variance over seeds by
their number, C the covariance of two seeds that comes from their having the people in common, by a bootstrap
that draws people with all their test photos. Its variances are those of P known people, too small by
(P - 1) / P, which is put right.

An accuracy is near 1, where ± is wrong and no error seen does not mean that there are none: its interval is
that of Clopper and Pearson for as many independent photos as have the variance A + C, or all different
photos tested on where that is fewer (Korn and Graubard 1998, Survey Methodology 24: 193-201). The interval
of a difference is Cochran's, see there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.metrics.binomial import exact_ends
from facewise.metrics.scores import Floats
from facewise.training.differences import LEVEL, Difference, compare_pairs, critical, mean_error
from facewise.training.student import student_quantile

REPEATS = 1000

METHOD = (
    "Accuracy is the share of test photos given the right name among all the people (closed set, rank 1), "
    "the mean over seeds; each seed divides the photos, draws those learned from and trains anew, the same "
    "photos for all methods. Intervals are 95%, over other people and seeds: the variance over seeds and, by "
    "bootstrap, that over people with all their test photos, added as by Obuchowski and Rockette 1995; of an "
    "accuracy the interval of Korn and Graubard 1998, of a difference, which is paired, by the weighted t of "
    "Cochran 1964, its p corrected for all pairs of methods with the same number of photos by Holm 1979."
)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One method with one number of photos.

    Attributes:
        mean: Over seeds.
        low, high: 95% interval, see above.
        deviation: Standard deviation over seeds; None of one.
        by_seed: Seed to accuracy.
    """

    mean: float
    low: float
    high: float
    deviation: float | None
    by_seed: dict[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """How many test photos of each person one run named rightly.

    Attributes:
        method: Its name.
        seed: Of the run.
        right: (P,) photos named rightly.
        total: (P,) photos tested, 1 or more each.
    """

    method: str
    seed: int
    right: NDArray[np.int64]
    total: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of all photos."""
        return float(self.right.sum() / self.total.sum())


def draw_people(runs: Sequence[Named], repeats: int = REPEATS, seed: int = 0) -> Floats:
    """Accuracies on resamples of the people, the same ones for all runs.

    Returns:
        (B, R), spread as over new people: the bootstrap's own spread is that of P people known.
    """
    people = len(runs[0].right)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(people, np.full(people, 1 / people), size=repeats).astype(np.float64)
    right = np.stack([run.right for run in runs]).astype(np.float64)
    total = np.stack([run.total for run in runs]).astype(np.float64)
    drawn = (times @ right.T) / (times @ total.T)
    whole = right.sum(axis=1) / total.sum(axis=1)
    widen = math.sqrt(people / (people - 1)) if people > 1 else 1.0
    return np.asarray(whole + (drawn - whole) * widen)


def accuracy_of(runs: Sequence[Named], photos: int, repeats: int = REPEATS) -> Accuracy:
    """The accuracy of one method over its seeds.

    Args:
        runs: One a seed.
        photos: Different photos tested on over all seeds.
        repeats: Of the bootstrap.
    """
    values = np.array([run.accuracy for run in runs])
    mean = float(values.mean())
    error, terms = mean_error(values, draw_people(runs, repeats), len(runs[0].right))
    low, high = _ends(mean, error, terms, photos)
    deviation = float(values.std(ddof=1)) if len(runs) > 1 else None
    by_seed = {run.seed: float(value) for run, value in zip(runs, values, strict=True)}
    return Accuracy(mean, low, high, deviation, by_seed)


def differences_of(shots: str, runs: Sequence[Named], repeats: int = REPEATS) -> tuple[Difference, ...]:
    """Every two methods with the same number of photos, over the seeds both have."""
    values = np.array([run.accuracy for run in runs])
    who = [(run.method, run.seed) for run in runs]
    return compare_pairs(f"accuracy@{shots}", who, values, draw_people(runs, repeats), len(runs[0].right))


def _ends(mean: float, error: float, terms: Sequence[tuple[float, int]], photos: int) -> tuple[float, float]:
    """Clopper and Pearson's interval for the effective number of photos (Korn and Graubard 1998)."""
    count = float(photos)
    if error and 0.0 < mean < 1.0:
        few = student_quantile(1 - LEVEL, photos - 1) / critical(1 - LEVEL, terms) if photos > 1 else 1.0
        count = min(count, mean * (1 - mean) / error**2 * few**2)
    low, high = exact_ends(mean * count, count, (1 - LEVEL) / 2)
    return low, high


def to_dict(accuracy: Accuracy) -> dict[str, Any]:
    """Plain Python for JSON."""
    return {
        "mean": accuracy.mean,
        "low": accuracy.low,
        "high": accuracy.high,
        "deviation": accuracy.deviation,
        "by_seed": {str(seed): value for seed, value in accuracy.by_seed.items()},
    }
