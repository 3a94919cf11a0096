"""Crops with labels, of which each may be missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facewise.models.attributes import ATTRIBUTES, WORDS

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
        taught: Attribute → (N, K) probabilities of words that a teacher gives, NaN where it was not asked.
            What is labelled too is learned half by each.
    """

    crops: tuple[NDArray[np.uint8], ...]
    labels: Mapping[str, NDArray[np.float64]]
    part: NDArray[np.int64]
    name: str
    taught: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)

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
        if part == LEARN:
            asked = [np.isfinite(self.taught[name][:, 0]) for name in names if name in self.taught]
            some = np.any([some, *asked], axis=0)
        return np.flatnonzero(some & (self.part == part))

    def shares(self, name: str, indices: NDArray[np.int64], smoothing: float) -> NDArray[np.float64]:
        """(B, K) what each word has of some faces; all 0 where nothing is known.

        Args:
            name: An attribute of words.
            indices: (B,) of the faces.
            smoothing: Of labels, not of what a teacher gives.
        """
        labels, words = self.labels[name][indices].astype(np.int64), len(WORDS[name])
        known = (labels >= 0)[:, None]
        wanted = np.where(known, (1 - smoothing) * np.eye(words)[labels] + smoothing / words, 0.0)
        if name in self.taught:
            taught = self.taught[name][indices].astype(np.float64)
            asked = np.isfinite(taught[:, :1])
            taught = np.where(asked, taught, 0.0)
            wanted = np.where(known & asked, (wanted + taught) / 2, wanted + taught)
        return wanted

    def data_hash(self, names: tuple[str, ...]) -> str:
        """sha256 (hex) over crops, labels and parts of the faces that some attributes are learned from."""
        digest = hashlib.sha256(" ".join(names).encode())
        for part in (LEARN, VALIDATE):
            chosen = self.chosen(names, part)
            for name in names:
                digest.update(self.labels[name][chosen].astype(np.float64).tobytes())
                if part == LEARN and name in self.taught:
                    digest.update(self.taught[name][chosen].tobytes())
            for index in chosen.tolist():
                digest.update(self.crop(index).tobytes())
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
    taught = {
        name: np.concatenate(
            [one.taught.get(name, np.full((len(one), len(WORDS[name])), np.nan, np.float16)) for one in faces]
        )
        for name in WORDS
        if any(name in one.taught for one in faces)
    }
    return LabelledFaces(
        tuple(crops for one in faces for crops in one.crops),
        labels,
        np.concatenate([one.part for one in faces]),
        " and ".join(dict.fromkeys(one.name for one in faces)),
        taught,
    )
