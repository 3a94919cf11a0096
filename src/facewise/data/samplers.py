"""Which photos make which batch: of seed and epoch alone, the same however many processes train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from facewise.data.source import IntArray
from facewise.errors import SettingError


@runtime_checkable
class Sampler(Protocol):
    """Divides an epoch into batches. Implementations never change: every epoch can be asked for again."""

    @property
    def batch_size(self) -> int:
        """Photos a batch, over all processes; the last batch of an epoch may be smaller."""
        ...

    def __len__(self) -> int:
        """Batches an epoch."""
        ...

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """The batches of an epoch, each the (B,) int64 numbers of its photos.

        Args:
            epoch: From 0.
        """
        ...


class Sequential:
    """Every photo once, in the order of the source: for measuring."""

    def __init__(self, labels: ArrayLike, batch_size: int) -> None:
        """Args: labels: (N,), only their number counts.

        Raises:
            SettingError: There are no photos, or the batch size is not positive.
        """
        self.batch_size, self._photos = batch_size, _count(labels)
        _positive("batch size", batch_size)

    def __len__(self) -> int:
        return (self._photos + self.batch_size - 1) // self.batch_size

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """See `Sampler.batches`; the same in every epoch."""
        _check_epoch(epoch)
        return _cut(np.arange(self._photos, dtype=np.int64), self.batch_size, len(self))


class Shuffle:
    """Every photo once, shuffled anew in each epoch."""

    def __init__(self, labels: ArrayLike, batch_size: int, seed: int, drop_last: bool = True) -> None:
        """Describe the batches.

        Args:
            labels: (N,), only their number counts.
            batch_size: Photos a batch, over all processes.
            seed: Not negative.
            drop_last: Leave out the photos of a last batch that would not be full; other ones each epoch.

        Raises:
            SettingError: There are no photos, not enough for one batch, or a number is out of range.
        """
        self.batch_size, self.seed, self.drop_last, self._photos = batch_size, seed, drop_last, _count(labels)
        _positive("batch size", batch_size)
        _check_seed(seed)
        if drop_last and self._photos < batch_size:
            raise SettingError(
                f"There are {self._photos} photos, fewer than the batch size of {batch_size}; "
                f"set the batch size to {self._photos} or less."
            )

    def __len__(self) -> int:
        full, rest = divmod(self._photos, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """See `Sampler.batches`."""
        _check_epoch(epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self._photos).astype(np.int64)
        return _cut(order, self.batch_size, len(self))


class PK:
    """P people with K photos each in every batch, as losses that compare pairs need.

    Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", section 2.

    People come in rounds, each round everybody once in a new order; nobody comes twice in a batch. Within an
    epoch, how often two people come differs by one at most. A person's photos come in turn, in an order that
    is new in each epoch; someone with fewer than K photos has some of them more than once in a batch.

    An epoch shows as many photos as there are (rounded down to whole batches), or everybody once if that is
    more. A batch holds the K photos of its first person, then of its second, and so on.
    """

    def __init__(self, labels: ArrayLike, people: int, photos: int, seed: int) -> None:
        """Describe the batches.

        Args:
            labels: (N,) int64 of the photos; numbers without a photo are nobody.
            people: P, people a batch.
            photos: K, photos of each.
            seed: Not negative.

        Raises:
            SettingError: There are fewer than P people, or a number is out of range.
        """
        self.people, self.photos, self.seed = people, photos, seed
        _positive("number of people a batch", people)
        _positive("number of photos a person", photos)
        _check_seed(seed)
        _count(labels)
        _, self._persons, self._counts = np.unique(
            np.asarray(labels), return_inverse=True, return_counts=True
        )
        if len(self._counts) < people:
            raise SettingError(
                f"There are {len(self._counts)} people, fewer than the {people} of a batch; "
                f"set the people a batch to {len(self._counts)} or less."
            )

    @property
    def batch_size(self) -> int:
        """P · K."""
        return self.people * self.photos

    def __len__(self) -> int:
        return max(len(self._persons) // self.batch_size, -(-len(self._counts) // self.people))

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """See `Sampler.batches`."""
        _check_epoch(epoch)
        rng = np.random.default_rng([self.seed, epoch])
        who, turn = self._who(rng)
        # All photos person by person, each person's in random order.
        order = np.lexsort((rng.random(len(self._persons)), self._persons))
        first = np.cumsum(self._counts) - self._counts
        nth = (turn[:, None] * self.photos + np.arange(self.photos)) % self._counts[who][:, None]
        chosen = order[first[who][:, None] + nth].astype(np.int64)
        return _cut(chosen.reshape(-1), self.batch_size, len(self))

    def _who(self, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """The person of every place of the epoch, and how often that person came before."""
        everybody, places = len(self._counts), len(self) * self.people
        rounds: list[IntArray] = []
        for number in range(-(-places // everybody)):
            people = rng.permutation(everybody).astype(np.int64)
            begun = number * everybody % self.people  # places of the batch that the last round has filled
            if begun:
                new = people[~np.isin(people, rounds[-1][-begun:])][: self.people - begun]
                people = np.concatenate([new, people[~np.isin(people, new)]])
            rounds.append(people)
        return np.concatenate(rounds)[:places], np.arange(places, dtype=np.int64) // everybody


class GivenPairs:
    """Pairs that somebody made, such as LFW's, in a new order each epoch: the original Siamese training.

    A batch holds the first photo of its first pair, then the second, then those of the next pair. Losses that
    take pairs as they come (`negatives: given` of contrastive) need that order.
    """

    def __init__(self, pairs: ArrayLike, batch_size: int, seed: int) -> None:
        """Describe the batches.

        Args:
            pairs: (P, 2) numbers of photos.
            batch_size: Photos a batch, over all processes; even.
            seed: Not negative.

        Raises:
            SettingError: There are too few pairs for a batch, or a number is out of range.
        """
        self.batch_size, self.seed = batch_size, seed
        self._pairs: IntArray = np.asarray(pairs, np.int64).reshape(-1, 2)
        _positive("batch size", batch_size)
        _check_seed(seed)
        if batch_size % 2:
            raise SettingError(f"A batch of pairs holds an even number of photos, not {batch_size}.")
        if 2 * len(self._pairs) < batch_size:
            raise SettingError(
                f"There are {len(self._pairs)} pairs, too few for a batch of {batch_size} photos; "
                "set a smaller batch size."
            )

    def __len__(self) -> int:
        return 2 * len(self._pairs) // self.batch_size

    def batches(self, epoch: int) -> Sequence[IntArray]:
        """See `Sampler.batches`."""
        _check_epoch(epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._pairs))
        return _cut(self._pairs[order].reshape(-1), self.batch_size, len(self))


def shard(indices: IntArray, rank: int, world: int) -> IntArray:
    """One process's part of a batch: the parts in order of rank are the batch.

    Args:
        indices: (B,) of the whole batch.
        rank: From 0.
        world: How many processes.

    Returns:
        A slice; slices differ in length by one at most, the longer ones first.

    Raises:
        SettingError: `rank` is not one of `world`.
    """
    if not 0 <= rank < world:
        raise SettingError(f"There is no process {rank} of {world}; ranks go from 0 to {world - 1}.")
    each, rest = divmod(len(indices), world)
    start = rank * each + min(rank, rest)
    return indices[start : start + each + (rank < rest)]


def _cut(order: IntArray, size: int, batches: int) -> list[IntArray]:
    return [order[i * size : (i + 1) * size] for i in range(batches)]


def _count(labels: ArrayLike) -> int:
    photos = len(np.asarray(labels))
    if not photos:
        raise SettingError("There are no photos to make batches of.")
    return photos


def _positive(what: str, number: int) -> None:
    if number < 1:
        raise SettingError(f"The {what} must be at least 1, not {number}.")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise SettingError(f"The seed must not be negative, as {seed} is.")


def _check_epoch(epoch: int) -> None:
    if epoch < 0:
        raise SettingError(f"Epochs are counted from 0, there is no epoch {epoch}.")
