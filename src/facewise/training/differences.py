"""Which of several training methods is better, and whether that is more than noise.

Two things are drawn at random, and another draw would give other numbers: the seeds of training, and the
photos (or people) measured on. All methods share both, so differences are paired. This is the design of many
readers (seeds) who read the same cases (photos) by several methods, and the variance is what it is there:

Obuchowski and Rockette 1995, "Hypothesis testing of diagnostic accuracy for multiple readers and multiple
tests", Communications in Statistics - Simulation 24: 285-308. For two methods and S seeds, the variance of
the mean difference is A + C with A = s²/S, where s² is the variance of the difference over seeds, and C the
covariance of two seeds' differences that comes from their sharing the photos. C is found by bootstrap:
photos, or people with all their photos, are drawn with replacement, the same ones for all methods and seeds.
A + C is at least the bootstrap variance of the mean difference of the networks as they are.

The interval is t times √(A + C), t the mean of Student's with S - 1 and with U - 1 degrees of freedom (U
photos or people), weighted by A and C: Cochran 1964, "Approximate significance levels of the Behrens-Fisher
test", Biometrics 20: 191-195. With few seeds it errs, if at all, on the side of seeing no difference.

Seeds are not resampled as photos are: of three, all differ in the same direction by chance in a quarter of
all experiments, and then so does every resample of them. Where nothing but the seed differs, an interval from
resampled seeds and photos gives 24 false alarms in 100 with three seeds, this one about 5; where seeds add
nothing, this one gives 1 or 2. With one seed, nothing is said of training again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError
from facewise.metrics.roc_curve import auc_of_counts
from facewise.metrics.scores import Floats, RankedPairs
from facewise.training.student import student_quantile, two_sided
from facewise.training.validation import Pairs

LEVEL = 0.95

_AT_ONCE = 1_000_000
"""Counts held at once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One method over another.

    Attributes:
        metric: What is compared, higher is better.
        first, second: The methods; `first` is the one with the higher mean.
        estimate: Mean of the first less mean of the second, over their common seeds.
        low, high: 95% interval of it, not widened for other comparisons.
        p: Two-sided, of there being no difference.
        p_holm: The same, corrected for all pairs of methods compared by this metric (Holm 1979).
        seeds: Runs of each.
        units: Photos or people measured on.
    """

    metric: str
    first: str
    second: str
    estimate: float
    low: float
    high: float
    p: float
    p_holm: float
    seeds: int
    units: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the data show that there is a difference."""
        return self.p_holm < 1 - LEVEL

    @property
    def words(self) -> str:
        """One sentence."""
        numbers = f"{self.estimate:.4f} ({self.low:.4f} to {self.high:.4f})"
        if self.beyond_noise:
            chance = "p < 0.001" if self.p_holm < 0.001 else f"p = {self.p_holm:.3f}"
            noise = "the noise" if self.seeds > 1 else "the noise of the photos; trained again, it may differ"
            return f"{self.first} over {self.second} by {numbers}, more than {noise} ({chance})."
        corrected = ", once corrected for the number of comparisons" if self.p < 1 - LEVEL else ""
        return (
            f"{self.first} and {self.second}: no difference that these data can show{corrected}; "
            f"measured {numbers}, p = {self.p_holm:.2f}."
        )


def accuracy_draws(right: NDArray[np.bool_], repeats: int, seed: int) -> tuple[Floats, Floats]:
    """Bootstrap of accuracies over photos.

    Args:
        right: (R, N), whether each of R runs named each of N photos rightly.
        repeats: B, resamples.
        seed: Of them.

    Returns:
        (R,) accuracies, and (B, R) those of the resamples.
    """
    runs, photos = right.shape
    rng = np.random.default_rng(seed)
    drawn = np.empty((repeats, runs))
    for rows in _batches(repeats, photos):
        counts = rng.multinomial(photos, np.full(photos, 1 / photos), size=len(rows))
        drawn[rows] = counts @ right.T.astype(np.float64) / photos
    return right.mean(axis=1), drawn


def auc_draws(
    scores: Floats, pairs: Pairs, labels: NDArray[np.int64], repeats: int, seed: int
) -> tuple[Floats, Floats]:
    """Bootstrap of areas under the ROC over people, who bring all their pairs with them.

    A person drawn k times counts k times in pairs of own photos; a pair of two people counts as often as the
    product of how often they were drawn (the subsets bootstrap of Bolle, Ratha and Pankanti 2004, Computer
    Vision and Image Understanding 93: 1-33, for pairs of two people).

    Args:
        scores: (R, P), of R runs.
        pairs: The P pairs.
        labels: (N,), the person on each photo that the pairs number.
        repeats: B, resamples; those without a pair of each kind are drawn again.
        seed: Of them.

    Returns:
        (R,) areas, and (B, R) those of the resamples.
    """
    people, person = np.unique(labels, return_inverse=True)
    a, b = person[pairs.a], person[pairs.b]
    ranked = [RankedPairs.of(row, pairs.same) for row in scores]
    rng = np.random.default_rng(seed)
    drawn = np.empty((repeats, len(scores)))
    for rows in _batches(repeats, len(a)):
        counts = _pair_counts(
            rng, len(people), len(rows), lambda w: np.where(pairs.same, w[:, a], w[:, a] * w[:, b]), pairs
        )
        drawn[rows] = np.stack([auc_of_counts(*one.cumulative(counts)) for one in ranked], axis=1)
    whole = np.array([float(auc_of_counts(*one.cumulative())[0]) for one in ranked])
    return whole, drawn


def _pair_counts(
    rng: np.random.Generator,
    people: int,
    rows: int,
    weigh: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    pairs: Pairs,
) -> NDArray[np.int64]:
    """(rows, P) how often each pair counts when people are drawn; each row with pairs of both kinds."""
    found: list[NDArray[np.int64]] = []
    missing = rows
    while missing:
        counts = weigh(rng.multinomial(people, np.full(people, 1 / people), size=missing))
        usable = counts[:, pairs.same].any(axis=1) & counts[:, ~pairs.same].any(axis=1)
        found.append(counts[usable])
        missing -= int(usable.sum())
    return np.concatenate(found)


def _batches(repeats: int, items: int) -> list[NDArray[np.int64]]:
    size = max(1, _AT_ONCE // items)
    return [np.arange(start, min(start + size, repeats)) for start in range(0, repeats, size)]


def compare_pairs(
    metric: str,
    methods: Sequence[tuple[str, int]],
    values: Floats,
    draws: Floats,
    units: int,
) -> tuple[Difference, ...]:
    """Every two methods, over the seeds both have.

    Args:
        metric: Its name.
        methods: (method, seed) of each of the R runs.
        values: (R,), of the runs.
        draws: (B, R), of the runs on the same resamples.
        units: Photos or people resampled.

    Raises:
        SettingError: Fewer than two units.
    """
    if units < 2:
        raise SettingError("A difference between methods needs two photos or people to measure on, at least.")
    place = {run: i for i, run in enumerate(methods)}
    names = list(dict.fromkeys(name for name, _ in methods))
    found = []
    for first, second in combinations(names, 2):
        seeds = [s for name, s in methods if name == first and (second, s) in place]
        if not seeds:
            continue
        one, other = ([place[name, s] for s in seeds] for name in (first, second))
        difference, drawn = values[one] - values[other], draws[:, one] - draws[:, other]
        if difference.mean() < 0:
            found.append(_test(metric, second, first, -difference, -drawn, units))
        else:
            found.append(_test(metric, first, second, difference, drawn, units))
    corrected = holm([one.p for one in found])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True))


def _test(metric: str, first: str, second: str, difference: Floats, drawn: Floats, units: int) -> Difference:
    """Args: difference: (S,) by seed. drawn: (B, S), of resamples."""
    seeds, estimate = len(difference), float(difference.mean())
    error, terms = mean_error(difference, drawn, units)
    if error == 0:
        p, half = (1.0 if estimate == 0 else 0.0), 0.0
    else:
        p, half = _tail(abs(estimate) / error, terms), error * critical(1 - LEVEL, terms)
    return Difference(metric, first, second, estimate, estimate - half, estimate + half, p, p, seeds, units)


def mean_error(values: Floats, drawn: Floats, units: int) -> tuple[float, list[tuple[float, int]]]:
    """The standard error of a mean over seeds that share what they are measured on: √(A + C), see above.

    Args:
        values: (S,) by seed.
        drawn: (B, S), of the same resamples of the units for all seeds.
        units: U, photos or people resampled.

    Returns:
        The error, and for `critical` (share of the variance, degrees of freedom) of A and of C; nothing
        where the error is 0.
    """
    seeds = len(values)
    shares = np.atleast_2d(np.cov(drawn, rowvar=False))
    trainings, photos = 0.0, 0.0  # with one seed, nothing is known but of these two trained networks
    if seeds > 1:
        trainings = float(values.var(ddof=1)) / seeds
        photos = float((shares.sum() - shares.trace()) / (seeds * (seeds - 1)))
    # Seeds that agree by chance must not make the sum less than what the photos alone do to these networks.
    photos = max(photos, float(shares.mean()) - trainings, 0.0)
    error = math.sqrt(trainings + photos)
    if error == 0:
        return 0.0, []
    parts = ((trainings, seeds), (photos, units))
    return error, [(part / error**2, n - 1) for part, n in parts if part]


def critical(p: float, terms: Sequence[tuple[float, int]]) -> float:
    """Cochran's t: the mean of Student's, by (weight, degrees of freedom)."""
    return sum(weight * student_quantile(p, freedom) for weight, freedom in terms)


def _tail(t: float, terms: Sequence[tuple[float, int]]) -> float:
    """The p whose critical value is t; it lies between those of the terms alone."""
    tails = [two_sided(t, freedom) for _, freedom in terms]
    low, high = min(tails), max(tails)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if critical(middle, terms) > t else (low, middle)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values such that any false alarm at all is as rare as said (Holm 1979, Scand. J. Stat. 6: 65-70)."""
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected
