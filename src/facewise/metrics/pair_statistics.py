"""Statistics of pairs as functions of how often each was drawn, and what each pair contributes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from facewise.metrics.operating_point import tar_of_counts, threshold_of
from facewise.metrics.roc_curve import auc_of_counts, eer_of_counts
from facewise.metrics.scores import Bools, Counts, Floats, RankedPairs, Scores, accepts

Measure: TypeAlias = Literal["auc", "eer", "tar@fmr", "fmr", "fnmr", "accuracy", "own accuracy"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One statistic: what, and at which rate or threshold.

    Attributes:
        name: Its key in the results.
        measure: What it is. Accuracy weighs the two kinds of pair in every resample as in the data, since
            their shares are the protocol's choice; "own accuracy" is at thresholds of the pairs' own.
        at: The target FMR of "tar@fmr", the threshold of "fmr", "fnmr" and "accuracy"; else 0.
    """

    name: str
    measure: Measure
    at: float = 0.0


class PairStatistics:
    """The values of several statistics on many resamples of one set of pairs.

    For TAR at FMR and EER the threshold moves with the resample. Both are then, but for terms of higher
    order, weighted sums of the FMR and TAR at the threshold of the data as they are; the weight, which is the
    slope of the ROC there, is read off the resamples (`influences`).
    """

    def __init__(
        self, scores: Scores, same: Bools, wanted: Sequence[Wanted], right: Bools | None = None
    ) -> None:
        """Rank the pairs.

        Args:
            scores: `(N,)` checked.
            same: `(N,)` checked, of both kinds.
            wanted: What to compute.
            right: `(N,)` whether each pair is decided rightly, for "own accuracy".
        """
        self.scores, self.same, self.wanted = scores, same, tuple(wanted)
        self._right = np.ones_like(same) if right is None else right
        self.share = float(same.mean())  # of genuine pairs
        self._pairs = RankedPairs.of(scores, same)
        # For each statistic how many distinct scores are accepted at the threshold of the data as they are.
        self._fixed = [self._place(item) for item in wanted]
        self.estimates = self(np.ones((1, len(scores)), np.int64))[0, : len(self.wanted)]

    def __call__(self, counts: Counts) -> Floats:
        """`(R, 3 S)`: the S statistics, then for each the FMR and then the TAR at its fixed threshold.

        Args:
            counts: `(R, N)` how often each pair was drawn; a row without one kind of pair gives NaN.
        """
        genuine, impostors = self._pairs.cumulative(counts)
        fmrs = [_rate(impostors, place) for place in self._fixed]
        tars = [_rate(genuine, place) for place in self._fixed]
        columns = []
        for item, fmr, tar in zip(self.wanted, fmrs, tars, strict=True):
            match item.measure:
                case "auc":
                    columns.append(auc_of_counts(genuine, impostors))
                case "eer":
                    columns.append(eer_of_counts(genuine, impostors))
                case "tar@fmr":
                    columns.append(tar_of_counts(genuine, impostors, item.at))
                case "fmr":
                    columns.append(fmr)
                case "fnmr":
                    columns.append(1.0 - tar)
                case "accuracy":
                    columns.append(self._accuracy(tar, 1.0 - fmr))
                case "own accuracy":
                    columns.append(self._share_right(counts))
        return np.stack(columns + fmrs + tars, axis=1)

    def influences(self, draws: Floats) -> Floats:
        """`(S, N)` what each pair contributes to each statistic: its influence function over the pairs.

        Args:
            draws: `(R, 3 S)` what the call gave for all resamples.
        """
        values, fmrs, tars = np.split(draws, 3, axis=1)
        found = np.empty((len(self.wanted), len(self.scores)))
        for place, item in enumerate(self.wanted):
            accepted = self._accepted(place)
            columns = values[:, place], fmrs[:, place], tars[:, place]
            match item.measure:
                case "auc":
                    found[place] = self._placements()
                case "eer":
                    # EER = u FMR + (1 - u) FNMR at the threshold of the data as they are.
                    misses = 1.0 - columns[2]
                    weight = min(1.0, _slope(columns[1] - misses, columns[0] - misses))
                    found[place] = self._weighed(accepted, weight, weight - 1.0)
                case "tar@fmr":
                    # TAR at FMR = TAR - (slope of the ROC) x (FMR - its target) at that threshold.
                    slope = _slope(-columns[1], columns[0] - columns[2])
                    found[place] = self._weighed(accepted, -slope, 1.0)
                case "fmr":
                    found[place] = self._weighed(accepted, 1.0, 0.0)
                case "fnmr":
                    found[place] = self._weighed(accepted, 0.0, -1.0)
                case "accuracy":
                    found[place] = self._weighed(accepted, self.share - 1.0, self.share)
                case "own accuracy":
                    matched = self._right == self.same
                    found[place] = self._weighed(matched, self.share - 1.0, self.share)
        return found

    def _place(self, item: Wanted) -> int:
        """How many distinct scores are accepted at the statistic's threshold on the data as they are."""
        if item.measure in {"auc", "own accuracy"}:
            return 0
        if item.measure == "eer":
            genuine, impostors = (row[0] for row in self._pairs.cumulative())
            gaps = impostors / impostors[-1] - (1.0 - genuine / genuine[-1])
            return int(np.argmin(np.abs(gaps))) + 1
        threshold = item.at
        if item.measure == "tar@fmr":
            threshold = threshold_of(self.scores[~self.same], item.at)
        return int(np.count_nonzero(accepts(self._pairs.distinct, threshold)))

    def _accepted(self, place: int) -> Bools:
        """`(N,)` which pairs match at the fixed threshold of a statistic."""
        accepted = np.empty(len(self.scores), np.bool_)
        last = self._fixed[place]
        end = int(self._pairs.ends[last - 1]) + 1 if last else 0
        accepted[self._pairs.order] = np.arange(len(accepted)) < end
        return accepted

    def _weighed(self, accepted: Bools, impostors: float, genuine: float) -> Floats:
        """Influence of `impostors` x FMR + `genuine` x TAR."""
        found = np.empty(len(accepted))
        for kind, weight in ((~self.same, impostors), (self.same, genuine)):
            part = accepted[kind]
            found[kind] = weight * (part - part.mean()) / len(part)
        return found

    def _placements(self) -> Floats:
        """Influence of the AUC: how many of the other kind each pair is on the right side of."""
        found = np.empty(len(self.scores))
        for kind, sign in ((self.same, 1.0), (~self.same, -1.0)):
            others = np.sort(self.scores[~kind])
            mine = self.scores[kind]
            below = np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")
            placed = below / (2.0 * len(others))
            found[kind] = sign * (placed - placed.mean()) / len(mine)
        return found

    def _share_right(self, counts: Counts) -> Floats:
        """Accuracy where each pair has been decided at a threshold of its own."""
        genuine, impostors = (
            counts[:, self._right & kind].sum(axis=1) / counts[:, kind].sum(axis=1)
            for kind in (self.same, ~self.same)
        )
        return self._accuracy(genuine, impostors)

    def _accuracy(self, genuine: Floats, impostors: Floats) -> Floats:
        """From the shares decided rightly of each kind; 1 exactly where there is no error."""
        return 1.0 - (self.share * (1.0 - genuine) + (1.0 - self.share) * (1.0 - impostors))


def _rate(cumulative: Counts, place: int) -> Floats:
    if place == 0:
        return np.zeros(len(cumulative))
    return np.asarray(cumulative[:, place - 1] / cumulative[:, -1], dtype=np.float64)


def _slope(x: Floats, y: Floats) -> float:
    """The least-squares slope of y over x, 0 or more."""
    x = x - x.mean()
    squares = float(x @ x)
    return max(0.0, float(x @ (y - y.mean())) / squares) if squares > 0.0 else 0.0
