"""Miners against a search over all triplets in plain loops."""

from __future__ import annotations

import loss_oracles as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facewise.nn.losses import miners

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=9)


def points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Vectors and the distances of their directions."""
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, torch.cdist(torch.nn.functional.normalize(x), torch.nn.functional.normalize(x))


def rows(triplets: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    assert all(index.dtype == torch.int64 for index in triplets)
    return sorted(zip(*(index.tolist() for index in triplets), strict=True))


@settings(max_examples=40)
@given(labels=LABELS, seed=st.integers(0, 10**6))
def test_triplets_are_those_of_the_plain_search(labels, seed):
    x, distances = points(len(labels), seed)
    tensor = torch.tensor(labels)
    assert rows(miners.all_triplets(tensor)) == sorted(oracle.triplets(labels))
    assert rows(miners.semi_hard(distances, tensor)) == sorted(oracle.semi_hard(x, labels))
    assert rows(miners.batch_hard(distances, tensor)) == sorted(oracle.batch_hard(x, labels))


@settings(max_examples=40)
@given(labels=LABELS, seed=st.integers(0, 10**6), count=st.integers(0, 50))
def test_hard_negative_pairs_are_the_nearest_strangers(labels, seed, count):
    _, distances = points(len(labels), seed)
    n = len(labels)
    strangers = [(i, j) for i in range(n) for j in range(i + 1, n) if labels[i] != labels[j]]
    nearest = sorted(strangers, key=lambda pair: float(distances[pair]))[:count]
    found = miners.hard_negative_pairs(distances, torch.tensor(labels), count)
    assert list(zip(*(index.tolist() for index in found), strict=True)) == nearest


@settings(max_examples=20)
@given(labels=LABELS, seed=st.integers(0, 10**6))
def test_squared_distances_choose_the_same(labels, seed):
    _, distances = points(len(labels), seed)
    tensor = torch.tensor(labels)
    for mine in (miners.semi_hard, miners.batch_hard):
        assert rows(mine(distances, tensor)) == rows(mine(distances.square(), tensor))


def test_semi_hard_on_a_line():
    """Anchor 0 at 0, its positive at 2; strangers at 1 (too near), 3 (semi-hard), 9 (easy)."""
    places = torch.tensor([0.0, 2.0, 1.0, 3.0, 9.0])
    distances = (places[:, None] - places).abs()
    labels = torch.tensor([0, 0, 1, 2, 3])
    assert (0, 1, 3) in rows(miners.semi_hard(distances, labels))
    # From 2, photo 0 is 2 away: 1 and 3 are nearer, 9 is the nearest beyond.
    assert (1, 0, 4) in rows(miners.semi_hard(distances, labels))
    assert rows(miners.batch_hard(distances, labels))[0] == (0, 1, 2)


def test_semi_hard_takes_the_farthest_where_all_strangers_are_too_near():
    places = torch.tensor([0.0, 10.0, 1.0, 4.0])
    distances = (places[:, None] - places).abs()
    assert rows(miners.semi_hard(distances, torch.tensor([0, 0, 1, 2])))[0] == (0, 1, 3)


@pytest.mark.parametrize("labels", [[0], [0, 0, 0], [0, 1, 2]])
def test_no_triplets_where_there_are_none(labels):
    _, distances = points(len(labels), 0)
    tensor = torch.tensor(labels)
    for triplets in (
        miners.all_triplets(tensor),
        miners.semi_hard(distances, tensor),
        miners.batch_hard(distances, tensor),
    ):
        assert rows(triplets) == []
