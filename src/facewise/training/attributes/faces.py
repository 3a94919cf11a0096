"""Crops with labels, of which each may be missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.models.attributes import ATTRIBUTES

LEARN, VALIDATE = 0, 1
"""Parts of the faces: to learn from, and to choose and calibrate on."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces:
    """Faces of one or several data sets.

    Attributes:
        crops: Arrays of (N, S, S, 3) RGB uint8, one after the other; they may lie on the disk.
        labels: Attribute → (N,) years for age, NaN where it is not labelled; for the others the word's place,
            -1 where it is not.
        part: (N,) `LEARN` or `VALIDATE`; others are left alone.
        name: What to call them.
    """

    crops: tuple[NDArray[np.uint8], ...]
    labels: Mapping[str, NDArray[np.float64]]
    part: NDArray[np.int64]
    name: str

    def __len__(self) -> int:
        return len(self.part)

    def crop(self, index: int) -> NDArray[np.uint8]:
        """(S, S, 3) of one face."""
        for crops in self.crops:
            if index < len(crops):
                return np.asarray(crops[index])
            index -= len(crops)
        raise IndexError(index)

    def some(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(K, S, S, 3) of several faces."""
        return np.stack([self.crop(index) for index in indices.tolist()])

    @property
    def known(self) -> tuple[str, ...]:
        """Attributes that faces to learn from are labelled with."""
        learn = self.part == LEARN
        return tuple(name for name in ATTRIBUTES if name in self.labels and self.labelled(name)[learn].any())

    def labelled(self, name: str) -> NDArray[np.bool_]:
        """(N,) whether a face is labelled with an attribute."""
        labels = self.labels[name]
        return np.isfinite(labels) if name == "age" else labels >= 0

    def chosen(self, names: tuple[str, ...], part: int) -> NDArray[np.int64]:
        """Faces of a part with at least one of some labels."""
        some = np.any([self.labelled(name) for name in names], axis=0)
        return np.flatnonzero(some & (self.part == part))

    @property
    def data_hash(self) -> str:
        """sha256 (hex) over crops, labels and parts."""
        digest = hashlib.sha256(self.part.tobytes())
        for name in sorted(self.labels):
            digest.update(name.encode() + self.labels[name].astype(np.float64).tobytes())
        for crops in self.crops:
            for start in range(0, len(crops), 1000):
                digest.update(crops[start : start + 1000].tobytes())
        return digest.hexdigest()


def joined(*faces: LabelledFaces) -> LabelledFaces:
    """Several data sets as one; labels that one has not are missing there."""
    names = [name for name in ATTRIBUTES if any(name in one.labels for one in faces)]
    labels = {
        name: np.concatenate(
            [one.labels.get(name, np.full(len(one), np.nan if name == "age" else -1.0)) for one in faces]
        )
        for name in names
    }
    return LabelledFaces(
        tuple(crops for one in faces for crops in one.crops),
        labels,
        np.concatenate([one.part for one in faces]),
        " and ".join(one.name for one in faces),
    )
