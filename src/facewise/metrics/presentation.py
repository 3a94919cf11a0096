"""Presentation attacks: where to part live faces from pictures of faces, and how often that errs.

Rates are those of ISO/IEC 30107-3:2023: APCER, the share of attacks that are taken for live, for each kind of
attack; BPCER, the share of live faces that are taken for attacks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import exact_ends
from facewise.metrics.bootstrap import Interval, bootstrap_interval, check_level


def attack_threshold(live: ArrayLike, attacks: Mapping[str, ArrayLike], target: float) -> float:
    """The score from which a face is taken for live.

    Of all thresholds at which no kind of attack has an APCER above the target, one at which most live faces
    pass; of these, the middle between the last attack that is stopped and the first live face that passes, as
    neither a new attack nor a new live face has the very scores of these.

    Args:
        live: (L,) scores of live faces, more is more live.
        attacks: Kind of attack → (A,) scores.
        target: APCER in [0, 1).

    Raises:
        DatasetError: No live face or no attack, or a score that is no number.
        SettingError: The target is out of range.
    """
    if not 0.0 <= target < 1.0:
        raise SettingError(f"An APCER to aim at lies from 0 and below 1, not at {target}.")
    faces = np.sort(np.asarray(live, np.float64))
    kinds = [np.sort(np.asarray(scores, np.float64)) for scores in attacks.values()]
    if not len(faces) or not kinds or not all(map(len, kinds)):
        raise DatasetError("A threshold of liveness needs scores of live faces and of each kind of attack.")
    every = np.concatenate(kinds)
    if not (np.isfinite(faces).all() and np.isfinite(every).all()):
        raise DatasetError("A score of liveness is no number.")
    # Of each kind at most floor(target * n) may pass, so the one before them has to be stopped.
    stopped = max(scores[len(scores) - 1 - int(target * len(scores) + 1e-9)] for scores in kinds)
    passing = faces[faces > stopped]
    if not len(passing):
        return float(np.nextafter(stopped, np.inf))
    first = passing[0]
    middle = (every[every < first].max() + first) / 2
    return float(middle if middle > stopped else first)


def rate_by_subject(wrong: ArrayLike, subjects: Sequence[Hashable], *, level: float = 0.95) -> Interval:
    """The share of photos that are classified wrongly, with an interval over subjects.

    Photos of one subject are alike, so subjects are resampled and not photos (percentile bootstrap). Where no
    photo is wrong, or all are, resampling shows nothing: then it is the exact binomial interval (Clopper and
    Pearson 1934) of so many trials as there are subjects.

    Args:
        wrong: (P,) whether each photo is.
        subjects: (P,) whose it is.
        level: In (0, 1).

    Raises:
        DatasetError: No photos, or not a subject for each.
        SettingError: The level is out of range.
    """
    check_level(level)
    flags = np.asarray(wrong, bool)
    if flags.ndim != 1 or not len(flags) or len(flags) != len(subjects):
        raise DatasetError(f"{flags.shape} photos do not go with {len(subjects)} subjects.")
    places = {subject: i for i, subject in enumerate(dict.fromkeys(subjects))}
    index = np.array([places[subject] for subject in subjects])
    photos, errors = np.bincount(index), np.bincount(index, weights=flags)
    if flags.all() or not flags.any():
        low, high = exact_ends(len(photos) * float(flags[0]), len(photos), (1 - level) / 2)
        return Interval(float(flags[0]), low, high, level)
    return bootstrap_interval(lambda counts: (counts @ errors) / (counts @ photos), len(photos), level=level)
