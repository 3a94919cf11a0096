"""Intervals against naive references and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from facewise.methods.intervals import Named, accuracy_of, differences_of, draw_people


def runs(right, total, method="a"):
    return [
        Named(method, seed, np.array(r), np.array(t))
        for seed, (r, t) in enumerate(zip(right, total, strict=True))
    ]


def test_people_are_drawn_with_all_their_photos():
    named = runs([[3, 0, 2, 4], [1, 1, 2, 5]], [[4, 2, 2, 5], [4, 2, 2, 5]])
    drawn = draw_people(named, repeats=50, seed=3)
    times = np.random.default_rng(3).multinomial(4, np.full(4, 1 / 4), size=50)
    for row, counts in zip(drawn, times, strict=True):
        for value, run in zip(row, named, strict=True):
            photos = np.repeat(np.arange(4), counts)  # one person after another, as often as drawn
            naive = sum(run.right[p] for p in photos) / sum(run.total[p] for p in photos)
            whole = run.right.sum() / run.total.sum()
            assert value == pytest.approx(whole + (naive - whole) * np.sqrt(4 / 3))


def test_with_independent_photos_and_one_seed_it_is_clopper_and_pearsons_nearly():
    generator = np.random.default_rng(0)
    right = (generator.random(400) < 0.9).astype(int)[None]  # one photo a person
    found = accuracy_of(runs(right, np.ones_like(right)), photos=400, repeats=4000)
    exact = scipy.stats.binomtest(int(right.sum()), 400).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.004)
    assert found.deviation is None


def test_nothing_wrong_does_not_mean_that_nothing_can_be():
    found = accuracy_of(runs([[6, 6]] * 3, [[6, 6]] * 3), photos=30)
    exact = scipy.stats.binomtest(30, 30).proportion_ci(method="exact")
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, exact.low, 1.0))


def test_the_interval_is_that_of_korn_and_graubard():
    generator = np.random.default_rng(1)
    total = np.full((3, 40), 6)
    right = generator.binomial(6, np.clip(generator.normal(0.85, 0.1, 40), 0, 1), (3, 40))
    found = accuracy_of(runs(right, total), photos=500)
    # By hand: variance over seeds and covariance of seeds over people, plain formulas instead of a bootstrap.
    shares = right / total
    seeds = shares.mean(axis=1).var(ddof=1) / 3
    pairs = [np.cov(shares[i], shares[j])[0, 1] / 40 for i, j in ((0, 1), (0, 2), (1, 2))]
    whole = np.cov(shares).mean() / 40
    people = max(np.mean(pairs), whole - seeds, 0)
    variance = seeds + people
    t = (seeds * scipy.stats.t.isf(0.025, 2) + people * scipy.stats.t.isf(0.025, 39)) / variance
    mean = shares.mean()
    count = min(500, mean * (1 - mean) / variance * (scipy.stats.t.isf(0.025, 499) / t) ** 2)
    low = scipy.stats.beta.ppf(0.025, mean * count, (1 - mean) * count + 1)
    high = scipy.stats.beta.ppf(0.975, mean * count + 1, (1 - mean) * count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def test_intervals_hold_the_truth_as_often_as_said():
    held, trials, people, seeds, photos = 0, 120, 12, 4, 6
    for i in range(trials):
        generator = np.random.default_rng(i)
        # People differ, seeds differ, photos differ; the truth is the mean over all of them.
        logits = 2.0 + generator.normal(0, 0.8, (1, people)) + generator.normal(0, 0.3, (seeds, 1))
        right = generator.binomial(photos, 1 / (1 + np.exp(-logits)))
        found = accuracy_of(runs(right, np.full_like(right, photos)), people * photos * 3, repeats=200)
        draws = np.random.default_rng(0).normal(2.0, np.sqrt(0.8**2 + 0.3**2), 200_000)
        held += found.low <= (1 / (1 + np.exp(-draws))).mean() <= found.high
    assert held >= 0.9 * trials


def test_differences_are_paired_by_seed_and_person():
    generator = np.random.default_rng(2)
    total = np.full((5, 20), 8)
    hard = np.clip(generator.normal(0.8, 0.15, (1, 20)), 0, 1)
    worse = generator.binomial(8, np.repeat(hard, 5, axis=0))
    better = np.minimum(8, worse + (generator.random((5, 20)) < 0.5))
    (found,) = differences_of("5", [*runs(worse, total, "a"), *runs(better, total, "b")])
    assert (found.metric, found.first, found.second, found.seeds, found.units) == (
        "accuracy@5",
        "b",
        "a",
        5,
        20,
    )
    assert found.beyond_noise
    assert found.estimate == pytest.approx((better - worse).sum() / total.sum())
    # The two vary much more between people than their difference does.
    separate = accuracy_of(runs(better, total, "b"), 10_000)
    assert found.high - found.low < 0.5 * (separate.high - separate.low)


def test_false_alarms_are_rare():
    alarms = 0
    for i in range(60):
        generator = np.random.default_rng(i)
        hard = np.clip(generator.normal(0.85, 0.1, (1, 10)), 0, 1)
        two = [generator.binomial(6, np.repeat(hard, 5, axis=0)) for _ in range(2)]
        total = np.full((5, 10), 6)
        (found,) = differences_of("1", [*runs(two[0], total, "a"), *runs(two[1], total, "b")], repeats=200)
        alarms += found.p < 0.05
    assert alarms <= 7
