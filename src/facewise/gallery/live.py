"""The search matrix, in step with the store: extended by own enrolments, loaded anew after anything else."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from facewise.gallery.results import Sample
from facewise.gallery.search import Matrix
from facewise.gallery.store import Change, Store


class LiveMatrix:
    """Hands out the newest matrix; many threads may ask.

    Args:
        store: Where the samples are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: Hashable = None
        self._matrix = Matrix(np.empty((0, 0), np.float32), np.empty(0, np.int64))
        self._names: dict[int, str] = {}

    def current(self) -> tuple[Matrix, Mapping[int, str]]:
        """The matrix of all samples in the store now, and the names of its people by id."""
        with self._lock:
            if self._seen is None or self._store.version() != self._seen:
                loaded = self._store.load()
                self._matrix, self._names = Matrix(loaded.rows, loaded.people), loaded.names
                self._seen = loaded.version
            return self._matrix, self._names

    def apply(self, change: Change, batches: Sequence[tuple[str, Sequence[Sample]]]) -> None:
        """Takes in what `Store.add` has just stored, so that enrolling N people does not load N galleries."""
        with self._lock:
            if change.before != self._seen or not len(self._matrix):
                return  # something else changed as well: the next search loads everything
            for (name, samples), added in zip(batches, change.added, strict=True):
                if added.person is not None and added.stored:
                    rows = np.stack([samples[i].embedding for i in added.stored]).astype(np.float32)
                    self._matrix = self._matrix.added(rows, np.full(len(rows), added.person, dtype=np.int64))
                    # In place: ids are never used again, so a search under way does not ask for this one.
                    self._names[added.person] = name
            self._seen = change.after
