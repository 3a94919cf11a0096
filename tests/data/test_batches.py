"""Batches: the same to the bit however they are made, errors come to the consumer, threads end."""

import gc
import itertools
import threading
import time

import numpy as np
import pytest

from facewise.data.augment import augmentation
from facewise.data.batches import Batches
from facewise.data.samplers import PK, Sequential, Shuffle, shard
from facewise.data.store_build import build_store
from facewise.errors import SettingError

SIZE, PHOTOS = 24, 100


class Drawn:
    name, keys, names = "drawn", tuple(map(str, range(PHOTOS))), tuple(map(str, range(10)))
    labels = np.arange(PHOTOS) % 10

    def read(self, index):
        return np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(Drawn(), tmp_path_factory.mktemp("store"), SIZE)


def all_of(batches, epoch=0, start=0):
    return list(batches.epoch(epoch, start))


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.images, b.images)


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("facewise-batches")]


def test_without_augmentation_batches_are_the_crops(store):
    sampler = Shuffle(store.labels, 32, seed=1, drop_last=False)
    batches = Batches(store, sampler)
    found = all_of(batches, 2)
    assert [len(batch.labels) for batch in found] == [32, 32, 32, 4]
    assert len(batches) == 4
    for batch, indices in zip(found, sampler.batches(2), strict=True):
        np.testing.assert_array_equal(batch.indices, indices)
        np.testing.assert_array_equal(batch.labels, store.labels[indices])
        np.testing.assert_array_equal(batch.images, [store.read(i) for i in indices])
        assert batch.images.flags.c_contiguous
        assert batch.images.flags.writeable
        assert (batch.images.dtype, batch.labels.dtype) == (np.uint8, np.int64)


def test_each_crop_is_augmented_by_its_place_in_the_epoch(store):
    medium, sampler = augmentation("medium"), Shuffle(store.labels, 32, seed=1)
    position = 0
    for batch in Batches(store, sampler, medium, seed=7).epoch(3):
        for image, index in zip(batch.images, batch.indices, strict=True):
            rng = np.random.default_rng([7, 3, position])
            np.testing.assert_array_equal(image, medium(store.read(index), rng))
            position += 1
    assert position == 96


@pytest.mark.parametrize("make", [lambda y: Shuffle(y, 40, 1, drop_last=False), lambda y: PK(y, 5, 4, 1)])
def test_threads_and_prefetch_change_nothing(store, make):
    sampler, strong = make(store.labels), augmentation("strong")
    one = all_of(Batches(store, sampler, strong, 5, threads=1, prefetch=1), 1)
    for threads, prefetch in ((2, 1), (4, 3), (3, 50)):
        assert_same(one, all_of(Batches(store, sampler, strong, 5, threads=threads, prefetch=prefetch), 1))
    other = all_of(Batches(store, sampler, strong, 6), 1)
    assert not np.array_equal(one[0].images, other[0].images)
    later = all_of(Batches(store, sampler, strong, 5), 2)
    assert not np.array_equal(one[0].images, later[0].images)


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_going_on_from_a_step_is_as_if_never_stopped(store, start):
    sampler = Shuffle(store.labels, 30, 1, drop_last=False)
    batches = Batches(store, sampler, augmentation("strong"), 5)
    assert_same(all_of(batches, 1)[start:], all_of(batches, 1, start))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_together_see_the_batches_of_one(store, world):
    sampler, strong = Shuffle(store.labels, 30, 1, drop_last=False), augmentation("strong")
    whole = all_of(Batches(store, sampler, strong, 5))
    parts = [all_of(Batches(store, sampler, strong, 5, rank=rank, world=world)) for rank in range(world)]
    for step, batch in enumerate(whole):
        for what in ("images", "labels", "indices"):
            joined = np.concatenate([getattr(part[step], what) for part in parts])
            np.testing.assert_array_equal(joined, getattr(batch, what))
        assert len(parts[0][step].labels) == len(shard(batch.indices, 0, world))


def test_a_subset_has_its_own_labels(store):
    part = store.subset(np.flatnonzero(store.labels >= 5))
    batch = next(Batches(part, Sequential(part.labels, 8)).epoch(0))
    assert batch.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    np.testing.assert_array_equal(batch.images[5], store.read(15))


def test_an_error_in_a_thread_comes_at_its_batch(store):
    def broken(crop, rng):
        if np.array_equal(crop, store.read(45)):
            raise ValueError("forty-five")
        return crop

    running = Batches(store, Sequential(store.labels, 10), broken, threads=3).epoch(0)
    for _ in range(4):
        next(running)
    with pytest.raises(ValueError, match="forty-five"):
        next(running)
    assert not our_threads()
    with pytest.raises(StopIteration):
        next(running)


@pytest.mark.parametrize("way", ["closed", "forgotten", "finished"])
def test_threads_end_with_the_iterator(store, way):
    batches = Batches(store, Sequential(store.labels, 10), augmentation("light"), threads=3)
    running = batches.epoch(0)
    assert not our_threads()  # nothing starts before it is asked for
    next(running)
    assert our_threads()
    if way == "closed":
        running.close()
    elif way == "finished":
        list(running)
    else:
        del running
        gc.collect()
    assert not our_threads()


def test_no_more_is_made_ahead_than_asked_for(store):
    made = []

    def count(crop, rng):
        made.append(1)
        return crop

    running = Batches(store, Sequential(store.labels, 10), count, threads=2, prefetch=2).epoch(0)
    next(running)
    deadline = time.monotonic() + 120
    while len(made) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 30  # the one given and two ahead
    running.close()


def test_waiting_is_measured_and_what_the_consumer_does_is_not(store, monkeypatch):
    clock = itertools.count()  # a second passes whenever somebody looks
    monkeypatch.setattr("facewise.data.batches.time.perf_counter", lambda: next(clock))
    batches = Batches(store, Sequential(store.labels, 10), threads=2)
    assert batches.waited_s == 0
    for _ in batches.epoch(0):
        for _ in range(60):
            next(clock)
    assert batches.waited_s == len(batches) == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threads": 0}, "threads"),
        ({"prefetch": 0}, "prefetch"),
        ({"seed": -1}, "seed"),
        ({"rank": 2, "world": 2}, "no process 2"),
    ],
)
def test_bad_numbers_are_told(store, options, said):
    with pytest.raises(SettingError, match=said):
        Batches(store, Sequential(store.labels, 10), **options)


def test_steps_and_epochs_that_are_not_there_are_told_at_once(store):
    batches = Batches(store, Sequential(store.labels, 10))
    for epoch, start in ((0, 11), (0, -1), (-1, 0)):
        with pytest.raises(SettingError):
            batches.epoch(epoch, start)


def test_an_augmentation_of_nothing_is_none(store):
    sampler = Shuffle(store.labels, 32, seed=1)
    assert_same(all_of(Batches(store, sampler)), all_of(Batches(store, sampler, augmentation("none"))))
