"""One template a person, the unit mean of their samples, and the search by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facewise.gallery.index import View, by_product
from facewise.gallery.segment import EMPTY, Scale, Segment
from facewise.models.quality import QualityRule
from facewise.types import FloatArray

_TINY = float(np.finfo(np.float32).tiny)
_BLOCK = 1 << 14
"""Samples whose quality is told at a time."""

_ROUNDED = 1e-5
"""What rounding templates and weights to float32 can do to the difference of two similarities, and far more:
whoever is so near the last place is scored again without."""


class Weights:
    """How much each sample counts, by the quality of its photo: at least a hundredth of the best.

    A sample's is computed once, whatever is added and removed meanwhile.

    Args:
        rule: What tells qualities.
    """

    def __init__(self, rule: QualityRule) -> None:
        self.rule = rule
        self._samples = np.empty(0, np.int64)  # ascending
        self._values = np.empty(0, np.float32)

    def of(self, segment: Segment) -> FloatArray:
        """`(used,)` those of the samples in a segment's slots; 0 for an empty slot."""
        samples = segment.samples[: segment.used]
        new = np.flatnonzero(~np.isin(samples, self._samples) & (samples != EMPTY))
        if len(new):
            values = [
                np.maximum(self.rule.of(segment.rows[new[at : at + _BLOCK]]), 0.01)
                for at in range(0, len(new), _BLOCK)
            ]
            all_samples = np.concatenate([self._samples, samples[new]])
            order = np.argsort(all_samples)
            self._samples = all_samples[order]
            self._values = np.concatenate([self._values, *values])[order]
        found = np.zeros(len(samples), np.float32)
        there = samples != EMPTY
        found[there] = self._values[np.searchsorted(self._samples, samples[there])]
        return found


class Templates:
    """Everybody's template at one moment; `(K, D)` float32 in memory.

    Args:
        view: All samples.
        weights: How much each counts, or None: all alike.
    """

    def __init__(self, view: View, weights: Weights | None = None) -> None:
        self.rule = None if weights is None else weights.rule
        self._weights = None if weights is None else [weights.of(segment) for segment in view.segments]
        size = view.segments[0].rows.shape[1] if view.segments else 0
        self._people = np.unique(np.concatenate([[EMPTY], *(s.people[: s.used] for s in view.segments)]))[1:]
        sums = np.zeros((len(self._people), size))
        for number, segment in enumerate(view.segments):
            people = segment.people[: segment.used]
            order = np.argsort(people, kind="stable")
            order = order[np.searchsorted(people[order], EMPTY, side="right") :]
            begins = np.flatnonzero(np.diff(people[order], prepend=EMPTY))
            for at in range(0, len(begins), 4096):
                stop = begins[at + 4096] if at + 4096 < len(begins) else len(order)
                rows = self._weighed(view, number, order[begins[at] : stop])
                who = np.searchsorted(self._people, people[order[begins[at : at + 4096]]])
                sums[who] += np.add.reduceat(
                    rows, begins[at : at + 4096] - begins[at], axis=0, dtype=np.float64
                )
        # Samples that cancel out have no direction: such a template is like nobody (similarity 0).
        norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _TINY)
        rows = np.asarray(sums / norms, dtype=np.float32)
        n = len(rows)
        unused = np.zeros((n, 1), dtype=np.uint8)
        self._segment = Segment(unused, rows, np.zeros(n, np.float32), self._people, self._people, n)

    def best(self, view: View, probes: FloatArray, k: int) -> list[list[tuple[int, float]]]:
        """As `index.best_people`, by the mean of each person's samples, computed in float64."""
        chosen = None
        if view.chosen is not None:
            owners = np.concatenate([s.people[: s.used] for s in view.segments])
            chosen = np.isin(self._people, owners[view.chosen])
        mine = View((self._segment,), Scale(1.0, np.inf), 0.0, np.empty(0, np.int64), (0,), chosen)
        likely = by_product(
            mine, probes, min(k, len(self._people) if chosen is None else int(chosen.sum())), _ROUNDED
        )
        return [self._again(view, probe, best, k) for probe, best in zip(probes, likely, strict=True)]

    def _weighed(self, view: View, number: int, slots: NDArray[np.int64]) -> FloatArray:
        """`(n, D)` samples of a segment, as much as they count."""
        rows = view.segments[number].rows[slots]
        if self._weights is None:
            return rows
        weighed: FloatArray = rows * self._weights[number][slots, np.newaxis]
        return weighed

    def _again(
        self, view: View, probe: FloatArray, best: list[tuple[int, float]], k: int
    ) -> list[tuple[int, float]]:
        people = np.array([person for person, _ in best], dtype=np.int64)
        sums = np.zeros((len(people), len(probe)))
        order = np.argsort(people)
        for number, segment in enumerate(view.segments):
            slots = np.flatnonzero(np.isin(segment.people[: segment.used], people))
            at = order[np.searchsorted(people[order], segment.people[slots])]
            np.add.at(sums, at, self._weighed(view, number, slots).astype(np.float64))
        norms = np.maximum(np.linalg.norm(sums, axis=1), _TINY)
        scores = np.clip(np.einsum("nd,d->n", sums, probe.astype(np.float64)) / norms, -1.0, 1.0)
        ranked = np.lexsort((people, -scores))[:k]
        return [(int(people[i]), float(scores[i])) for i in ranked]
