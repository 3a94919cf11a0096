"""Batches of augmented crops, made on background threads ahead of whoever trains on them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.augment import Augmentation
from facewise.data.samplers import Sampler, shard
from facewise.data.source import IntArray
from facewise.data.store import CropStore
from facewise.errors import SettingError
from facewise.types import Image

Augment: TypeAlias = Callable[[Image, np.random.Generator], Image]
"""From a crop to another of the same shape; must leave the one given as it is."""

_CHUNK = 16
"""Crops a thread takes at once: few, so that all threads work on the batch that is needed next."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's crops.

    Attributes:
        images: (B, S, S, 3) uint8 RGB, C-contiguous; the receiver's own, it is not used again.
        labels: (B,) int64.
        indices: (B,) int64, numbers of the crops in the store.
    """

    images: NDArray[np.uint8]
    labels: IntArray
    indices: IntArray


class Batches:
    """Batches of a store, the same to the bit whatever the number of threads, processes and restarts.

    A crop is augmented with a random generator of its own, `np.random.default_rng([seed, epoch, position])`,
    where the position is its place in the whole epoch over all processes.

    Attributes:
        waited_s: Seconds consumers have waited for batches since this was made.
    """

    def __init__(
        self,
        store: CropStore,
        sampler: Sampler,
        augmentation: Augment | None = None,
        seed: int = 0,
        *,
        threads: int = 2,
        prefetch: int = 4,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Nothing is started before `epoch`.

        Args:
            store: Where the crops are.
            sampler: Divides epochs into batches.
            augmentation: Applied to each crop, such as `augmentation("medium")`; None for none.
            seed: Of the augmentation; not negative.
            threads: How many work in the background.
            prefetch: Batches made ahead of the consumer, at least 1.
            rank: Of this process, from 0: it gets its part (`shard`) of every batch.
            world: How many processes share each batch.

        Raises:
            SettingError: A number is out of range.
        """
        for what, number, least in (("threads", threads, 1), ("prefetch", prefetch, 1), ("seed", seed, 0)):
            if number < least:
                raise SettingError(f"{what} must be at least {least}, not {number}.")
        shard(np.empty(0, np.int64), rank, world)  # checks both
        self.store, self.sampler, self.seed = store, sampler, seed
        # An augmentation of nothing costs 40 µs a crop to find out that it is nothing.
        self.augmentation = None if augmentation == Augmentation() else augmentation
        self.threads, self.prefetch, self.rank, self.world = threads, prefetch, rank, world
        self.waited_s = 0.0

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.sampler)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch.

        Closing the iterator early ends its threads. An error in a thread is raised at its batch's turn.

        OpenCV's own threads are switched off for this process: they would compete with these.

        Args:
            epoch: From 0.
            start_step: Leave out so many batches, for going on where an earlier run stopped.

        Raises:
            SettingError: There is no such epoch or step.
        """
        batches = self.sampler.batches(epoch)
        if not 0 <= start_step <= len(batches):
            raise SettingError(f"An epoch has {len(batches)} steps, so it cannot start at step {start_step}.")
        return self._run(epoch, batches, start_step)

    def _run(self, epoch: int, batches: Sequence[IntArray], start_step: int) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        first = sum(len(batch) for batch in batches[:start_step])
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="facewise-batches")
        waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
        ordered = self._ordered(pool, epoch, batches[start_step:], first)
        try:
            waiting.extend(islice(ordered, self.prefetch))
            while waiting:
                batch, parts = waiting.popleft()
                begun = time.perf_counter()
                for part in parts:
                    part.result()
                self.waited_s += time.perf_counter() - begun
                waiting.extend(islice(ordered, 1))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ordered(
        self, pool: ThreadPoolExecutor, epoch: int, batches: Sequence[IntArray], first: int
    ) -> Iterator[tuple[Batch, list[Future[None]]]]:
        """Each batch, still to be filled, and the work that fills it, handed to the pool."""
        size = self.store.size
        for batch in batches:
            indices = np.asarray(shard(batch, self.rank, self.world), np.int64)
            positions = shard(np.arange(first, first + len(batch)), self.rank, self.world)
            images = np.empty((len(indices), size, size, 3), np.uint8)
            parts = [
                pool.submit(self._fill, images, indices, positions, slice(start, start + _CHUNK), epoch)
                for start in range(0, len(indices), _CHUNK)
            ]
            yield Batch(images, self.store.labels[indices], indices), parts
            first += len(batch)

    def _fill(
        self, images: NDArray[np.uint8], indices: IntArray, positions: IntArray, part: slice, epoch: int
    ) -> None:
        crops = self.store.take(indices[part])
        if self.augmentation is None:
            images[part] = crops
            return
        for place, crop, position in zip(images[part], crops, positions[part], strict=True):
            place[:] = self.augmentation(crop, np.random.default_rng([self.seed, epoch, int(position)]))
