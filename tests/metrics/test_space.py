"""Embedding-space figures against scikit-learn and loops over pairs."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from facewise.errors import DatasetError, SettingError
from facewise.metrics import space
from facewise.metrics.space import embedding_space


def case(people=7, photos=60, dimensions=16, seed=0, spread=0.6):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(people), rng.integers(0, people, photos - people)])
    rng.shuffle(labels)
    vectors = rng.normal(size=(people, dimensions))[labels] + spread * rng.normal(size=(photos, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def loop_angles(vectors, labels):
    intra, inter = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            angle = math.acos(max(-1.0, min(1.0, float(vectors[i] @ vectors[j]))))
            (intra if labels[i] == labels[j] else inter).append(angle)
    return np.array(intra), np.array(inter)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [None, 100])
def test_equal_to_scikit_learn_and_loops(seed, block, monkeypatch):
    if block:
        monkeypatch.setattr(space, "_BLOCK", block)
    vectors, labels = case(seed=seed)
    found = embedding_space(vectors, labels)
    assert (found.photos, found.people) == (60, 7)
    assert found.silhouette == pytest.approx(sk.silhouette_score(vectors, labels, metric="cosine"), abs=1e-12)
    assert found.davies_bouldin == pytest.approx(sk.davies_bouldin_score(vectors, labels), abs=1e-12)
    index = sk.calinski_harabasz_score(vectors, labels)
    assert found.fisher_ratio * (60 - 7) / (7 - 1) == pytest.approx(index, rel=1e-12)
    for angles, expected in zip((found.intra, found.inter), loop_angles(vectors, labels), strict=True):
        assert angles.pairs == len(expected)
        assert (angles.mean, angles.least, angles.greatest) == pytest.approx(
            (expected.mean(), expected.min(), expected.max()), abs=1e-12
        )
        for share in (0.0, 0.01, 0.25, 0.5, 0.99, 1.0):
            exact = np.quantile(expected, share, method="inverted_cdf")
            assert angles.quantile(share) == pytest.approx(exact, abs=4.5e-5)
        np.testing.assert_array_equal(angles.histogram(36), np.histogram(expected, 36, (0, math.pi))[0])


def test_each_person_by_name():
    vectors, labels = case()
    names = [f"person {i}" for i in range(7)]
    found = embedding_space(vectors, labels, names)
    silhouettes = sk.silhouette_samples(vectors, labels, metric="cosine")
    means = np.stack([vectors[labels == i].mean(axis=0) for i in range(7)])
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosines = directions @ directions.T - 3 * np.eye(7)
    for i, row in enumerate(found.classes):
        mine = vectors[labels == i]
        own = np.arccos(np.clip((mine @ mine.T)[np.triu_indices(len(mine), 1)], -1, 1))
        assert (row.name, row.photos) == (names[i], len(mine))
        assert (row.mean_angle, row.widest_angle) == pytest.approx((own.mean(), own.max()), abs=1e-12)
        assert row.silhouette == pytest.approx(silhouettes[labels == i].mean(), abs=1e-12)
        assert row.nearest == names[cosines[i].argmax()]
        assert row.nearest_angle == pytest.approx(np.arccos(cosines[i].max()), abs=1e-12)
    worst = found.worst(3)
    assert worst == sorted(found.classes, key=lambda row: row.silhouette)[:3]
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_person_whose_photos_lie_with_another_is_the_worst():
    vectors, labels = case(people=5, photos=80, spread=0.1)
    vectors[labels == 2] = vectors[labels == 4][0]
    row = embedding_space(vectors, labels, ["a", "b", "c", "d", "e"]).worst(1)[0]
    assert {row.name, row.nearest} == {"c", "e"}


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_invariants(seed):
    rng = np.random.default_rng(seed)
    vectors, labels = case(people=4, photos=20, dimensions=5, seed=seed)
    found = embedding_space(vectors, labels)
    order, turn = rng.permutation(20), np.linalg.qr(rng.normal(size=(5, 5)))[0]
    renamed = np.array([12, 3, 40, 7])[labels]
    again = embedding_space(vectors[order] @ turn, renamed[order])
    for name in ("silhouette", "davies_bouldin", "fisher_ratio"):
        assert getattr(again, name) == pytest.approx(getattr(found, name), rel=1e-9)
    assert again.intra.mean == pytest.approx(found.intra.mean, abs=1e-9)
    assert again.inter.mean == pytest.approx(found.inter.mean, abs=1e-9)
    assert {row.name for row in again.classes} == {"3", "7", "12", "40"}
    assert -1 <= found.silhouette <= 1
    assert found.intra.pairs + found.inter.pairs == 190


def test_people_with_one_photo_and_names_without_photos():
    vectors, labels = case(people=5, photos=30)
    keep = (labels != 1) | (np.cumsum(labels == 1) == 1)
    found = embedding_space(vectors[keep], labels[keep], ["a", "b", "c", "d", "e", "nobody"])
    assert [row.name for row in found.classes] == ["a", "b", "c", "d", "e"]
    single = found.classes[1]
    assert (single.photos, single.mean_angle, single.widest_angle, single.silhouette) == (1, None, None, 0.0)
    assert single not in found.worst(99)
    expected = sk.silhouette_score(vectors[keep], labels[keep], metric="cosine")
    assert found.silhouette == pytest.approx(expected, abs=1e-12)
    expected = sk.davies_bouldin_score(vectors[keep], labels[keep])
    assert found.davies_bouldin == pytest.approx(expected, abs=1e-12)


def test_perfect_and_hopeless_spaces():
    points = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    found = embedding_space(points, [0, 0, 1, 1, 2, 2])
    assert (found.silhouette, found.davies_bouldin, found.fisher_ratio) == (1.0, 0.0, math.inf)
    assert (found.intra.greatest, found.inter.least) == pytest.approx((0.0, math.pi / 2))
    assert found.to_dict()["fisher_ratio"] is None
    one_place = embedding_space(points[[0, 0, 0, 0]], [0, 0, 1, 1])
    assert (one_place.silhouette, one_place.davies_bouldin) == (0.0, 0.0)
    # Centres at one place, photos not: infinitely far apart, as in scikit-learn.
    crossed = np.array([[1, 0], [-1, 0], [0, 1], [0, -1.0]])
    labels = [0, 0, 1, 1]
    found = embedding_space(crossed, labels)
    assert found.davies_bouldin == sk.davies_bouldin_score(crossed, labels) == 0.0
    assert found.classes[0].nearest_angle == pytest.approx(math.pi / 2)


def test_near_centres_are_told_apart():
    rng = np.random.default_rng(0)
    vectors = np.array([1.0, 0, 0]) + 1e-5 * rng.normal(size=(30, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.arange(30) % 3
    # scikit-learn takes squared distances as differences, and loses half the digits here; a loop does not.
    means = np.stack([vectors[labels == i].mean(axis=0) for i in range(3)])
    spreads = [np.linalg.norm(vectors[labels == i] - means[i], axis=1).mean() for i in range(3)]
    ratios = [
        max((spreads[i] + spreads[j]) / np.linalg.norm(means[i] - means[j]) for j in range(3) if j != i)
        for i in range(3)
    ]
    assert embedding_space(vectors, labels).davies_bouldin == pytest.approx(np.mean(ratios), rel=1e-9)


def test_memory_stays_with_the_blocks():
    vectors, labels = case(people=300, photos=4000, dimensions=8)
    tracemalloc.start()
    found = embedding_space(vectors.astype(np.float32), labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.intra.pairs + found.inter.pairs == 4000 * 3999 // 2
    assert peak < 120e6  # all pairs in float64 would be 128 MB each time they are written down, several times


@pytest.mark.parametrize(
    ("vectors", "labels", "names"),
    [
        ([], [], None),
        ([[1.0, 0], [0, math.nan]], [0, 1], None),
        ([[1.0, 0], [0, math.inf]], [0, 1], None),
        ([[1.0, 0], [0, 2], [0, 1]], [0, 1, 1], None),
        ([[0.0, 0], [0, 1], [0, 1]], [0, 1, 1], None),
        ([[1.0, 0], [0, 1]], [0, 0], None),
        ([[1.0, 0], [0, 1]], [0, 1], None),
        ([[1.0, 0], [0, 1], [0, 1]], [0, 1], None),
        ([[1.0, 0], [0, 1], [0, 1]], [0, -1, -1], None),
        ([[1.0, 0], [0, 1], [0, 1]], ["a", "b", "b"], None),
        ([[1.0, 0], [0, 1], [0, 1]], [0, 1, 1], ["a"]),
        ([[1.0, 0], [0, 1], [0, 1]], [0, 1, 1], ["a", "a"]),
    ],
)
def test_bad_data(vectors, labels, names):
    with pytest.raises(DatasetError):
        embedding_space(vectors, labels, names)


def test_bad_settings():
    angles = embedding_space(np.eye(3)[[0, 1, 1]], [0, 1, 1]).intra
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(SettingError):
            angles.quantile(share)
    for bins in (0, -1, 7):
        with pytest.raises(SettingError):
            angles.histogram(bins)
