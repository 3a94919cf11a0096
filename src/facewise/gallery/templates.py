"""One template a person, the unit mean of their samples, and the search by them."""

from __future__ import annotations

import numpy as np

from facewise.gallery.index import View, by_product
from facewise.gallery.segment import EMPTY, Scale, Segment
from facewise.models.quality import QualityRule
from facewise.types import FloatArray

_TINY = float(np.finfo(np.float32).tiny)
_BLOCK = 1 << 14
_ROUNDED = 1e-5
"""What rounding templates and weights to float32 can do to the difference of two similarities, and far more:
whoever is so near the last place is scored again without."""


class Templates:
    """Everybody's template at one moment; `(K, D)` float32 in memory.

    Args:
        view: All samples.
        rule: By whose qualities samples are weighed, or None: all alike.
    """

    def __init__(self, view: View, rule: QualityRule | None = None) -> None:
        self.rule = rule
        size = view.segments[0].rows.shape[1] if view.segments else 0
        self._people = np.unique(np.concatenate([[EMPTY], *(s.people[: s.used] for s in view.segments)]))[1:]
        sums = np.zeros((len(self._people), size))
        for segment in view.segments:
            people = segment.people[: segment.used]
            order = np.argsort(people, kind="stable")
            order = order[np.searchsorted(people[order], EMPTY, side="right") :]
            begins = np.flatnonzero(np.diff(people[order], prepend=EMPTY))
            for at in range(0, len(begins), 4096):
                stop = begins[at + 4096] if at + 4096 < len(begins) else len(order)
                rows = segment.rows[order[begins[at] : stop]]
                who = np.searchsorted(self._people, people[order[begins[at : at + 4096]]])
                sums[who] += np.add.reduceat(
                    self._weighed(rows), begins[at : at + 4096] - begins[at], axis=0, dtype=np.float64
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

    def _weighed(self, rows: FloatArray) -> FloatArray:
        """(n, D) samples by their quality, at least a hundredth of the best."""
        if self.rule is None:
            return rows
        weights = [
            np.maximum(self.rule.of(rows[at : at + _BLOCK]), 0.01) for at in range(0, len(rows), _BLOCK)
        ]
        weighed: FloatArray = rows * np.concatenate([np.empty(0, np.float32), *weights])[:, np.newaxis]
        return weighed

    def _again(
        self, view: View, probe: FloatArray, best: list[tuple[int, float]], k: int
    ) -> list[tuple[int, float]]:
        people = np.array([person for person, _ in best], dtype=np.int64)
        sums = np.zeros((len(people), len(probe)))
        order = np.argsort(people)
        for segment in view.segments:
            slots = np.flatnonzero(np.isin(segment.people[: segment.used], people))
            at = order[np.searchsorted(people[order], segment.people[slots])]
            np.add.at(sums, at, self._weighed(segment.rows[slots]).astype(np.float64))
        norms = np.maximum(np.linalg.norm(sums, axis=1), _TINY)
        scores = np.clip(np.einsum("nd,d->n", sums, probe.astype(np.float64)) / norms, -1.0, 1.0)
        ranked = np.lexsort((people, -scores))[:k]
        return [(int(people[i]), float(scores[i])) for i in ranked]
