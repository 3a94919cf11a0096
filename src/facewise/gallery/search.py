"""Exact cosine search in memory: one float32 matrix product for all probes, people scored from their samples.

A person is scored either by the best of their samples or by their template, the unit mean of the samples.
The float32 product only chooses who can still win: everyone within its rounding error of the k-th place is
scored again in float64, so the ranking is that of a float64 loop.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import GalleryError, SettingError
from facewise.types import FloatArray

Scoring: TypeAlias = Literal["best", "mean"]
"""How samples make a person's score: the best sample's similarity, or the similarity to their unit mean."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 a norm may be: room for float16 storage, none for a vector nobody normalised."""

_BLOCK = 1 << 24  # similarities at a time (64 MiB of float32)


def checked_embeddings(embeddings: ArrayLike, size: int | None = None) -> FloatArray:
    """Embeddings as C-contiguous float32 `(N, D)`, refused unless they are ones.

    Args:
        embeddings: `(N, D)`, or `(D,)` for one.
        size: The D they must have, or None for any.

    Raises:
        GalleryError: Wrong shape or size, a value that is not finite, or a norm that is not 1.
    """
    array = np.asarray(embeddings)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] == 0 or not np.issubdtype(array.dtype, np.floating):
        raise GalleryError(f"Embeddings are rows of real numbers, (N, D); got {array.dtype} {array.shape}.")
    if size is not None and array.shape[1] != size:
        raise GalleryError(f"Embeddings here have {size} values each, and these have {array.shape[1]}.")
    if not np.isfinite(array).all():
        raise GalleryError("An embedding holds a value that is not finite: embed its photo again.")
    rows = np.ascontiguousarray(array, dtype=np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    wrong = np.flatnonzero(np.abs(norms - 1) > UNIT_TOLERANCE)
    if len(wrong):
        raise GalleryError(
            f"An embedding has length {norms[wrong[0]]:.4g}, not 1: normalise it, once, where it is made."
        )
    return rows


def check_asked(k: int, scoring: Scoring) -> None:
    """Refuses what no search can answer.

    Raises:
        SettingError: Fewer than one candidate, or a scoring there is not.
    """
    if scoring not in get_args(Scoring):
        raise SettingError(f"Scoring is 'best' or 'mean', not {scoring!r}.")
    if k < 1:
        raise SettingError(f"The number of candidates must be at least 1, not {k}.")


class _Block:
    """Samples sorted by person, so that one `reduceat` reduces each person's columns."""

    def __init__(self, rows: FloatArray, people: NDArray[np.int64]) -> None:
        order = np.argsort(people, kind="stable")
        if not np.array_equal(order, np.arange(len(order))):
            rows, people = rows[order], people[order]
        self.rows = rows
        self.people, self.starts = np.unique(people, return_index=True)
        self.stops = np.append(self.starts[1:], len(rows)) if len(rows) else self.starts

    def labels(self) -> NDArray[np.int64]:
        """`(N,)` the person of each row."""
        return np.repeat(self.people, self.stops - self.starts)

    def samples(self, person: int) -> FloatArray:
        """`(n, D)` one person's rows, perhaps none."""
        at = int(np.searchsorted(self.people, person))
        if at == len(self.people) or self.people[at] != person:
            return self.rows[:0]
        return self.rows[self.starts[at] : self.stops[at]]


class Matrix:
    """A gallery's samples, ready to be searched. Never changes: `added` makes a new one that shares the rows.

    So a search needs no lock: it keeps the matrix it started with while enrolments make the next one.

    Args:
        rows: `(N, D)` float32 unit vectors.
        people: `(N,)` the id of the person each row belongs to.
    """

    def __init__(self, rows: FloatArray, people: NDArray[np.int64]) -> None:
        self._main = _Block(rows, people)
        self._tail = _Block(rows[:0], people[:0])
        self.ids: NDArray[np.int64] = self._main.people

    def __len__(self) -> int:
        return len(self._main.rows) + len(self._tail.rows)

    def added(self, rows: FloatArray, people: NDArray[np.int64]) -> Matrix:
        """This matrix and a few more samples, without sorting or copying the many that were there."""
        tail_people = np.concatenate([self._tail.labels(), people])
        tail_rows = np.concatenate([self._tail.rows, rows])
        # A copy of the tail for each addition costs T rows, a rebuild every T additions N: T ~ sqrt(2 N).
        if len(tail_rows) > 64 + math.isqrt(2 * len(self._main.rows)):
            rows, people = np.concatenate([self._main.rows, tail_rows]), self._main.labels()
            return Matrix(rows, np.concatenate([people, tail_people]))
        new = Matrix.__new__(Matrix)
        new._main = self._main
        new._tail = _Block(tail_rows, tail_people)
        new.ids = np.union1d(new._main.people, new._tail.people)
        return new

    def top(self, probes: FloatArray, k: int, scoring: Scoring = "best") -> list[list[tuple[int, float]]]:
        """The k people most like each probe.

        Args:
            probes: `(P, D)` float32 unit vectors.
            k: How many people; fewer where the gallery has fewer.
            scoring: `"best"` sample or `"mean"` template.

        Returns:
            For each probe `(person id, cosine similarity)`, best first; people that tie by id.

        Raises:
            SettingError: An unknown scoring, or k below 1.
        """
        check_asked(k, scoring)
        if not len(self):
            return [[] for _ in probes]
        if probes.shape[1] != self._main.rows.shape[1]:
            raise GalleryError(
                f"The gallery holds embeddings of {self._main.rows.shape[1]} values, not {probes.shape[1]}."
            )
        step = max(1, _BLOCK // len(self))
        found: list[list[tuple[int, float]]] = []
        for at in range(0, len(probes), step):
            block = probes[at : at + step]
            scores = self._best(block) if scoring == "best" else block @ self._templates.T
            found += [self._ranked(p, s, k, scoring) for p, s in zip(block, scores, strict=True)]
        return found

    def _best(self, probes: FloatArray) -> FloatArray:
        """`(P, K)` similarity of each probe to each person's best sample, float32."""
        scores = np.full((len(probes), len(self.ids)), -np.inf, dtype=np.float32)
        for block in (self._main, self._tail):
            if len(block.rows):
                best = np.maximum.reduceat(probes @ block.rows.T, block.starts, axis=1)
                at = np.searchsorted(self.ids, block.people)
                scores[:, at] = np.maximum(scores[:, at], best)
        return scores

    @cached_property
    def _templates(self) -> FloatArray:
        """`(K, D)` unit mean of each person's samples; made when first asked for."""
        sums = np.zeros((len(self.ids), self._main.rows.shape[1]))
        for block in (self._main, self._tail):
            if len(block.rows):
                at = np.searchsorted(self.ids, block.people)
                sums[at] += np.add.reduceat(block.rows, block.starts, axis=0, dtype=np.float64)
        # Samples that cancel out have no direction: such a template is like nobody (similarity 0).
        norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.asarray(sums / norms, dtype=np.float32)

    def _ranked(
        self, probe: FloatArray, scores: FloatArray, k: int, scoring: Scoring
    ) -> list[tuple[int, float]]:
        """The k best of one probe's float32 scores `(K,)`, scored again and ranked in float64."""
        k = min(k, len(scores))
        # Rounding of a float32 dot product of unit vectors is below D·eps (Higham 2002, section 3.1); twice
        # that and a little for the template's own rounding keeps all who may truly be among the k best.
        slack = (2 * len(probe) + 8) * float(np.finfo(np.float32).eps)
        least = float(np.partition(scores, len(scores) - k)[len(scores) - k]) - slack
        near = np.flatnonzero(scores >= least)
        exact = np.array([self._exact(probe, int(self.ids[i]), scoring) for i in near])
        best = np.lexsort((near, -exact))[:k]
        return [(int(self.ids[near[i]]), float(np.clip(exact[i], -1, 1))) for i in best]

    def _exact(self, probe: FloatArray, person: int, scoring: Scoring) -> float:
        """One person's score in float64."""
        rows = np.concatenate([b.samples(person) for b in (self._main, self._tail)]).astype(np.float64)
        if scoring == "best":
            # Not a BLAS product: einsum sums every row alike, so equal samples tie exactly.
            return float(np.einsum("nd,d->n", rows, probe.astype(np.float64)).max())
        mean = rows.sum(axis=0)
        return float(mean @ probe / max(float(np.linalg.norm(mean)), float(np.finfo(np.float32).tiny)))
