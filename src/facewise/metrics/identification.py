"""One-to-many identification: who in the gallery is this, and is it anyone?

`similarities` are `(P, G)`, each probe's best score against each person of the gallery; `truth` is `(P,)`,
the column of the probe's true person, or -1 for a stranger, who is not in the gallery. Ranks are pessimistic:
another person with the same score counts as ahead.

Sources: Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition" (Handbook of Face
Recognition, 2005), for the CMC and the detection and identification rate; Grother, Ngan and Hanaoka, NISTIR
8271 (FRVT part 2, 2019), for FPIR(N, T) and FNIR(N, R = 1, T) = 1 - DIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError, SettingError
from facewise.metrics.operating_point import check_rate, threshold_of
from facewise.metrics.scores import Counts, Floats, Scores, accepts, check_scores

FPIRS = (0.01, 0.1)
_BATCH = 4_000_000  # similarities compared at once


@dataclass(frozen=True, slots=True)
class OpenSetPoint:
    """An identifier at the threshold set for one false positive identification rate.

    Attributes:
        fpir_target: The rate asked for, a share.
        threshold: A probe is given a name when its best score >= this.
        fpir: Measured share of strangers given a name; never above the target.
        dir: Detection and identification rate: share of mated probes whose person is at rank 1 and at or
            above the threshold.
        fnir: 1 - dir.
        mated: Number of probes whose person is in the gallery.
        strangers: Number of probes whose person is not.
        supported: False where there are fewer than 1 / fpir_target strangers.
    """

    fpir_target: float
    threshold: float
    fpir: float
    dir: float
    fnir: float
    mated: int
    strangers: int
    supported: bool


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationResult:
    """How well an identifier finds people.

    Attributes:
        probes: Number of probes.
        mated: Those whose person is in the gallery.
        strangers: Those whose person is not.
        gallery: Number of people in the gallery.
        rank1: Share of mated probes whose person comes first.
        cmc: `(max_rank,)` share of mated probes whose person is at rank 1, 2, ... or better.
        open_set: One a target rate; empty for a closed set, one without strangers.
    """

    probes: int
    mated: int
    strangers: int
    gallery: int
    rank1: float
    cmc: Floats
    open_set: tuple[OpenSetPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python, ready for `json.dumps(..., allow_nan=False)`."""
        return {
            "probes": self.probes,
            "mated": self.mated,
            "strangers": self.strangers,
            "gallery": self.gallery,
            "rank1": self.rank1,
            "cmc": self.cmc.tolist(),
            "open_set": [asdict(point) for point in self.open_set],
        }


class IdentificationAccumulator:
    """Identification metrics of probes that come in batches: keeps two numbers a probe, not the similarities.

    Example:
        >>> seen = IdentificationAccumulator()
        >>> seen.update([[0.9, 0.1], [0.2, 0.3]], [0, -1])
        >>> seen.compute(max_rank=1, fpirs=(0.5,)).rank1
        1.0
    """

    def __init__(self) -> None:
        self._gallery = 0
        self._ranks: list[Counts] = []
        self._mates: list[Scores] = []
        self._strangers: list[Scores] = []

    def update(self, similarities: ArrayLike, truth: ArrayLike) -> None:
        """Add `(p, G)` probes; G must stay the same. A refused batch leaves what was added before as it was.

        Raises:
            DatasetError: Malformed, empty or not finite, a true person outside the gallery, or another G.
        """
        scores = check_scores(similarities, ndim=2)
        people = scores.shape[1]
        true = _check_truth(truth, *scores.shape)
        if self._gallery not in (0, people):
            raise DatasetError(
                f"This batch has a gallery of {people} people, the ones before {self._gallery}."
            )
        self._gallery = people
        step = max(1, _BATCH // people)
        for start in range(0, len(scores), step):
            self._add(scores[start : start + step], true[start : start + step])

    def _add(self, scores: Scores, true: NDArray[np.int64]) -> None:
        mated = true >= 0
        searched = scores[mated]
        mates = searched[np.arange(len(searched)), true[mated]]
        self._ranks.append(np.count_nonzero(searched >= mates[:, np.newaxis], axis=1).astype(np.int64))
        self._mates.append(mates)
        self._strangers.append(scores[~mated].max(axis=1))

    def compute(self, max_rank: int = 20, fpirs: Sequence[float] = FPIRS) -> IdentificationResult:
        """Every identification metric of the probes so far.

        Raises:
            SettingError: `max_rank` below 1 or a rate not in (0, 1].
            DatasetError: No probe whose person is in the gallery.
        """
        if max_rank < 1:
            raise SettingError(f"The largest rank must be 1 or more, not {max_rank}.")
        targets = [check_rate(fpir, "false positive identification rate") for fpir in fpirs]
        mated, strangers = sum(map(len, self._ranks)), sum(map(len, self._strangers))
        if not mated:
            raise DatasetError("No probe's person is in the gallery; give at least one mated probe.")
        ranks = np.concatenate(self._ranks)
        shares = np.bincount(np.minimum(ranks, max_rank + 1), minlength=max_rank + 2)[1:-1]
        curve = np.cumsum(shares) / mated
        points: tuple[OpenSetPoint, ...] = ()
        if strangers:
            first = np.concatenate(self._mates)[ranks == 1]
            points = tuple(_point(first, mated, np.concatenate(self._strangers), fpir) for fpir in targets)
        return IdentificationResult(
            probes=mated + strangers,
            mated=mated,
            strangers=strangers,
            gallery=self._gallery,
            rank1=float(curve[0]),
            cmc=curve,
            open_set=points,
        )


def rank_k(similarities: ArrayLike, truth: ArrayLike, k: int = 1) -> float:
    """Share of mated probes whose true person is among the k best; strangers are left out.

    Args:
        similarities: `(P, G)` best score of each probe against each person.
        truth: `(P,)` integers, the true person's column or -1.
        k: 1 or more.

    Raises:
        SettingError: k below 1.
        DatasetError: Malformed, empty, not finite, or no mated probe.
    """
    return float(cmc(similarities, truth, k)[-1])


def cmc(similarities: ArrayLike, truth: ArrayLike, max_rank: int = 20) -> Floats:
    """Cumulative match characteristic: `(max_rank,)`, entry k - 1 is `rank_k(..., k)`; 1 beyond the gallery.

    Arguments and errors as `rank_k`.
    """
    return _compute(similarities, truth, max_rank, ()).cmc


def open_set(similarities: ArrayLike, truth: ArrayLike, fpirs: Sequence[float] = FPIRS) -> list[OpenSetPoint]:
    """Detection and identification rate at thresholds set on strangers.

    Each threshold is the smallest whose measured FPIR, the share of strangers with any score at or above it,
    does not exceed the target (see `threshold_at_fmr`).

    Args:
        similarities: `(P, G)` best score of each probe against each person.
        truth: `(P,)` integers, the true person's column or -1 for a stranger.
        fpirs: Target false positive identification rates in (0, 1].

    Raises:
        SettingError: A rate not in (0, 1].
        DatasetError: Malformed, empty, not finite, no mated probe, or no stranger.
    """
    result = _compute(similarities, truth, 1, fpirs)
    if not result.strangers:
        raise DatasetError("No probe is a stranger; open-set rates need probes with truth -1.")
    return list(result.open_set)


def _compute(
    similarities: ArrayLike, truth: ArrayLike, max_rank: int, fpirs: Sequence[float]
) -> IdentificationResult:
    seen = IdentificationAccumulator()
    seen.update(similarities, truth)
    return seen.compute(max_rank, fpirs)


def _check_truth(truth: ArrayLike, probes: int, people: int) -> NDArray[np.int64]:
    true = np.asarray(truth)
    if true.shape != (probes,):
        raise DatasetError(f"There are {probes} probes but the truth has shape {true.shape}.")
    if true.dtype.kind not in "iu":
        raise DatasetError(f"The truth must be integers, a gallery column or -1, not {true.dtype}.")
    if true.min() < -1 or true.max() >= people:
        raise DatasetError(f"The truth must lie between -1 and {people - 1}, the last column of the gallery.")
    return true.astype(np.int64)


def _point(first: Scores, mated: int, strangers: Scores, fpir: float) -> OpenSetPoint:
    """`first`: scores of the mated probes found at rank 1; `strangers`: every stranger's best score."""
    threshold = threshold_of(strangers, fpir)
    found = int(np.count_nonzero(accepts(first, threshold)))
    return OpenSetPoint(
        fpir_target=fpir,
        threshold=threshold,
        fpir=float(accepts(strangers, threshold).mean()),
        dir=found / mated,
        fnir=(mated - found) / mated,
        mated=mated,
        strangers=len(strangers),
        supported=1 / len(strangers) <= fpir,
    )
