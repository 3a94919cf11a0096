"""Parts for cross-validation that hold for any number of photos a person, down to one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Folds:
    """Every photo is held out once, but those of people with one photo never: they are always learned from.

    So every part teaches everybody, and nobody needs as many photos as there are parts: two photos are held
    out in two of five, one each.

    Args:
        labels: (N,) who is on each photo; somebody has two.
        folds: How many parts, 2 or more.
        seed: Which photos are held out together.

    Attributes:
        held_out: (N,) the part in which a photo is held out, -1 for none.
    """

    def __init__(self, labels: Ints, folds: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        counts = np.bincount(labels)
        self.held_out = np.full(len(labels), -1, np.int64)
        dealt = 0
        for person in np.flatnonzero(counts >= 2):
            photos = rng.permutation(np.flatnonzero(labels == person))
            # Dealt on from person to person, so that parts are of one size.
            self.held_out[photos] = (dealt + np.arange(len(photos))) % folds
            dealt += len(photos)
        self.count = min(folds, dealt)

    def __iter__(self) -> Iterator[tuple[Ints, Ints]]:
        """Photos to learn from, and photos held out."""
        for fold in range(self.count):
            out = self.held_out == fold
            yield np.flatnonzero(~out), np.flatnonzero(out)
