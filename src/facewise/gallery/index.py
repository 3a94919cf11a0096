"""Exact search among millions: bytes are scanned, stored errors prove who can still win, float64 ranks.

Every sample x is kept as bytes x̂ too, with the distance e = |x - x̂| (see `facewise.gallery.segment`). By
Cauchy and Schwarz a probe q's similarity to x differs from its similarity to x̂ by at most |q| e. So: scan the
bytes, score the best few in float64, which gives a k-th place T that is certain, and score everyone whose
scanned similarity and error together reach T. Where the scan left out rows that could reach T by the largest
error there is, it is asked for more. The answer is that of a float64 loop over all samples, whatever they
are; only the time depends on them.

Rows whose bytes say little about them (outliers; see `Scale.usual`) are always scored: they would make the
largest error useless for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.gallery import kernels
from facewise.gallery.segment import EMPTY, Scale, Segment
from facewise.hardware import available_threads
from facewise.types import FloatArray

Found: TypeAlias = list[tuple[int, float]]
"""People and their similarity, best first."""

Slots: TypeAlias = NDArray[np.int64]

Shard: TypeAlias = tuple[Segment, int, int, int]
"""A segment, a first row and a last one (left out) of it, and the slot of the first."""

_ALONE = 16 << 20
"""Bytes of codes that one thread scans rather than share them out: a hand-over takes as long as some MiB."""

_QUICK = 1 << 25
"""Multiplications, some milliseconds, up to which a product is not left to BLAS: after each, its threads keep
the other cores busy with waiting for the next, for some 20 ms that photos are looked at meanwhile."""

_FIRST = 48  # rows asked of a shard at first
_BATCH = 64  # probes to one product
_FEW = 8  # probes up to which each is scanned alone
_ROWS = 1 << 13  # rows to one product: their scores stay in a core's cache
_SAMPLE = 1 << 14  # rows that give a batch its first k-th place
_MOST = 1 << 17  # rows kept for a probe of a batch: who has more is scanned alone
_SCORED = 1 << 13  # rows scored at a time
_CELLS = 1 << 24  # similarities at a time (64 MiB of float32)
_LONGEST = 1.002  # rows are of unit length to one in a thousand
_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class View:
    """All samples at one moment, in numbered slots.

    Attributes:
        segments: They hold the slots, one after the other.
        scale: Of their codes.
        error: Largest distance of a row to its code, of all but the outliers.
        outliers: Slots that are always scored.
        starts: First slot of each segment.
        chosen: `(slots,)` which take part, or None for all.
    """

    segments: tuple[Segment, ...]
    scale: Scale
    error: float
    outliers: Slots
    starts: tuple[int, ...]
    chosen: NDArray[np.bool_] | None = None

    @property
    def slots(self) -> int:
        """How many there are, empty ones as well."""
        return sum(segment.used for segment in self.segments)

    @cached_property
    def numbers(self) -> Slots:
        """`(slots,)` the number of each: 0, 1, 2 and so on."""
        return np.arange(self.slots)

    def shards(self, rows: int) -> list[Shard]:
        """All slots in parts of so many."""
        return [
            (segment, at, min(at + rows, segment.used), start + at)
            for segment, start in zip(self.segments, self.starts, strict=True)
            for at in range(0, segment.used, rows)
        ]

    def score(self, probe: FloatArray, slots: Slots) -> tuple[Slots, NDArray[np.float64]]:
        """`(n,)` people and similarities of slots, in float64.

        Not a BLAS product: einsum sums every row alike, so equal samples tie exactly.
        """
        people, scores = np.empty(len(slots), np.int64), np.empty(len(slots))
        wide, which = probe.astype(np.float64), np.searchsorted(self.starts, slots, side="right") - 1
        for number in np.unique(which).tolist():
            mine = np.flatnonzero(which == number)
            segment, rows = self.segments[number], slots[mine] - self.starts[number]
            people[mine] = segment.people[rows]
            for at in range(0, len(rows), _SCORED):
                some = segment.rows[rows[at : at + _SCORED]].astype(np.float64)
                scores[mine[at : at + _SCORED]] = np.einsum("nd,d->n", some, wide)
        return people, scores

    def errors(self, slots: Slots) -> FloatArray:
        """`(n,)` distances of the slots' rows to their codes."""
        found = np.empty(len(slots), np.float32)
        which = np.searchsorted(self.starts, slots, side="right") - 1
        for number in np.unique(which).tolist():
            mine = which == number
            found[mine] = self.segments[number].errors[slots[mine] - self.starts[number]]
        return found


class _Hunt:
    """One probe's search: who was scored, and who is in the k-th place."""

    def __init__(self, view: View, probe: FloatArray, k: int) -> None:
        self._view, self._probe, self._k = view, probe, k
        self._best: dict[int, float] = {}
        self.least = -np.inf
        self.length = float(np.linalg.norm(probe.astype(np.float64))) * (1 + 1e-9)
        # Rounding of a float32 dot product of unit vectors is below D·eps (Higham 2002, section 3.1).
        self.slack = (2 * len(probe) + 16) * _EPS * max(1.0, self.length)

    def take(self, slots: Slots) -> None:
        """Scores slots that take part, and lifts the k-th place."""
        if self._view.chosen is not None:
            slots = slots[self._view.chosen[slots]]
        people, scores = self._view.score(self._probe, slots)
        order = np.lexsort((-scores, people))
        order = order[np.searchsorted(people[order], EMPTY, side="right") :]
        if not len(order):
            return
        first = order[np.append(True, np.diff(people[order]) != 0)]
        for person, score in zip(people[first].tolist(), scores[first].tolist(), strict=True):
            if score > self._best.get(person, -np.inf):
                self._best[person] = score
        if len(self._best) >= self._k:
            values = np.fromiter(self._best.values(), np.float64, len(self._best))
            at = len(values) - self._k
            self.least = float(np.partition(values, at)[at])

    def sift(self, scanned: FloatArray, slots: Slots, more: float = 0.0) -> None:
        """Scores those of some slots that can be among the k best.

        Args:
            scanned: `(n,)` similarities by the codes.
            slots: `(n,)` their slots.
            more: What else they may be off by than their own errors.
        """
        sure = min(len(slots), 2 * self._k)
        if sure < len(slots):
            split = np.argpartition(-scanned, sure)
            self.take(slots[split[:sure]])
            scanned, slots = scanned[split[sure:]], slots[split[sure:]]
            reach = scanned + self.length * self._view.errors(slots) + (self.slack + more)
            slots = slots[reach >= self.least]
        self.take(slots)

    def ranked(self, window: float = 0.0) -> Found:
        """The k best, and whoever else is within `window` of the k-th."""
        order = sorted((-score, person) for person, score in self._best.items())
        best = order[: self._k]
        best += [one for one in order[self._k :] if window and -one[0] >= self.least - window]
        return [(person, float(np.clip(-score, -1.0, 1.0))) for score, person in best]


def best_people(view: View, probes: FloatArray, k: int) -> list[Found]:
    """The k people most like each of `(P, D)` probes, by their best sample; people that tie by number.

    Few probes are scanned one by one, each by all threads; many go through one product of bytes.
    """
    if len(probes) <= _FEW:
        return [_alone(view, probe, k) for probe in probes]
    blocks = (probes[at : at + _BATCH] for at in range(0, len(probes), _BATCH))
    return [found for block in blocks for found in _together(view, block, k)]


def by_product(view: View, probes: FloatArray, k: int, window: float = 0.0) -> list[Found]:
    """As `best_people`, by a float32 product with all rows; for few of them.

    Args:
        view: All samples.
        probes: `(P, D)`.
        k: How many people.
        window: Also those whose similarity is so little below the k-th.
    """
    found: list[Found] = []
    step = max(1, _CELLS // max(1, view.slots))
    for at in range(0, len(probes), step):
        block = probes[at : at + step]
        scores = np.concatenate([_product(block, s.rows[: s.used]) for s in view.segments], axis=1)
        owners = np.concatenate([s.people[: s.used] for s in view.segments])
        there = owners != EMPTY if view.chosen is None else view.chosen & (owners != EMPTY)
        slots = np.flatnonzero(there)
        for probe, mine in zip(block, scores[:, slots], strict=True):
            found.append(_by_scores(_Hunt(view, probe, k), mine, slots, k, window))
    return found


def _product(probes: FloatArray, rows: FloatArray) -> FloatArray:
    """`(P, n)`."""
    found: FloatArray = (
        np.einsum("pd,nd->pn", probes, rows) if len(probes) * rows.size <= _QUICK else probes @ rows.T
    )
    return found


def _by_scores(hunt: _Hunt, scores: FloatArray, slots: Slots, k: int, window: float) -> Found:
    count = 2 * k + 16
    while count < len(slots):
        split = np.argpartition(-scores, count)
        hunt.take(slots[split[:count]])
        if hunt.least > -np.inf:
            rest = split[count:]
            hunt.take(slots[rest[scores[rest] >= hunt.least - window - hunt.slack]])
            return hunt.ranked(window)
        count *= 8
    hunt.take(slots)
    return hunt.ranked(window)


def _alone(view: View, probe: FloatArray, k: int) -> Found:
    """One probe: FAISS scans a shard a thread."""
    hunt, near = _Hunt(view, probe, k), _Bytes.of(view, probe[None], kernels.LARGEST)
    hunt.take(view.outliers)
    off = float(near.off[0])
    scan = _Scan(view, near.codes[0].astype(np.float32), float(near.units[0]), _selector(view.chosen))
    least = max(1024, _ALONE // max(1, probe.size))
    shards = view.shards(max(least, -(-view.slots // available_threads())))
    margin = hunt.length * view.error + hunt.slack + off
    count = max(_FIRST, 4 * k)
    while shards:
        scanned = _in_threads(partial(scan, count), shards)
        hunt.sift(np.concatenate([s for s, _ in scanned]), np.concatenate([at for _, at in scanned]), off)
        shards = [
            shard
            for shard, (scores, _) in zip(shards, scanned, strict=True)
            if len(scores) == count < shard[2] - shard[1] and float(scores.min()) + margin >= hunt.least
        ]
        count *= 8
    return hunt.ranked()


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    """Probes as bytes: what the kernels multiply.

    Attributes:
        codes: `(P, D)` int8.
        units: `(P,)` similarity a unit of the integer scores.
        off: `(P,)` what a similarity may be off by because of the probe's own rounding.
    """

    codes: NDArray[np.int8]
    units: NDArray[np.float64]
    off: NDArray[np.float64]

    @classmethod
    def of(cls, view: View, probes: FloatArray, largest: int) -> _Bytes:
        """`(P, D)` probes, each on its own scale."""
        wide = probes.astype(np.float64)
        steps = np.maximum(np.abs(wide).max(axis=1), float(np.finfo(np.float32).tiny)) / largest
        codes = np.rint(wide / steps[:, None])
        lost = np.linalg.norm(wide - codes * steps[:, None], axis=1)
        return cls(codes.astype(np.int8), steps / view.scale.factor, lost * (_LONGEST + view.error))


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """The scan of a shard for one probe, given as `(D,)` integers."""

    view: View
    probe: FloatArray
    unit: float
    selector: Any

    def __call__(self, count: int, shard: Shard) -> tuple[FloatArray, Slots]:
        segment, first, stop, slot = shard
        numbers = self.view.numbers[slot : slot + stop - first]
        scores, slots = kernels.scan(
            segment.codes[first:stop], self.probe, min(count, stop - first), numbers, self.selector
        )
        return scores * np.float32(self.unit), slots


def _together(view: View, probes: FloatArray, k: int) -> list[Found]:
    """Many probes: a product of bytes for each few thousand rows, from which what may still win is kept."""
    hunts = [_Hunt(view, probe, k) for probe in probes]
    near = _Bytes.of(view, probes, kernels.largest_factor())
    units, off = near.units, near.off
    columns = np.ascontiguousarray(near.codes.T)
    shards = view.shards(_ROWS)
    first = max(1, _SAMPLE // _ROWS)
    for hunt in hunts:
        hunt.take(view.outliers)
    some = _in_threads(lambda shard: kernels.products(shard[0].codes[shard[1] : shard[2]], columns),
                       shards[:first])  # fmt: skip
    for p, hunt in enumerate(hunts):
        _begin(hunt, shards[:first], [scores[:, p] for scores in some], k)
    least = np.array([hunt.least for hunt in hunts])
    margin = np.array([h.length * view.error + h.slack for h in hunts]) + off
    lowest = np.clip(np.floor((least - margin) / units), -(2.0**31), 2.0**31 - 1).astype(np.int32)
    lowest[least == -np.inf] = np.iinfo(np.int32).max  # not one k-th place yet: that one goes alone
    hits = _in_threads(_hitting(view, columns, lowest), shards)
    probe_of = np.concatenate([p for p, _, _ in hits])
    slots, scores = np.concatenate([s for _, s, _ in hits]), np.concatenate([v for _, _, v in hits])
    order = np.argsort(probe_of, kind="stable")
    bounds = np.searchsorted(probe_of[order], np.arange(len(probes) + 1))
    found: list[Found] = []
    for p, hunt in enumerate(hunts):
        mine = order[bounds[p] : bounds[p + 1]]
        if least[p] == -np.inf or len(mine) > _MOST:
            found.append(_alone(view, probes[p], k))
            continue
        hunt.sift((scores[mine] * units[p]).astype(np.float32), slots[mine], float(off[p]))
        found.append(hunt.ranked())
    return found


def _begin(hunt: _Hunt, shards: Sequence[Shard], scores: Sequence[NDArray[np.int32]], k: int) -> None:
    """A first k-th place, from the best of a few thousand rows."""
    all_scores = np.concatenate(scores)
    slots = np.concatenate([np.arange(slot, slot + stop - first) for _, first, stop, slot in shards])
    count = min(len(slots), 2 * k + 16)
    hunt.take(slots[np.argpartition(-all_scores, count - 1)[:count]])


def _hitting(
    view: View, columns: NDArray[np.int8], lowest: NDArray[np.int32]
) -> Callable[[Shard], tuple[Slots, Slots, NDArray[np.int32]]]:
    def hit(shard: Shard) -> tuple[Slots, Slots, NDArray[np.int32]]:
        segment, first, stop, slot = shard
        scores = kernels.products(segment.codes[first:stop], columns)
        at = np.flatnonzero(scores >= lowest)
        row, probe = np.divmod(at, len(lowest))
        if view.chosen is not None:
            keep = view.chosen[slot + row]
            at, row, probe = at[keep], row[keep], probe[keep]
        return probe, slot + row, scores.ravel()[at]

    return hit


def _selector(chosen: NDArray[np.bool_] | None) -> Any:
    if chosen is None:
        return None
    import faiss  # noqa: PLC0415  only large galleries need it

    make: Any = faiss.IDSelectorBitmap  # whose Python wrapper takes an array, which its types do not know
    return make(np.packbits(chosen, bitorder="little"))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_threads(), thread_name_prefix="facewise-index")


def _in_threads(work: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """The work on each part, side by side: FAISS and ONNX Runtime leave Python's lock meanwhile."""
    return [work(parts[0])] if len(parts) == 1 else list(_pool().map(work, parts))
