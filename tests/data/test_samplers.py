"""Samplers: every photo, every person, the same for the same seed and epoch, over any number of ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.data.samplers import PK, GivenPairs, Sampler, Sequential, Shuffle, shard
from facewise.errors import SettingError

LABELS = np.repeat(np.arange(10), np.arange(1, 11))
"""Person p has p + 1 photos: 55 in all."""

ALL = [
    Sequential(LABELS, 8),
    Shuffle(LABELS, 8, seed=3),
    Shuffle(LABELS, 8, seed=3, drop_last=False),
    PK(LABELS, people=4, photos=3, seed=3),
    GivenPairs([(i, (7 * i + 3) % 55) for i in range(40)], 8, seed=3),
]


@pytest.mark.parametrize("sampler", ALL)
def test_every_sampler_keeps_the_contract(sampler):
    assert isinstance(sampler, Sampler)
    for epoch in (0, 5):
        batches = sampler.batches(epoch)
        assert len(batches) == len(sampler)
        assert all(len(batch) == sampler.batch_size for batch in batches[:-1])
        for batch, again in zip(batches, sampler.batches(epoch), strict=True):
            assert batch.dtype == np.int64
            assert 0 < len(batch) <= sampler.batch_size
            assert (batch >= 0).all()
            assert (batch < len(LABELS)).all()
            np.testing.assert_array_equal(batch, again)
    with pytest.raises(SettingError, match="epoch"):
        sampler.batches(-1)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5))
def test_an_epoch_is_every_photo_once(photos, size, epoch):
    labels = np.zeros(photos)
    for sampler in (Sequential(labels, size), Shuffle(labels, size, seed=1, drop_last=False)):
        found = np.concatenate(sampler.batches(epoch))
        np.testing.assert_array_equal(np.sort(found), np.arange(photos))
    np.testing.assert_array_equal(np.concatenate(Sequential(labels, size).batches(epoch)), np.arange(photos))
    if photos >= size:
        full = np.concatenate(Shuffle(labels, size, seed=1).batches(epoch))
        assert len(full) == len(set(full.tolist())) == photos // size * size


def test_epochs_and_seeds_differ_and_positions_are_even():
    orders = {tuple(np.concatenate(Shuffle(LABELS, 8, s).batches(e))) for s in range(3) for e in range(3)}
    assert len(orders) == 9
    first = [Shuffle(np.zeros(10), 1, 0).batches(epoch)[0][0] for epoch in range(1000)]
    assert np.abs(np.bincount(first, minlength=10) - 100).max() < 4 * np.sqrt(1000 * 0.1 * 0.9)


@given(
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=30).filter(lambda c: sum(n > 0 for n in c) > 1),
    photos=st.integers(1, 6),
    data=st.data(),
)
def test_pk_batches_hold_p_people_with_k_photos(counts, photos, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    present = np.unique(labels)
    people = data.draw(st.integers(1, len(present)))
    labels = np.random.default_rng(0).permutation(labels)
    sampler = PK(labels, people, photos, seed=data.draw(st.integers(0, 99)))
    batches = sampler.batches(data.draw(st.integers(0, 3)))
    times = np.zeros(len(counts), int)
    for batch in batches:
        shown = labels[batch].reshape(people, photos)
        assert (shown == shown[:, :1]).all()
        assert len(set(shown[:, 0].tolist())) == people
        times[shown[:, 0]] += 1
        for person, group in zip(shown[:, 0], batch.reshape(people, photos), strict=True):
            _, often = np.unique(group, return_counts=True)
            assert len(often) == min(photos, counts[person])
            assert np.ptp(often) <= 1
    assert np.ptp(times[present]) <= 1
    assert times[present].min() >= 1
    assert len(batches) == len(sampler) == max(len(labels) // (people * photos), -(-len(present) // people))


def test_pk_shows_a_persons_photos_evenly_and_in_new_groups():
    labels = np.repeat(np.arange(4), 12)
    groups = set()
    for epoch in range(4):
        chosen = np.concatenate(PK(labels, 2, 3, seed=0).batches(epoch))
        assert (np.bincount(chosen, minlength=48) == 1).all()
        groups |= {tuple(sorted(group)) for group in chosen.reshape(-1, 3).tolist()}
    assert len(groups) > 50


@given(st.integers(0, 100), st.integers(1, 9))
def test_the_parts_of_a_batch_in_order_are_the_batch(size, world):
    batch = np.random.default_rng(size).permutation(size)
    parts = [shard(batch, rank, world) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)
    lengths = [len(part) for part in parts]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Shuffle(LABELS, 56, 0), "55 photos, fewer than the batch size of 56"),
        (lambda: Shuffle(LABELS, 0, 0), "batch size"),
        (lambda: Shuffle(LABELS, 8, -1), "seed"),
        (lambda: Sequential([], 8), "no photos"),
        (lambda: PK(LABELS, 11, 2, 0), "10 people, fewer than the 11"),
        (lambda: PK(LABELS, 2, 0, 0), "photos a person"),
        (lambda: shard(np.arange(4), 2, 2), "no process 2"),
        (lambda: shard(np.arange(4), -1, 2), "no process -1"),
    ],
)
def test_what_cannot_be_is_told(make, said):
    with pytest.raises(SettingError, match=said):
        make()


def test_given_pairs_stay_together_and_each_comes_once():
    pairs = [(i, i + 20) for i in range(20)]
    sampler = GivenPairs(pairs, 8, seed=0)
    for epoch in (0, 1):
        found = np.concatenate(sampler.batches(epoch)).reshape(-1, 2)
        assert sorted(map(tuple, found.tolist())) == pairs
    assert not np.array_equal(*(np.concatenate(sampler.batches(epoch)) for epoch in (0, 1)))
    for size, match in ((7, "even"), (42, "too few"), (0, "batch size")):
        with pytest.raises(SettingError, match=match):
            GivenPairs(pairs, size, seed=0)
