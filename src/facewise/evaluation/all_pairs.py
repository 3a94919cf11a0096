"""All pairs of a set of photos: block by block, each compared once and none kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.evaluation.pair_protocol import supported_fmrs
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.metrics import Interval
from facewise.metrics.bootstrap import percentile_interval, resample
from facewise.metrics.score_counts import ScoreCounts, ScoreCountsResult, cell_of

_BLOCK = 2**22
"""Similarities held at once: 16 MB, and a few temporaries of that size."""

_REPEATS, _SEED, _LEVEL = 1000, 0, 0.95

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HardPerson:
    """Somebody whose own photos the model does not find alike.

    Attributes:
        name: Who.
        pairs: Pairs of their photos.
        missed: Those below the threshold of the lowest supported FMR.
    """

    name: str
    pairs: int
    missed: int


@dataclass(frozen=True, slots=True, eq=False)
class AllPairsResult:
    """How well all pairs of the photos are told apart.

    Attributes:
        metrics: TAR at FMR, EER, AUC.
        intervals: Of `auc` and `tar@fmr=…`: people with two photos or more are resampled with all their
            pairs; thresholds and impostors stay as they are. Empty where only one has two.
        tar_by_person: Mean over people of each one's own TAR, one a target rate: in the pooled one somebody
            with a hundred photos weighs as much as 4,950 people with two.
        people: How many have two photos or more.
        hardest: Who is missed most often at the lowest rate, the worst first.
        two_faces: How many pairs of one person and of two have two faces.
    """

    metrics: ScoreCountsResult
    intervals: dict[str, Interval]
    tar_by_person: tuple[float, ...]
    people: int
    hardest: tuple[HardPerson, ...]
    two_faces: tuple[int, int]

    def fmr_of_two_faces(self) -> dict[str, float]:
        """FMR over the pairs with two faces at each threshold, by the rate it was set for.

        See `ScoredPairs.fmr_of_two_faces`.
        """
        if not self.two_faces[1]:
            return {}
        share = self.metrics.impostors / self.two_faces[1]
        return {f"{point.fmr_target:g}": point.fmr * share for point in self.metrics.operating_points}

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            **self.metrics.to_dict(),
            "pairs_of_two_faces": dict(zip(("genuine", "impostors"), self.two_faces, strict=True)),
            "fmr_of_two_faces": self.fmr_of_two_faces(),
            "tar_by_person": list(self.tar_by_person),
            "people_with_genuine_pairs": self.people,
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "intervals_resample": "people, with all their genuine pairs; thresholds and impostors stay",
            "hardest_people": [asdict(person) for person in self.hardest],
        }


def all_pairs(
    vectors: Scores, faceless: NDArray[np.bool_], labels: NDArray[np.int64], names: Sequence[str]
) -> AllPairsResult:
    """Compare every photo with every other.

    Args:
        vectors: (N, D) embeddings.
        faceless: (N,) where there is none; such pairs are scored `NO_FACE_SIMILARITY`.
        labels: (N,) the person of each, as a position in `names`.
        names: The people.

    Raises:
        DatasetError: Nobody has two photos, or there is only one person.
    """
    order = np.argsort(labels, kind="stable")
    vectors, faceless, labels = vectors[order], faceless[order], labels[order]
    photos = np.bincount(labels, minlength=len(names))
    if len(np.unique(labels)) < 2 or photos.max() < 2:
        raise DatasetError("All pairs need two people, and somebody with two photos.")
    counts = ScoreCounts()
    for genuine, impostors in _blocks(vectors, faceless, labels):
        counts.update(genuine, impostors)
    faced = np.bincount(labels[~faceless], minlength=len(names))
    metrics = counts.compute(supported_fmrs(_impostors(photos)))
    several = np.flatnonzero(photos > 1)
    seen = _by_person(vectors, faceless, labels, several, metrics, counts.impostors_below())
    hits, pairs = seen[:, 1:-1], seen[:, 0]
    missed = (pairs - hits[:, -1]).astype(int)
    worst = sorted(np.flatnonzero(missed), key=lambda i: (-missed[i] / pairs[i], -missed[i]))[:10]
    return AllPairsResult(
        metrics=metrics,
        intervals=_intervals(seen, metrics) if len(several) > 1 else {},
        tar_by_person=tuple((hits / pairs[:, np.newaxis]).mean(axis=0).tolist()),
        people=len(several),
        two_faces=(_genuine(faced), _impostors(faced)),
        hardest=tuple(HardPerson(names[several[i]], int(pairs[i]), int(missed[i])) for i in worst),
    )


def _genuine(photos: NDArray[np.int64]) -> int:
    """Pairs of one person, by the number of photos of each."""
    return int((photos * (photos - 1) // 2).sum())


def _impostors(photos: NDArray[np.int64]) -> int:
    """Pairs of two people."""
    total = int(photos.sum())
    return total * (total - 1) // 2 - _genuine(photos)


def _blocks(
    vectors: Scores, faceless: NDArray[np.bool_], labels: NDArray[np.int64]
) -> Iterator[tuple[Scores, Scores]]:
    """Scores of genuine and of impostor pairs, each pair once; `labels` rise."""
    ends = np.searchsorted(labels, labels, "right")
    step = max(1, _BLOCK // len(labels))
    for start in range(0, len(labels), step):
        stop = min(start + step, len(labels))
        scores = _similarities(vectors, faceless, slice(start, stop), slice(start, len(labels)))
        # Beyond the last photo of the block's last person there are only other people.
        near = int(ends[stop - 1]) - start
        rows, columns = np.arange(stop - start)[:, np.newaxis], np.arange(near)
        same = labels[start:stop, np.newaxis] == labels[start : start + near]
        close, after = scores[:, :near], columns > rows
        yield close[after & same], np.concatenate([close[after & ~same], scores[:, near:].ravel()])


def _similarities(vectors: Scores, faceless: NDArray[np.bool_], rows: slice, columns: slice) -> Scores:
    scores = vectors[rows] @ vectors[columns].T
    np.clip(scores, -1.0, 1.0, out=scores)
    scores[faceless[rows]] = NO_FACE_SIMILARITY
    scores[:, faceless[columns]] = NO_FACE_SIMILARITY
    return scores


def _by_person(
    vectors: Scores,
    faceless: NDArray[np.bool_],
    labels: NDArray[np.int64],
    several: NDArray[np.intp],
    metrics: ScoreCountsResult,
    below: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(people, 1 + K + 1): pairs, pairs accepted at each threshold, sum of the shares of impostors below."""
    thresholds = np.array([point.threshold for point in metrics.operating_points])
    found = np.zeros((len(several), len(thresholds) + 2))
    for row, person in zip(found, several, strict=True):
        start, stop = np.searchsorted(labels, [person, person + 1])
        step = max(1, _BLOCK // int(stop - start))
        for first in range(start, stop, step):
            rows = slice(first, min(first + step, stop))
            scores = _similarities(vectors, faceless, rows, slice(start, stop))
            later = np.arange(start, stop) > np.arange(rows.start, rows.stop)[:, np.newaxis]
            one = scores[later]
            row[0] += len(one)
            row[1:-1] += [np.count_nonzero(one.astype(np.float64) >= t) for t in thresholds]
            row[-1] += below[cell_of(one)].sum()
    return found


def _intervals(seen: NDArray[np.float64], metrics: ScoreCountsResult) -> dict[str, Interval]:
    draws = resample(
        lambda counts: (counts @ seen[:, 1:]) / (counts @ seen[:, :1]), len(seen), _REPEATS, _SEED
    )
    estimates = [point.tar for point in metrics.operating_points] + [metrics.auc]
    names = [f"tar@fmr={point.fmr_target!r}" for point in metrics.operating_points] + ["auc"]
    return {
        name: percentile_interval(estimate, column, _LEVEL)
        for name, estimate, column in zip(names, estimates, draws.T, strict=True)
    }
