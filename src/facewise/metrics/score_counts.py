"""Verification metrics of more pairs than fit in memory: scores are counted, not kept.

Similarities in [-1, 1] are counted in cells of width 2^-21. A threshold at a cell's lower edge accepts just
the scores of that cell and those above, so every false match and true accept rate is exact at its threshold;
only the thresholds themselves lie on the grid, at most a cell (4.8e-7) above the smallest that would do.
Scores of one cell count as tied in the AUC and the EER: `ScoreCountsResult.auc_error` bounds what that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.metrics.intervals import FMRS
from facewise.metrics.operating_point import OperatingPoint, allowed_errors, check_rate
from facewise.metrics.roc_curve import auc_of_counts, eer_of_counts
from facewise.metrics.scores import Counts, Scores, check_scores

CELLS = 2**21
"""Cells a unit of similarity."""

_CHUNK = 2**22
"""Scores counted at once: 32 MB of temporaries."""

_FEW = 400_000
"""Scores up to which counting one by one is faster than going through all cells."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCountsResult:
    """How well a verifier tells same from different.

    Attributes:
        genuine: Pairs of one person.
        impostors: Pairs of two people.
        operating_points: One a target false match rate.
        eer: Equal error rate.
        eer_threshold: The grid point where FMR and FNMR lie closest.
        auc: Area under the ROC, scores of one cell being tied.
        auc_error: The most that the AUC of the scores themselves can differ.
    """

    genuine: int
    impostors: int
    operating_points: tuple[OperatingPoint, ...]
    eer: float
    eer_threshold: float
    auc: float
    auc_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return asdict(self) | {"operating_points": [asdict(point) for point in self.operating_points]}


class ScoreCounts:
    """Counts the scores of genuine and of impostor pairs that come in batches; 67 MB, however many.

    Example:
        >>> seen = ScoreCounts()
        >>> seen.update([0.9, 0.5], [0.1, -0.2, 0.6])
        >>> seen.compute(fmrs=(0.5,)).auc
        0.8333333333333334
    """

    def __init__(self) -> None:
        self._genuine = np.zeros(2 * CELLS + 1, np.int64)
        self._impostors = np.zeros(2 * CELLS + 1, np.int64)

    def update(self, genuine: ArrayLike, impostors: ArrayLike) -> None:
        """Add scores of pairs; either may be empty. A refused batch leaves what was added before as it was.

        Raises:
            DatasetError: Not finite numbers in [-1, 1], or not one-dimensional.
        """
        for counts, scores in [
            (self._genuine, _checked(genuine, "genuine similarities")),
            (self._impostors, _checked(impostors, "impostor similarities")),
        ]:
            for start in range(0, len(scores), _CHUNK):
                cells = cell_of(scores[start : start + _CHUNK])
                if len(cells) > _FEW:
                    np.add(counts, np.bincount(cells, minlength=len(counts)), out=counts)
                else:
                    np.add.at(counts, cells, 1)

    def compute(self, fmrs: Sequence[float] = FMRS) -> ScoreCountsResult:
        """Every metric of the scores so far.

        Raises:
            SettingError: A rate not in (0, 1].
            DatasetError: No genuine or no impostor pair.
        """
        rates = [check_rate(fmr) for fmr in fmrs]
        cells = np.flatnonzero(self._genuine + self._impostors)[::-1]
        here = self._genuine[cells], self._impostors[cells]
        genuine, impostors = (np.cumsum(counts) for counts in here)
        for kind, counts in (("one person", genuine), ("different people", impostors)):
            if not len(counts) or not counts[-1]:
                raise DatasetError(f"There is no pair of {kind}; this metric needs both kinds of pair.")
        total = int(genuine[-1]), int(impostors[-1])
        if total[0] * total[1] >= 2**62:
            raise DatasetError(
                "There are too many pairs to be counted exactly; measure a part of the photos."
            )
        # Half of the tied pairs of scores could all be right, or all be wrong.
        tied = float(np.sum(here[0].astype(np.float64) * here[1])) / 2
        gap = np.abs(impostors / total[1] + genuine / total[0] - 1)
        return ScoreCountsResult(
            genuine=total[0],
            impostors=total[1],
            operating_points=tuple(_point(cells, genuine, impostors, rate) for rate in rates),
            eer=float(eer_of_counts(genuine[np.newaxis], impostors[np.newaxis])[0]),
            eer_threshold=edge_of(int(cells[int(np.argmin(gap))])),
            auc=float(auc_of_counts(genuine[np.newaxis], impostors[np.newaxis])[0]),
            auc_error=tied / (total[0] * total[1]),
        )

    def impostors_below(self) -> NDArray[np.float64]:
        """(C,) for each cell the share of the impostors so far that score below it, those in it half.

        Looked up for the genuine scores by `cell_of`, their mean is the AUC.

        Raises:
            DatasetError: No impostor pair.
        """
        upto = np.cumsum(self._impostors)
        if not upto[-1]:
            raise DatasetError("There is no pair of different people to be above.")
        return np.asarray((upto - self._impostors / 2) / upto[-1], np.float64)


def cell_of(scores: Scores) -> NDArray[np.int64]:
    """(N,) the cell of each score, 0 for -1; exact, as the width is a power of two."""
    return np.floor(scores * scores.dtype.type(CELLS)).astype(np.int64) + CELLS


def edge_of(cell: int) -> float:
    """The lower edge of a cell: a threshold that accepts it and those above."""
    return (cell - CELLS) / CELLS


def _checked(values: ArrayLike, name: str) -> Scores:
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.float64)
    scores = check_scores(array, name)
    if scores.dtype == np.float16:  # too coarse to be multiplied
        scores = scores.astype(np.float32)
    if scores.min() < -1 or scores.max() > 1:
        raise DatasetError(f"The {name} must lie between -1 and 1; clip cosines.")
    return scores


def _point(cells: NDArray[np.intp], genuine: Counts, impostors: Counts, fmr: float) -> OperatingPoint:
    """`cells` fall; `genuine` and `impostors` count the scores in each and above."""
    total = int(impostors[-1])
    allowed = int(allowed_errors(fmr, np.array([total]))[0])
    # The cells that can be accepted, from the top; where all impostors can, no further than the least one.
    accepted = int(np.count_nonzero(impostors <= allowed))
    if allowed == total:
        accepted = int(np.count_nonzero(impostors < total)) + 1
        threshold = edge_of(int(cells[accepted - 1]))
    else:
        threshold = edge_of(int(cells[accepted]) + 1)
    matched = int(genuine[accepted - 1]) if accepted else 0
    false = int(impostors[accepted - 1]) if accepted else 0
    return OperatingPoint(
        fmr_target=fmr,
        threshold=threshold,
        fmr=false / total,
        tar=matched / int(genuine[-1]),
        fnmr=(int(genuine[-1]) - matched) / int(genuine[-1]),
        genuine=int(genuine[-1]),
        impostors=total,
        supported=1 / total <= fmr,
    )
