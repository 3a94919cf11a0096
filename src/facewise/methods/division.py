"""Which photos are learned from and which tested on: one division a seed, and nested draws of k photos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.store import CropStore
from facewise.errors import DatasetError, SettingError
from facewise.methods.names import FULL
from facewise.training.config import Data, make_config
from facewise.training.crops import Crops, divide

HELD_OUT = 0.2
"""Of each person's photos, tested on where nobody says otherwise."""

DIVIDING = frozenset(
    f"data.{name}"
    for name in (
        "min_photos",
        "max_people",
        "max_photos",
        "only_people",
        "without_people",
        "split",
        "held_out_photos",
        "split_seed",
    )
)
"""Settings that choose the photos; the others are of training."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """One seed's photos.

    Attributes:
        seed: Of the division and the draws.
        train: Crops that may be learned from.
        test: Crops to name, of the same people with the same labels.
        order: (N,) numbers in `train` of all its crops, person after person, each person's in the order they
            are drawn in.
        starts: (P,) where each person begins in `order`.
    """

    seed: int
    train: CropStore
    test: CropStore
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The people."""
        return self.train.names

    @property
    def counts(self) -> NDArray[np.int64]:
        """(P,) photos of each person to learn from."""
        return np.diff(np.append(self.starts, len(self.order)))

    def draw(self, shots: str) -> NDArray[np.int64]:
        """Numbers in `train` of what is learned from with so many photos a person, ascending.

        Those of fewer photos are among those of more. Who has fewer than asked for gives all.
        """
        if shots == FULL:
            return np.sort(self.order)
        place = np.arange(len(self.order)) - np.repeat(self.starts, self.counts)
        return np.sort(self.order[place < int(shots)])


def data_settings(settings: Mapping[str, Any]) -> Data:
    """The settings that choose the photos, checked.

    Args:
        settings: Dotted; those that are not of `DIVIDING` are left aside.

    Raises:
        SettingError: A value is out of range.
    """
    held = settings.get("data.held_out_photos", HELD_OUT)
    if settings.get("data.split") is None and not held:
        raise SettingError("Methods are compared on held-out photos: set data.held_out_photos above 0.")
    chosen = {key: value for key, value in settings.items() if key in DIVIDING}
    return make_config({"name": "methods"}, {"data.held_out_photos": held, **chosen}).data


def divide_photos(crops: Crops, data: Data, seed: int) -> Division:
    """One seed's division.

    Args:
        crops: All.
        data: From `data_settings`.
        seed: Of the division, unless `data.split_seed` is another; and of the draws.

    Raises:
        DatasetError: There are too few people or photos, or nothing to test on.
    """
    parts = divide(crops, data, seed)
    if parts.known is None or not len(parts.known):
        raise DatasetError(f"Nothing of {crops.store.name} is left to test on: nobody has a held-out photo.")
    train = parts.train
    draws = [_draw(seed, key) for key in train.keys]
    order = np.array(sorted(range(len(train)), key=lambda i: (train.labels[i], draws[i])), np.int64)
    starts = np.searchsorted(train.labels[order], np.arange(len(train.names))).astype(np.int64)
    return Division(seed, train, parts.known, order, starts)


def wanted_shots(divisions: Sequence[Division], shots: Sequence[str]) -> tuple[list[str], list[str]]:
    """The numbers of photos that differ from each other on these data, and sentences on what was changed.

    A number that everybody has fewer photos than is the same as the next lower one that somebody has.
    """
    most = max(int(division.counts.max()) for division in divisions)
    least = min(int(division.counts.min()) for division in divisions)
    kept: list[str] = []
    notes: list[str] = []
    for one in shots:
        if one == FULL or int(one) < most or (int(one) == most and FULL not in shots):
            kept.append(one)
        elif FULL in shots or kept:
            notes.append(f"Nobody has more than {most} photos to learn from: {one} is the same as full.")
            kept += [] if FULL in shots or FULL in kept else [FULL]
        else:
            kept.append(FULL)
            notes.append(f"Nobody has more than {most} photos to learn from: {one} is all of them.")
    for one in kept:
        if one != FULL and least < int(one):
            few = divisions[0].counts < int(one)
            notes.append(
                f"With {one} photos a person, {int(few.sum())} of {len(few)} people have fewer to learn from "
                f"({least} at least) and give all they have (seed {divisions[0].seed})."
            )
    return list(dict.fromkeys(kept)), notes


def _draw(seed: int, key: str) -> float:
    """A number that depends on seed and key alone, and not as the division does."""
    return int.from_bytes(
        hashlib.sha256(f"shots\0{seed}\0{key}".encode("utf-8", "surrogateescape")).digest()[:6], "big"
    )
