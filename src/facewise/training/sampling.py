"""From settings to batches: which photos make one, and how they are augmented."""

from __future__ import annotations

from pathlib import Path

from facewise.data.augment import Augmentation, augmentation
from facewise.data.balanced import Balanced
from facewise.data.samplers import PK, GivenPairs, Sampler, Shuffle
from facewise.data.store import CropStore
from facewise.errors import SettingError
from facewise.training.config import Config, Data
from facewise.training.crops import given_pairs


def make_sampler(config: Config, store: CropStore, root: Path, processes: int = 1) -> Sampler:
    """The sampler of a run.

    From scratch photos abound, and an epoch leaves out those that fill no batch. In fine-tuning they are
    few: the last batch may be smaller, and where there are fewer photos than one batch, it is all of them.

    Args:
        config: All settings.
        store: What is learned from.
        root: Of the dataset, for files named relative to it.
        processes: That share each batch.

    Raises:
        SettingError: There are too few photos for the settings.
    """
    data, seed = config.data, config.seed
    if data.pairs is not None:
        return GivenPairs(given_pairs(store, root, data.pairs), data.batch_size, seed)
    if data.sampler == "people":
        return PK(store.labels, data.batch_size // data.photos_per_person, data.photos_per_person, seed)
    if data.sampler == "balanced":
        return Balanced(store.labels, batch_size(data, store), seed)
    if config.start is None:
        return Shuffle(store.labels, data.batch_size, seed)
    size = batch_size(data, store)
    # Every part of a batch needs two photos where batch norm takes its own statistics.
    rest, least = len(store) % size, 2 * config.accumulate * processes
    if size < least:
        raise SettingError(
            f"{len(store)} photos to learn from are too few for accumulate={config.accumulate}; set it to 1."
        )
    return Shuffle(store.labels, size, seed, drop_last=0 < rest < least)


def batch_size(config: Data, store: CropStore) -> int:
    """Photos a batch: no more than there are."""
    return min(config.batch_size, len(store))


def make_augmentation(config: Data) -> Augmentation:
    """The augmentation of a run.

    Raises:
        SettingError: A name is unknown or a value out of range.
    """
    if isinstance(config.augmentation, str):
        return augmentation(config.augmentation)
    changes = dict(config.augmentation)
    return augmentation(str(changes.pop("preset", "none")), **changes)
