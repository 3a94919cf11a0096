"""How often do intervals hold the truth? Simulated verifiers whose true metrics are known.

Identities differ in how hard they are to recognise (a tenth are much harder: Doddington's goats) and in how
like others they look (his lambs and wolves), photos differ in quality, and all of that is shared by the pairs
they are in. Scores are normal given these, so every true metric is a formula.

`python benchmarks/coverage.py [REPEATS [RESAMPLES [SEED [DESIGN…]]]]` prints, for each design and metric, the
share of simulated data sets whose 95% interval holds the truth, with that share's own exact interval. SEED is
the first data set's; a DESIGN is how a design's name begins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import resample
from facewise.metrics.identity_bootstrap import (
    confidence_limits,
    draw_people,
    wanted_statistics,
)
from facewise.metrics.identity_pairs import IdentityPairs
from facewise.metrics.pair_statistics import PairStatistics, Wanted

LEVEL = 0.95
NORMAL = NormalDist()


@dataclass(frozen=True)
class World:
    """What is drawn at random, as standard deviations of the score.

    Attributes:
        apart: Mean of genuine scores; impostors' is 0.
        difficulty: Of an identity's genuine pairs.
        likeness: Of an identity's impostor pairs; it goes with difficulty.
        quality: Of a photo, in genuine pairs; it counts 0.4 as much in impostor pairs.
        own: Of a genuine pair itself.
        own_impostor: Of an impostor pair itself.
        goats: Share of identities whose genuine scores are 1.2 lower.
    """

    apart: float = 3.2
    difficulty: float = 0.7
    likeness: float = 0.35
    quality: float = 0.4
    own: float = 0.6
    own_impostor: float = 0.8
    goats: float = 0.1

    @property
    def genuine(self) -> list[tuple[float, NormalDist]]:
        """The distribution of a genuine score, as weighted normals."""
        spread = (self.difficulty**2 + 2 * self.quality**2 + self.own**2) ** 0.5
        parts = ((1 - self.goats, self.apart), (self.goats, self.apart - 1.2))
        return [(weight, NormalDist(mean, spread)) for weight, mean in parts if weight]

    @property
    def impostor(self) -> NormalDist:
        """The distribution of an impostor score."""
        return NormalDist(
            0.0, (2 * self.likeness**2 + 2 * (0.4 * self.quality) ** 2 + self.own_impostor**2) ** 0.5
        )


@dataclass(frozen=True)
class Design:
    """A data set to simulate.

    Attributes:
        people: Identities.
        photos: Photos of each, given a generator.
        genuine: Genuine pairs, drawn from all there are; None is all.
        impostors: Impostor pairs, drawn at random.
        fmrs: Where TAR is measured.
        world: The distribution of scores.
    """

    people: int
    photos: Callable[[np.random.Generator, int], np.ndarray]
    genuine: int | None
    impostors: int
    fmrs: tuple[float, ...] = (0.1, 0.01)
    world: World = World()


def uneven(rng: np.random.Generator, people: int) -> np.ndarray:
    """2 to 8 photos each, fewer more often, as in LFW."""
    return 2 + np.minimum(rng.geometric(0.5, people) - 1, 6)


DESIGNS = {
    "LFW-like: 400 people, 1,000 + 1,000 pairs": Design(400, uneven, 1000, 1000),
    "all genuine pairs: 150 people, 900 + 4,000 pairs": Design(150, lambda _, n: np.full(n, 4), None, 4000),
    "dense: 80 people, 800 + 6,000 pairs": Design(80, lambda _, n: np.full(n, 5), None, 6000),
    "few: 25 people, 250 + 3,000 pairs": Design(25, lambda _, n: np.full(n, 5), None, 3000),
    "independent pairs: 400 people, 1,000 + 1,000 pairs": Design(
        400,
        uneven,
        1000,
        1000,
        world=World(apart=2.8, difficulty=0, likeness=0, quality=0, own=1, own_impostor=0.95, goats=0),
    ),
}
THRESHOLDS = (1.6, 2.4)


def simulate(design: Design, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Scores, labels, and the identities of each pair's photos."""
    world, people = design.world, design.people
    goat = rng.random(people) < world.goats
    normals = rng.normal(size=(people, 2))
    ease = world.difficulty * normals[:, 0] - 1.2 * goat
    likeness = world.likeness * (-0.4 * normals[:, 0] + (1 - 0.4**2) ** 0.5 * normals[:, 1])
    who = np.repeat(np.arange(people), design.photos(rng, people))
    quality = world.quality * rng.normal(size=len(who))
    a, b = (who[:, None] == who).nonzero()
    a, b = a[a < b], b[a < b]
    if design.genuine is not None and design.genuine < len(a):
        kept = rng.choice(len(a), design.genuine, replace=False)
        a, b = a[kept], b[kept]
    i, j = rng.integers(0, len(who), (2, 3 * design.impostors))
    other = np.flatnonzero(who[i] != who[j])[: design.impostors]
    i, j = i[other], j[other]
    genuine = world.apart + ease[who[a]] + quality[a] + quality[b] + world.own * rng.normal(size=len(a))
    impostor = likeness[who[i]] + likeness[who[j]] + 0.4 * (quality[i] + quality[j])
    impostor += world.own_impostor * rng.normal(size=len(i))
    return (
        np.concatenate([genuine, impostor]),
        np.repeat([True, False], [len(a), len(i)]),
        who[np.concatenate([a, i])],
        who[np.concatenate([b, j])],
    )


def truth(item: Wanted, world: World, share: float) -> float:
    """The metric on infinitely many people."""

    def tar(threshold: float) -> float:
        return sum(weight * (1 - part.cdf(threshold)) for weight, part in world.genuine)

    def fmr(threshold: float) -> float:
        return 1 - world.impostor.cdf(threshold)

    if item.measure == "auc":
        return sum(weight * (1 - (part - world.impostor).cdf(0)) for weight, part in world.genuine)
    if item.measure == "eer":
        low, high = -10.0, 10.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if fmr(middle) > 1 - tar(middle) else (low, middle)
        return fmr(low)
    if item.measure == "tar@fmr":
        return tar(world.impostor.inv_cdf(1 - item.at))
    return {
        "fmr": fmr(item.at),
        "fnmr": 1 - tar(item.at),
        "accuracy": share * tar(item.at) + (1 - share) * (1 - fmr(item.at)),
    }[item.measure]


def bca(draws: np.ndarray, estimate: float, influence: np.ndarray) -> np.ndarray:
    """Bias-corrected and accelerated percentiles (Efron 1987), acceleration from the people's influences."""
    below = np.mean(draws < estimate) + np.mean(draws == estimate) / 2
    bias = NORMAL.inv_cdf(min(max(below, 0.5 / len(draws)), 1 - 0.5 / len(draws)))
    power = (influence**2).sum() ** 1.5
    bend = (influence**3).sum() / (6 * power) if power else 0.0
    ends = [NORMAL.inv_cdf(p) + bias for p in (0.025, 0.975)]
    shares = [NORMAL.cdf(bias + end / max(1e-9, 1 - bend * end)) for end in ends]
    return np.quantile(draws, shares)


def intervals(design: Design, resamples: int, seed: int) -> list[tuple[Wanted, float, dict[str, tuple]]]:
    """One simulated data set: each metric, its true value, and its interval by each method."""
    rng = np.random.default_rng([20, seed])
    scores, same, first, second = simulate(design, rng)
    wanted = wanted_statistics(design.fmrs, THRESHOLDS, decided=False)
    statistics = PairStatistics(scores, same, wanted)
    people = IdentityPairs.of(same, first, second)
    pair_draws = resample(statistics, same, resamples, seed)
    draws = draw_people([statistics], people, resamples, seed)[0]
    influences = statistics.influences(draws)
    found = []
    for place, item in enumerate(wanted):
        values, estimate = draws[:, place], float(statistics.estimates[place])
        low, high = np.quantile(values, [0.025, 0.975])
        by_person = np.bincount(people.first, influences[place], people.people)
        by_person += np.bincount(people.second[~same], influences[place][~same], people.people)
        shift = estimate - values.mean()
        limits = confidence_limits(statistics, people, place, values, influences[place], LEVEL)
        methods = {
            "pairs": tuple(np.quantile(pair_draws[:, place], [0.025, 0.975])),
            "people": (low, high),
            "recentred": (low + shift, high + shift),
            "basic": (2 * estimate - high, 2 * estimate - low),
            "BCa": tuple(bca(values, estimate, by_person)),
            "Facewise": limits,
        }
        found.append((item, truth(item, design.world, statistics.share), methods))
    return found


def main(repeats: int = 500, resamples: int = 400, first_seed: int = 0, *only: str) -> None:
    for name, design in DESIGNS.items():
        if only and not any(name.startswith(wanted) for wanted in only):
            continue
        hits: dict[str, dict[str, int]] = {}
        truths: dict[str, float] = {}
        for seed in range(first_seed, first_seed + repeats):
            for item, true, methods in intervals(design, resamples, seed):
                truths[item.name] = true
                counts = hits.setdefault(item.name, dict.fromkeys(methods, 0))
                for method, (low, high) in methods.items():
                    counts[method] += bool(low <= true <= high)
        methods = list(next(iter(hits.values())))
        print(f"\n{name}; {repeats} data sets, {resamples} resamples each\n")
        print("| metric | truth | " + " | ".join(methods) + " | Facewise, its own 95% interval |")
        print("|---|---|" + "---|" * (len(methods) + 1))
        for metric, counts in hits.items():
            cells = " | ".join(f"{100 * counts[method] / repeats:.1f}" for method in methods)
            own = binomial_interval(counts["Facewise"], repeats)
            ends = f"{100 * own.low:.1f} to {100 * own.high:.1f}"
            print(f"| {metric} | {truths[metric]:.4f} | {cells} | {ends} |", flush=True)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:4]]
    main(*numbers, *sys.argv[4:])
