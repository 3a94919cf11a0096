"""False match and false non-match rates group by group: whom does a verifier serve worse?

The groups are the caller's (race, sex, age of the people in a pair). A genuine pair has its person's group;
an impostor pair across two groups belongs to none, or to one of its own, such as "women / men": impostors of
one's own group are the harder ones, and mixing hides it (Grother, Ngan and Hanaoka 2019, NIST IR 8280).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, check_level
from facewise.metrics.scores import accepts, check_pairs

Rate: TypeAlias = Literal["fmr", "fnmr"]


@dataclass(frozen=True, slots=True)
class GroupRates:
    """One group at a threshold.

    Attributes:
        group: Its name.
        genuine: Pairs of one person.
        impostors: Pairs of two people.
        false_non_matches: Genuine pairs below the threshold.
        false_matches: Impostor pairs at or above it.
        fnmr: Exact interval of the false non-match rate; None without genuine pairs.
        fmr: Exact interval of the false match rate; None without impostor pairs.
    """

    group: str
    genuine: int
    impostors: int
    false_non_matches: int
    false_matches: int
    fnmr: Interval | None
    fmr: Interval | None

    def counts(self, rate: Rate) -> tuple[int, int]:
        """Errors, and pairs they are counted among."""
        if rate == "fmr":
            return self.false_matches, self.impostors
        return self.false_non_matches, self.genuine


@dataclass(frozen=True, slots=True)
class WorstRatio:
    """How many times as often the worst group is wronged as the best.

    Attributes:
        rate: "fmr" or "fnmr".
        worst: The group with the highest rate.
        best: The group with the lowest.
        ratio: Highest over lowest rate, 1 or more. None where the lowest is 0: no error was seen, which is
            not a rate of 0, and nothing can be divided by it; `at_least` still holds.
        at_least: What the ratio between some two groups is at least, at the result's level: the largest low
            end of one group's interval over the high end of another's, all intervals widened so that they
            hold together (Bonferroni). 1 where no two groups are told apart.
    """

    rate: Rate
    worst: str
    best: str
    ratio: float | None
    at_least: float


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Error rates by group at one threshold.

    Attributes:
        threshold: A pair matches when its similarity >= this.
        rows: One a group, by name.
        level: Of the intervals.
    """

    threshold: float
    rows: tuple[GroupRates, ...]
    level: float

    def worst_ratio(self, rate: Rate) -> WorstRatio | None:
        """The worst group against the best, of the groups that have such pairs; None with fewer than two.

        Of equal rates the group that comes first by name is taken.

        Raises:
            SettingError: The rate is neither "fmr" nor "fnmr".
        """
        if rate not in {"fmr", "fnmr"}:
            raise SettingError(f'The rate must be "fmr" or "fnmr", not {rate!r}.')
        measured = [(row.group, *row.counts(rate)) for row in self.rows if row.counts(rate)[1]]
        if len(measured) < 2:
            return None
        shares = [errors / pairs for _, errors, pairs in measured]
        highest, lowest = max(shares), min(shares)
        joint = 1.0 - (1.0 - self.level) / len(measured)
        ends = [binomial_interval(errors, pairs, joint) for _, errors, pairs in measured]
        # No group is compared with itself: its low end is never above its own high end.
        at_least = max(one.low for one in ends) / min(other.high for other in ends)
        return WorstRatio(
            rate=rate,
            worst=measured[shares.index(highest)][0],
            best=measured[shares.index(lowest)][0],
            ratio=highest / lowest if lowest > 0.0 else None,
            at_least=max(1.0, at_least),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        ratios = {rate: self.worst_ratio(rate) for rate in ("fmr", "fnmr")}
        return {
            "threshold": self.threshold,
            "level": self.level,
            "groups": [asdict(row) for row in self.rows],
            "worst_ratio": {rate: None if ratio is None else asdict(ratio) for rate, ratio in ratios.items()},
        }


def rates_by_group(
    similarities: ArrayLike,
    same: ArrayLike,
    groups: Sequence[str],
    threshold: float,
    level: float = 0.95,
) -> GroupResult:
    """FMR and FNMR of each group at one threshold, with exact binomial intervals.

    The intervals take pairs as independent; where few people make many pairs they are too narrow, and the
    rates of a group should be judged by `identity_intervals` of its pairs.

    Args:
        similarities: `(P,)` scores, higher is more alike.
        same: `(P,)` True for two photos of one person.
        groups: `(P,)` the group of each pair.
        threshold: Finite; a pair matches when its similarity >= this.
        level: In (0, 1).

    Raises:
        DatasetError: Malformed, empty or not finite, or not one group a pair.
        SettingError: The threshold is not finite, or the level is out of range.
    """
    scores, labels = check_pairs(similarities, same, both=False)
    check_level(level)
    if not math.isfinite(threshold):
        raise SettingError(f"The threshold must be a finite number, not {threshold}.")
    if isinstance(groups, str) or len(groups) != len(scores):
        raise DatasetError(f"There are {len(scores)} pairs; give the group of each.")
    names, members = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    matched = accepts(scores, threshold)
    genuine, missed, impostors, wrong = (
        np.bincount(members[part], minlength=len(names)).tolist()
        for part in (labels, labels & ~matched, ~labels, ~labels & matched)
    )
    rows = tuple(
        GroupRates(
            group=str(name),
            genuine=genuine[place],
            impostors=impostors[place],
            false_non_matches=missed[place],
            false_matches=wrong[place],
            fnmr=_interval(missed[place], genuine[place], level),
            fmr=_interval(wrong[place], impostors[place], level),
        )
        for place, name in enumerate(names)
    )
    return GroupResult(threshold=float(threshold), rows=rows, level=level)


def _interval(errors: int, pairs: int, level: float) -> Interval | None:
    return binomial_interval(errors, pairs, level) if pairs else None
