"""Who was compared with whom, and how alike they were found: what a calibration is fitted to.

Either all pairs of a set of photos, made block by block and never kept, or pairs that somebody listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**21
"""Pairs made at once: some 60 MB with their people."""

Scores = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some pairs.

    Attributes:
        similarities: (B,) in [-1, 1].
        first: (B,) integers, who is in the first photo.
        second: (B,) who is in the second; the same person in a genuine pair.
    """

    similarities: Scores
    first: NDArray[np.integer]
    second: NDArray[np.integer]


class Comparisons(Protocol):
    """Pairs of photos of people numbered 0 … M - 1."""

    people: int
    """M, some of whom may be in no pair."""

    genuine_pairs: Ints
    """(M,) pairs of one person, by person."""

    impostor_pairs: Ints
    """(M,) pairs of two people that each person is in."""

    meetings: int
    """How many different pairs of two people were compared, each however often."""

    meeting_squares: float
    """Sum over these of the squared number of pairs of photos."""

    def blocks(self) -> Iterator[Block]:
        """All pairs, each once; they can be gone through several times."""
        ...

    def pairs_between(self, first: Ints, second: Ints) -> Ints:
        """(K,) how many pairs of photos there are of each of K pairs of two people who were compared."""
        ...


class AllPairs:
    """Every photo with every other."""

    def __init__(self, vectors: NDArray[np.float32], labels: Ints) -> None:
        """Args: vectors: (N, D) unit embeddings. labels: (N,) 0 … M - 1, who is in each."""
        order = np.argsort(labels, kind="stable")
        self._vectors, self._labels = vectors[order], labels[order].astype(np.int32)
        self._photos = np.bincount(labels).astype(np.int64)
        self.people = len(self._photos)
        self.genuine_pairs: Ints = self._photos * (self._photos - 1) // 2
        self.impostor_pairs: Ints = self._photos * (len(labels) - self._photos)
        present = int(np.count_nonzero(self._photos))
        self.meetings = present * (present - 1) // 2
        squares = self._photos.astype(np.float64) ** 2
        self.meeting_squares = float((squares.sum() ** 2 - (squares**2).sum()) / 2.0)

    def blocks(self) -> Iterator[Block]:
        """See `Comparisons.blocks`."""
        total = len(self._labels)
        step = max(1, _BLOCK // total)
        for start in range(0, total, step):
            stop = min(start + step, total)
            scores = np.clip(self._vectors[start:stop] @ self._vectors[start:].T, -1.0, 1.0)
            later = np.arange(total - start) > np.arange(stop - start)[:, np.newaxis]
            after = total - start - 1 - np.arange(stop - start)  # photos each row is compared with
            second = np.broadcast_to(self._labels[start:], later.shape)[later]
            yield Block(scores[later], np.repeat(self._labels[start:stop], after), second)

    def pairs_between(self, first: Ints, second: Ints) -> Ints:
        """See `Comparisons.pairs_between`."""
        pairs: Ints = self._photos[first] * self._photos[second]
        return pairs


class ListedPairs:
    """Pairs that are given."""

    def __init__(self, similarities: Scores, first: Ints, second: Ints) -> None:
        """Args: similarities: (P,). first, second: (P,) numbers 0 … M - 1, who is in each photo."""
        self._block = Block(similarities, first, second)
        self.people = int(max(first.max(), second.max())) + 1
        same = first == second
        self.genuine_pairs: Ints = np.bincount(first[same], minlength=self.people).astype(np.int64)
        one, two = first[~same], second[~same]
        both = np.bincount(one, minlength=self.people) + np.bincount(two, minlength=self.people)
        self.impostor_pairs: Ints = both.astype(np.int64)
        self._met, self._often = np.unique(meeting_keys(one, two, self.people), return_counts=True)
        self.meetings = len(self._met)
        self.meeting_squares = float((self._often.astype(np.float64) ** 2).sum())

    def blocks(self) -> Iterator[Block]:
        """See `Comparisons.blocks`."""
        yield self._block

    def pairs_between(self, first: Ints, second: Ints) -> Ints:
        """See `Comparisons.pairs_between`."""
        keys = meeting_keys(first, second, self.people)
        return self._often[np.searchsorted(self._met, keys)].astype(np.int64)


def meeting_keys(first: NDArray[np.integer], second: NDArray[np.integer], people: int) -> Ints:
    """(K,) a number for each pair of two people, whichever comes first."""
    keys: Ints = np.minimum(first, second).astype(np.int64) * people + np.maximum(first, second)
    return keys
