"""Are probabilities what they say? Calibration error, Brier score, log loss, and the cost Cllr.

Everywhere `probabilities` are `(N,)` the stated chance that a pair is genuine, in [0, 1], and `same` is
`(N,)`, True for two photos of one person. Of 1,000 pairs said to match with probability 0.9, 900 should.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, check_level
from facewise.metrics.checks import check_numbers, check_probabilities
from facewise.metrics.isotonic import isotonic_fit
from facewise.metrics.scores import Bools, Floats, check_pairs, check_same

Equal: TypeAlias = Literal["width", "mass"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pairs whose probability lies in one bin.

    Attributes:
        low: The bin's lower edge ("width"), or its least probability ("mass").
        high: The bin's upper edge, or its greatest probability.
        pairs: How many pairs, 1 or more.
        genuine: How many of them are of one person.
        probability: Mean of their stated probabilities.
        frequency: Exact interval of the share that is genuine; its estimate is genuine / pairs.
    """

    low: float
    high: float
    pairs: int
    genuine: int
    probability: float
    frequency: Interval

    @property
    def gap(self) -> float:
        """|frequency - probability|."""
        return abs(self.frequency.estimate - self.probability)


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram.

    Attributes:
        bins: The bins that hold pairs, rising.
        equal: What the bins have in common, "width" or "mass".
    """

    bins: tuple[ReliabilityBin, ...]
    equal: Equal

    @property
    def pairs(self) -> int:
        """In all bins together."""
        return sum(row.pairs for row in self.bins)

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean gap, a bin weighing as many pairs as it holds."""
        return sum(row.pairs * row.gap for row in self.bins) / self.pairs

    @property
    def greatest_error(self) -> float:
        """Maximum calibration error: the largest gap of any bin, however few pairs it holds."""
        return max(row.gap for row in self.bins)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {"equal": self.equal, "ece": self.expected_error, "bins": [asdict(row) for row in self.bins]}


def reliability(
    probabilities: ArrayLike,
    same: ArrayLike,
    bins: int = 15,
    equal: Equal = "width",
    level: float = 0.95,
) -> Reliability:
    """How often pairs are genuine, by how likely they were said to be.

    Args:
        probabilities: `(N,)` in [0, 1].
        same: `(N,)` True for two photos of one person.
        bins: 1 or more; empty ones are left out.
        equal: `"width"`: [k / bins, (k + 1) / bins), 1 in the last (Guo et al. 2017). `"mass"`: as many pairs
            in each as can be with equal probabilities kept together (Nguyen and O'Connor 2015).
        level: Of the intervals, in (0, 1).

    Raises:
        DatasetError: Malformed, empty, not finite or outside [0, 1].
        SettingError: Bins, the kind of bins, or the level out of range.
    """
    stated, labels = _check(probabilities, same)
    check_level(level)
    if bins < 1:
        raise SettingError(f"There must be at least one bin, not {bins}.")
    if equal not in {"width", "mass"}:
        raise SettingError(f'Bins are of equal "width" or "mass", not {equal!r}.')
    place = _by_width(stated, bins) if equal == "width" else _by_mass(stated, bins)
    rows = []
    for number in np.unique(place).tolist():
        members = place == number
        inside, pairs = stated[members], int(np.count_nonzero(members))
        genuine = int(np.count_nonzero(labels[members]))
        low, high = float(inside.min()), float(inside.max())
        if equal == "width":
            low, high = number / bins, (number + 1) / bins
        frequency = binomial_interval(genuine, pairs, level)
        rows.append(ReliabilityBin(low, high, pairs, genuine, float(inside.mean()), frequency))
    return Reliability(tuple(rows), equal)


def expected_calibration_error(
    probabilities: ArrayLike, same: ArrayLike, bins: int = 15, equal: Equal = "width"
) -> float:
    """Mean distance between stated probability and frequency over bins (Naeini et al. 2015).

    It is above 0 even for perfect probabilities, by about what chance does to a bin's frequency.
    Arguments and errors as `reliability`.
    """
    return reliability(probabilities, same, bins, equal).expected_error


def brier(probabilities: ArrayLike, same: ArrayLike) -> float:
    """Mean squared distance between stated probability and outcome (Brier 1950).

    Args:
        probabilities: `(N,)` in [0, 1].
        same: `(N,)` True for two photos of one person.

    Raises:
        DatasetError: Malformed, empty, not finite or outside [0, 1].
    """
    stated, labels = _check(probabilities, same)
    return float(((stated - labels) ** 2).mean())


def log_loss(probabilities: ArrayLike, same: ArrayLike) -> float:
    """Mean minus log of the probability given to what was so, in nats.

    Certainty that proves wrong would cost without bound; probabilities are kept 2.2e-16 from 0 and 1, as in
    scikit-learn. Arguments and errors as `brier`.
    """
    stated, labels = _check(probabilities, same)
    step = float(np.finfo(np.float64).eps)
    given = np.clip(np.where(labels, stated, 1.0 - stated), step, 1.0 - step)
    return float(-np.log(given).mean())


def log_ratios(probabilities: ArrayLike, prior: float) -> Floats:
    """`(N,)` natural log-likelihood ratios: what the probabilities add to the odds of the prior.

    Args:
        probabilities: `(N,)` in [0, 1]; 0 and 1 become -inf and inf, which `cllr` refuses.
        prior: Share of genuine pairs the probabilities were fitted for, in (0, 1).

    Raises:
        DatasetError: Malformed, empty, not finite or outside [0, 1].
        SettingError: The prior is out of range.
    """
    if not 0.0 < prior < 1.0:
        raise SettingError(f"The prior must lie between 0 and 1, not {prior}.")
    stated = check_probabilities(probabilities)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(stated) - np.log1p(-stated) - math.log(prior / (1.0 - prior)))


def cllr(log_likelihood_ratios: ArrayLike, same: ArrayLike) -> float:
    """The cost of log-likelihood ratios, in bits: 0 is perfect, 1 is what saying nothing (ratio 1) costs.

    Brümmer and du Preez, "Application-independent evaluation of speaker detection", Computer Speech and
    Language 20 (2006), the definition of Cllr: the mean of the two kinds' mean costs, whatever their numbers.

    Args:
        log_likelihood_ratios: `(N,)` natural logarithms, above 0 for "one person".
        same: `(N,)` True for two photos of one person.

    Raises:
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    ratios = check_numbers(log_likelihood_ratios, "log-likelihood ratios")
    _, labels = check_pairs(ratios, same)
    return _cllr(ratios.astype(np.float64), labels)


def min_cllr(similarities: ArrayLike, same: ArrayLike) -> float:
    """The least Cllr any non-decreasing calibration of these scores has: what discrimination alone costs.

    By pool adjacent violators on the scores themselves (Brümmer and du Preez 2006), so it is optimistic.

    Args:
        similarities: `(N,)` scores, higher is more alike.
        same: `(N,)` True for two photos of one person.

    Raises:
        DatasetError: Malformed, empty, not finite, or only one kind of pair.
    """
    scores, labels = check_pairs(similarities, same)
    fit = isotonic_fit(scores, labels)
    impostors = fit.pairs - fit.genuine
    all_genuine, all_impostors = fit.genuine.sum(), impostors.sum()
    with np.errstate(divide="ignore"):
        ratios = np.log(fit.genuine / all_genuine) - np.log(impostors / all_impostors)
    # A pool of one kind only has an infinite ratio, which costs nothing as none of the other kind is in it.
    hits, misses = fit.genuine > 0, impostors > 0
    genuine_cost = fit.genuine[hits] @ np.logaddexp(0.0, -ratios[hits]) / all_genuine
    impostor_cost = impostors[misses] @ np.logaddexp(0.0, ratios[misses]) / all_impostors
    return float((genuine_cost + impostor_cost) / (2.0 * math.log(2.0)))


def _cllr(ratios: Floats, same: Bools) -> float:
    genuine = np.logaddexp(0.0, -ratios[same]).mean()
    impostors = np.logaddexp(0.0, ratios[~same]).mean()
    return float((genuine + impostors) / (2.0 * math.log(2.0)))


def _check(probabilities: ArrayLike, same: ArrayLike) -> tuple[Floats, Bools]:
    stated = check_probabilities(probabilities)
    return stated, check_same(same, len(stated))


def _by_width(stated: Floats, bins: int) -> NDArray[np.int64]:
    """`(N,)` the bin of each probability; an edge belongs to the bin above it."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, stated, side="right").astype(np.int64)


def _by_mass(stated: Floats, bins: int) -> NDArray[np.int64]:
    """`(N,)` the bin of each probability, by how many pairs have a lower one."""
    _, place, counts = np.unique(stated, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return np.asarray((below * bins // len(stated))[place], dtype=np.int64)
