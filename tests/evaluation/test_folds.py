"""Folds that are made: nobody is on both sides of a decision, and the accuracy is the naive one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from facewise.data.lfw import Pair
from facewise.errors import DatasetError
from facewise.evaluation.bin_file import bin_folds
from facewise.evaluation.folds import (
    Folds,
    accuracy_as_insightface,
    folded_accuracy,
    given_folds,
    make_folds,
)
from facewise.metrics import best_threshold

People = list[tuple[str, str]]


def random_pairs(seed: int, people: int, pairs: int) -> tuple[list[Pair], People]:
    """Pairs of three photos a person, as many same as different."""
    rng = np.random.default_rng(seed)
    found, named = [], []
    for i in range(pairs):
        first, other = rng.choice(people, 2, replace=False)
        one, two = rng.choice(3, 2, replace=False)
        second = first if i % 2 else other
        found.append(Pair(f"{first}/{one}", f"{second}/{two}", bool(i % 2), 0))
        named.append((str(first), str(second)))
    return found, named


def clustered_pairs(seed: int, clusters: int = 30) -> tuple[list[Pair], People]:
    """Clusters of three people that share nobody with another."""
    found, named = [], []
    for cluster in range(clusters):
        pairs, people = random_pairs(seed + cluster, 3, 12)
        found += [Pair(f"{cluster}/{p.a}", f"{cluster}/{p.b}", p.same, 0) for p in pairs]
        named += [(f"{cluster}/{a}", f"{cluster}/{b}") for a, b in people]
    return found, named


def similarities_of(pairs: list[Pair], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    same = np.array([pair.same for pair in pairs])
    return np.random.default_rng(seed).normal(0.1 + 0.4 * same, 0.25), same


def units_on_both_sides(pairs: list[Pair], people: People | None, folds: Folds) -> int:
    """Naively: how many pairs share somebody with a pair that their threshold is chosen on."""
    sides = people or [(pair.a, pair.b) for pair in pairs]
    bad = 0
    for i, mine in enumerate(sides):
        out = {int(folds.first[i]), int(folds.second[i])}
        for j, other in enumerate(sides):
            chosen_on = not out & {int(folds.first[j]), int(folds.second[j])}
            bad += chosen_on and bool(set(mine) & set(other))
    return bad


def naive_accuracy(similarities: np.ndarray, same: np.ndarray, folds: Folds, *, balanced: bool) -> np.ndarray:
    right = np.empty(len(same), bool)
    for i in range(len(same)):
        out = {folds.first[i], folds.second[i]}
        rest = [j for j in range(len(same)) if not out & {folds.first[j], folds.second[j]}]
        right[i] = (
            similarities[i] >= best_threshold(similarities[rest], same[rest], balanced=balanced)
        ) == same[i]
    return right


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_that_tie_everybody_together(seed: int, named: bool) -> None:
    pairs, people = random_pairs(seed, 25, 160)
    known = people if named else None
    folds = make_folds(pairs, known)
    assert folds is not None
    assert folds.crossed
    assert units_on_both_sides(pairs, known, folds) == 0
    assert ("people" in folds.how) == named
    # A person is in one fold, so a same pair never crosses.
    same = np.array([pair.same for pair in pairs])
    assert (folds.first[same] == folds.second[same]).all()
    similarities, _ = similarities_of(pairs, seed)
    got = folded_accuracy(similarities, same, folds)
    assert got is not None
    right = naive_accuracy(similarities, same, folds, balanced=False)
    np.testing.assert_array_equal(got.right, right)
    assert got.accuracy == right.mean()
    weighed = naive_accuracy(similarities, same, folds, balanced=True)
    assert got.balanced == pytest.approx((weighed[same].mean() + weighed[~same].mean()) / 2, abs=1e-12)
    assert got.kfold is None
    assert got.thresholds[0] <= got.thresholds[1]


@pytest.mark.parametrize("named", [True, False])
def test_clusters_that_share_nobody(named: bool) -> None:
    pairs, people = clustered_pairs(0)
    known = people if named else None
    folds = make_folds(pairs, known)
    assert folds is not None
    assert not folds.crossed
    assert set(folds.first) == set(range(10))
    assert units_on_both_sides(pairs, known, folds) == 0
    similarities, same = similarities_of(pairs)
    got = folded_accuracy(similarities, same, folds)
    assert got is not None
    assert got.kfold is not None
    right = naive_accuracy(similarities, same, folds, balanced=False)
    np.testing.assert_array_equal(got.right, right)
    means = [right[folds.first == fold].mean() for fold in range(10)]
    assert got.accuracy == got.kfold.mean == pytest.approx(np.mean(means))


@given(st.integers(0, 1000), st.integers(3, 15), st.integers(4, 60))
@settings(max_examples=25)
def test_nobody_is_ever_on_both_sides(seed: int, people: int, count: int) -> None:
    pairs, named = random_pairs(seed, people, count)
    for known in (named, None):
        folds = make_folds(pairs, known)
        again = make_folds(pairs, known)
        if folds is None or again is None:
            assert folds is again
            continue
        np.testing.assert_array_equal(folds.first, again.first)
        assert units_on_both_sides(pairs, known, folds) == 0


def test_the_order_of_a_pairs_photos_does_not_matter() -> None:
    pairs, people = random_pairs(4, 25, 160)
    turned = [Pair(p.b, p.a, p.same, p.fold) for p in pairs]
    similarities, same = similarities_of(pairs)
    one, other = make_folds(pairs, people), make_folds(turned, [(b, a) for a, b in people])
    assert one is not None
    assert other is not None
    assert units_on_both_sides(turned, people, other) == 0
    first, second = folded_accuracy(similarities, same, one), folded_accuracy(similarities, same, other)
    assert first is not None
    assert second is not None
    assert abs(first.accuracy - second.accuracy) < 0.1


def test_too_few_to_part() -> None:
    assert make_folds([Pair("a1", "a2", True, 0), Pair("a1", "b1", False, 0)]) is None
    # Four people, all impostor pairs with the first: without him nothing is left to choose on.
    star = [Pair(f"{i}a", f"{i}b", True, 0) for i in range(4)] + [
        Pair("0a", f"{i}a", False, 0) for i in (1, 2, 3)
    ]
    folds = make_folds(star)
    assert folds is not None
    similarities, same = similarities_of(star)
    assert folded_accuracy(similarities, same, folds) is None


def test_folds_that_are_given_are_taken_as_they_are() -> None:
    pairs, _ = random_pairs(0, 9, 60)
    similarities, same = similarities_of(pairs)
    folds = given_folds([i // 12 for i in range(60)], "5 of the file")
    got = folded_accuracy(similarities, same, folds)
    assert got is not None
    assert got.to_dict()["folds"] == "5 of the file"
    with pytest.raises(DatasetError, match="one kind of pair"):
        folded_accuracy(similarities, same, given_folds(np.where(same, 0, 1), "by kind"))


@pytest.mark.parametrize("pairs", [2, 7, 10, 23, 600])
def test_folds_of_verification_files_are_those_of_scikit_learn(pairs: int) -> None:
    expected = np.empty(pairs, int)
    for number, (_, test) in enumerate(KFold(min(10, pairs)).split(np.arange(pairs))):
        expected[test] = number
    np.testing.assert_array_equal(bin_folds(pairs), expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_figure_insightface_prints(seed: int) -> None:
    """Re-derived from its description with scikit-learn's folds: a loop over 400 thresholds."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((400, 8))
    same = np.arange(200) % 2 == 0
    vectors[1::2][same] += 1.5 * vectors[::2][same]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = vectors[::2], vectors[1::2]
    distance, accuracies = ((a - b) ** 2).sum(axis=1), []
    for train, test in KFold(10).split(distance):
        scores = [((distance[train] < t) == same[train]).mean() for t in np.arange(0, 4, 0.01)]
        best = np.arange(0, 4, 0.01)[int(np.argmax(scores))]
        accuracies.append(((distance[test] < best) == same[test]).mean())
    got = accuracy_as_insightface((a * b).sum(axis=1), same, bin_folds(200))
    assert got == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert 0.6 < got < 1


@pytest.mark.parametrize("crossed", [True, False])
def test_scores_that_all_tie_give_no_accuracy(crossed: bool) -> None:
    """Nor where only those outside of a fold do: by the majority there, all could come out right."""
    pairs, people = random_pairs(0, 12, 40) if crossed else clustered_pairs(0)
    folds = make_folds(pairs, people)
    assert folds is not None
    assert folds.crossed == crossed
    same = np.array([pair.same for pair in pairs])
    tied = np.full(len(pairs), -1.0)
    assert folded_accuracy(tied, same, folds) is None
    touched = (folds.first == 0) | (folds.second == 0)
    tied[touched] = similarities_of(pairs)[0][touched]
    assert folded_accuracy(tied, same, folds) is None
    assert folded_accuracy(similarities_of(pairs)[0], same, folds) is not None
