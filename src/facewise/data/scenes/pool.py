"""The photos scenes are made of."""

from __future__ import annotations

import numpy as np

from facewise.data.scenes.photos import LabelledPhoto, PhotoStore
from facewise.errors import DatasetError


class Pool:
    """The photos scenes are made of: those to learn from, or those held out. It pickles as its store."""

    def __init__(self, store: PhotoStore, *, held_out: bool, half: int | None = None) -> None:
        """Choose.

        Args:
            store: All photos.
            held_out: Those held out, or those to learn from.
            half: Every second one only, from the first (0) or the second (1): on one half of what is held out
                a threshold can be set that the other half measures.

        Raises:
            DatasetError: There is no such photo.
        """
        self.store, self.held_out = store, held_out
        chosen = store.held_out == held_out
        part = slice(half, None, None if half is None else 2)
        self._real = np.flatnonzero(chosen & ~store.drawn)[part]
        self._drawn = np.flatnonzero(chosen & store.drawn)[part]
        if not len(self._real):
            self._real = self._drawn
        if not len(self._real):
            raise DatasetError(
                f"None of the photos in {store.folder} are {'' if held_out else 'not '}held out."
            )
        if not len(self._drawn):
            self._drawn = self._real

    def real(self, rng: np.random.Generator) -> LabelledPhoto:
        """A photograph; where there is none a drawn photo."""
        return self.store[int(self._real[int(rng.integers(len(self._real)))])]

    def drawn(self, rng: np.random.Generator) -> LabelledPhoto:
        """A photo of a drawn person; where there is none a photograph."""
        return self.store[int(self._drawn[int(rng.integers(len(self._drawn)))])]
