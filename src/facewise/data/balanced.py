"""Batches in which everybody comes as often, however many photos there are of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from facewise.data.source import IntArray
from facewise.errors import SettingError


class Balanced:
    """As many photos an epoch as there are, up to whole batches, of every person as many; a `Sampler`.

    People come in rounds, each round everybody once in a new order, so how often two people come in an
    epoch differs by one at most. A person's photos come in turn, in an order that is new in each epoch:
    somebody with few photos has them again and again, of somebody with many some wait for a later epoch.
    """

    def __init__(self, labels: ArrayLike, batch_size: int, seed: int) -> None:
        """Describe the batches.

        Args:
            labels: (N,) int64 of the photos; numbers without a photo are nobody.
            batch_size: Photos a batch, over all processes; all batches are full.
            seed: Not negative.

        Raises:
            SettingError: There are no photos, or a number is out of range.
        """
        if batch_size < 1 or seed < 0:
            raise SettingError(f"A batch of {batch_size} photos with seed {seed} makes no sense.")
        _, self._persons, self._counts = np.unique(
            np.asarray(labels), return_inverse=True, return_counts=True
        )
        if not len(self._persons):
            raise SettingError("There are no photos to make batches of.")
        self.batch_size, self.seed = batch_size, seed

    def __len__(self) -> int:
        return (len(self._persons) + self.batch_size - 1) // self.batch_size

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """See `facewise.data.samplers.Sampler.batches`."""
        if epoch < 0:
            raise SettingError(f"Epochs are counted from 0, there is no epoch {epoch}.")
        rng = np.random.default_rng([self.seed, epoch])
        places, everybody = len(self) * self.batch_size, len(self._counts)
        rounds = -(-places // everybody)
        who = np.concatenate([rng.permutation(everybody) for _ in range(rounds)])[:places]
        turn = np.arange(places) // everybody
        # All photos person by person, each person's in random order.
        order = np.lexsort((rng.random(len(self._persons)), self._persons))
        first = np.cumsum(self._counts) - self._counts
        chosen = order[first[who] + turn % self._counts[who]].astype(np.int64)
        return list(chosen.reshape(len(self), self.batch_size))
