"""A calibration that holds at every quality.

Photos are degraded, strangers become alike, and thresholds rise so that the stated rate holds all the same.

People are parted in three by their names: on the first third the network of `QualityRule` is fitted, on the
second its thresholds are set (Mondrian split conformal prediction: in each cell of quality by itself, with an
upper bound over people), and the last third is left to judge it by (`benchmarks/quality.py`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import side_by_side
from facewise.data.degrade import FAMILIES, Shot, degrade
from facewise.errors import DatasetError, ImageError
from facewise.evaluation.calibration_data import CalibrationData, PhotosOfPeople
from facewise.image import read_image
from facewise.models.calibration import DEFAULT_FMR, Calibration
from facewise.models.quality import Layer, QualityRule
from facewise.pipeline import Pipeline, Steps
from facewise.types import FloatArray

PEOPLE = 900
"""Fewer, and nothing is fitted: 300 for each of the three parts."""

PLAIN = "as it is"
"""The family of photos that nothing was done to."""

KINDS = {
    "blurred": ("gaussian", "motion", "defocus", "glass", "enlarged", "smoothed"),
    "too small": ("far",),
    "heavily compressed": ("mosaic", "jpeg", "webp", "small-jpeg"),
    "noisy": ("noise", "grain", "specks", "night"),
    "too dark": ("dark",),
    "overexposed": ("bright",),
    "without contrast": ("fog",),
    "unevenly lit": ("backlight", "gamma", "blinds"),
    "changed in colour": ("negative", "posters", "printed", "colour", "photocopied", "sharpened"),
    "distorted": ("stretched", "lens", "fields", "sliding", "wavering"),
    "covered": ("mask", "glasses", "patch", "streaks", "ghost", "lettered"),
    "cut off by the edge of the photo": ("cut-off",),
}
"""What to call a photo that suffers from a family."""

_PER_FAMILY = (3000, 1700)
_PLAIN = (3000, 1400)
"""Photos of a family to learn from, at most two of a person, and to set thresholds on, one of a person."""

_NEAR = 0.12
"""Strengths that differ by less are the same: the pairs that thresholds must hold for are those of two photos
that suffer alike, as nothing makes strangers more alike."""

_ALIKE = 150
"""Strangers' photos of nearest strength that a photo is compared with, to see how alike it is to them."""

_TOP = 1 / 30
"""Share of them that counts, the most alike."""

_SHARPEST = tuple(share / 100 for share in range(85, -1, -5))
"""Shares of the photos as they are whose pairs may keep the calibration's threshold, the largest first."""

_SLACK = 1.5
"""The first of them is taken whose pairs that suffer alike keep the rate so far, by its upper bound."""

_STEP = 0.7
"""What each further cell leaves of the rest of the photos as they are; beyond 99% all are `_WIDTH` wide."""

_WIDTH = 0.04
_FEWEST = 10_000
"""Pairs of one family that are enough to hold it to the rate by itself."""

_WORST = 1.5
"""By how much a family alone may exceed the rate, as one of few pairs does by chance."""

_DYADS = 30
"""Pairs of two people by the rate that a cell has at least."""

_NEVER = 2.0
"""A threshold that no pair reaches: of photos worse than those there were enough of."""

_MISSED = 0.8
"""Where more genuine pairs than that would be missed, nothing is decided."""

_LEVEL = 1.645
"""Standard normal quantile of a one-sided bound of 95%."""

_WIDE, _ROUNDS, _BATCH = 48, 24, 256
_FLAT = 0.1
_NETWORKS = 4
"""Their mean explains 0.90 of the variance on other people's photos, one alone 0.885."""


@dataclass(frozen=True, slots=True, eq=False)
class Degraded:
    """Faces of degraded photos.

    Attributes:
        vectors: (N, D) unit embeddings.
        people: (N,) numbers.
        photos: (N,) numbers of the photos they were made of.
        families: (N,) names, `PLAIN` for photos as they are.
        strengths: (N,) in [0, 1].
    """

    vectors: FloatArray
    people: NDArray[np.int64]
    photos: NDArray[np.int64]
    families: NDArray[np.str_]
    strengths: FloatArray

    def of(self, rows: NDArray[Any]) -> Degraded:
        """Some of them."""
        return Degraded(
            self.vectors[rows],
            self.people[rows],
            self.photos[rows],
            self.families[rows],
            self.strengths[rows],
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One photo to degrade: its number, what happens to it, and the seed of what is left to chance."""

    photo: int
    family: str
    strength: float
    seed: int


def third(name: str) -> int:
    """Which third of the people somebody is in: 0 fits, 1 sets thresholds, 2 judges."""
    return int(hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8], 16) % 3


def tasks(
    labels: NDArray[np.int64], names: Sequence[str], part: int, seed: int, *, share: float = 1.0
) -> list[Task]:
    """What to do with whose photos, each family with other people and strengths.

    Args:
        labels: (N,) who is in each photo.
        names: The people.
        part: See `third`.
        seed: Of the draw.
        share: Of the usual number of photos a family.
    """
    rng = np.random.default_rng(seed)
    mine = np.flatnonzero(np.array([third(name) == part for name in names])[labels])
    people = np.unique(labels[mine])
    made = []
    for family in (PLAIN, *FAMILIES):
        most = (_PLAIN if family == PLAIN else _PER_FAMILY)[min(part, 1)]
        many = max(1, min(len(people) * (2 if part == 0 else 1), round(most * share)))
        for person in np.concatenate([rng.permutation(people), rng.permutation(people)])[:many]:
            own = mine[labels[mine] == person]
            strength = 0.0 if family == PLAIN else float(rng.random())
            made.append(Task(int(rng.choice(own)), family, strength, int(rng.integers(2**31))))
    return made


def look(
    pipeline: Pipeline,
    photos: Sequence[Path],
    labels: NDArray[np.int64],
    todo: Sequence[Task],
    progress: Callable[[int], None] = lambda _: None,
) -> Degraded:
    """Degrade photos, then find and embed the main face of each, as a command would.

    Photos that cannot be read, and those in which no face is found any more, are left out: about them nobody
    decides.
    """
    steps = Steps(main_only=True)

    def one(task: Task) -> FloatArray | None:
        try:
            image = read_image(photos[task.photo])
        except ImageError:
            return None
        if task.family != PLAIN:
            found = pipeline.read(image, Steps(align=False, embed=False), threads=1)
            if not found.faces:
                return None
            rng = np.random.default_rng(task.seed)
            image = degrade(Shot(image, found.faces[0].landmarks), task.family, task.strength, rng)
        faces = pipeline.read(image, steps, threads=1).faces
        return faces[0].embedding if faces else None

    rows, done = [], []
    for task, vector in zip(todo, side_by_side(one, todo, pipeline.threads), strict=True):
        progress(1)
        if vector is not None:
            rows.append(vector)
            done.append(task)
    numbers = np.array([task.photo for task in done], np.int64)
    return Degraded(
        np.stack(rows) if rows else np.empty((0, pipeline.embedder.embedding_size), np.float32),
        labels[numbers] if done else np.empty(0, np.int64),
        numbers,
        np.array([task.family for task in done], np.str_),
        np.array([task.strength for task in done], np.float32),
    )


def lacks(data: CalibrationData, calibration: Calibration) -> str | None:
    """Why quality cannot be calibrated on data, as a clause, or None where it can."""
    if not isinstance(data, PhotosOfPeople):
        return "listed pairs do not tell which other photos are of strangers: give photos of people"
    people = len(np.unique(data.labels))
    if people < PEOPLE:
        return f"it takes {PEOPLE} people, and there are {people}"
    if calibration.threshold_at(DEFAULT_FMR) is None:
        return f"no threshold was set at FMR {DEFAULT_FMR:g}"
    return None


def photos_to_look_at(data: PhotosOfPeople) -> int:
    """How many photos `calibrate_quality` looks at."""
    return sum(len(tasks(data.labels, data.names, part, part)) for part in (0, 1))


def calibrate_quality(
    data: PhotosOfPeople,
    pipeline: Pipeline,
    calibration: Calibration,
    progress: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """A calibration that knows of quality: photos are degraded, looked at, learned from.

    Args:
        data: That of the calibration; `lacks` says whether it will do.
        pipeline: With the calibrated embedder.
        calibration: Of good photos.
        progress: Told as photos are done; there are `photos_to_look_at`.

    Raises:
        DatasetError: The data will not do.
    """
    plain = calibration.threshold_at(DEFAULT_FMR)
    if (reason := lacks(data, calibration)) is not None or plain is None:
        raise DatasetError(f"Quality cannot be calibrated: {reason}.")
    fit, hold = (
        look(pipeline, data.photos, data.labels, tasks(data.labels, data.names, part, part), progress)
        for part in (0, 1)
    )
    return replace(calibration, quality=fit_quality(fit, hold, plain))


def fit_quality(fit: Degraded, hold: Degraded, plain: float, *, fmr: float = DEFAULT_FMR) -> QualityRule:
    """Learn what quality is on one set of people, and set thresholds on another.

    Args:
        fit: Of the first third.
        hold: Of the second.
        plain: The calibration's threshold at `fmr`.
        fmr: The rate to hold.
    """
    kinds = tuple(KINDS)
    number = {family: place for place, kind in enumerate(kinds) for family in KINDS[kind]}
    target = np.array([number.get(str(family), -1) for family in fit.families])
    layers = _learn(fit.vectors, _how_alike(fit), target, len(kinds))
    bare = QualityRule(
        layers, kinds, 0.0, fmr, np.zeros(1, np.float32), np.full(1, plain, np.float32), 0.0, 1.0, {}
    )
    bare = QualityRule.from_dict(bare.to_dict())  # as it will be read: in float16
    alike = bare.alike(hold.vectors)
    of_plain = alike[hold.families == PLAIN]
    best = float(np.quantile(of_plain, 0.05))
    pairs = _alike_pairs(hold, alike)
    ends = _ends(pairs, of_plain, plain, fmr)
    thresholds, cells = [plain], [_cell(pairs, -math.inf, ends[0], plain)]
    used, low = [ends[0]], ends[0]
    for high in [*ends[1:], 1.0]:
        inside = pairs.of((pairs.alike > low) & (pairs.alike <= high))
        if len(inside.similarities) >= _DYADS / fmr:  # or the cell grows into the next
            thresholds.append(max(thresholds[-1], _holds_at(inside, fmr)))
            cells.append(_cell(pairs, low, high, thresholds[-1]))
            used, low = [*used, high], high
    if used[-1] < 1.0:
        thresholds.append(_NEVER)
    else:
        used.pop()
    ends = used
    least, ceiling = _limits(hold, alike, ends, thresholds)
    values = [(1.0 - end) / (1.0 - best) for end in ends]
    return QualityRule(
        layers=bare.layers,
        kinds=kinds,
        best=best,
        fmr=fmr,
        qualities=np.array([0.0, *reversed(values)], np.float32),
        thresholds=np.array(list(reversed(thresholds)), np.float32),
        least=(1.0 - least) / (1.0 - best),
        ceiling=ceiling,
        measured={
            "people_fit": len(np.unique(fit.people)),
            "people_set": len(np.unique(hold.people)),
            "photos_fit": len(fit.people),
            "photos_set": len(hold.people),
            "families": list(FAMILIES),
            "explained": round(_explained(bare, hold), 4),
            "cells": cells,
        },
    )


def _ends(pairs: _Pairs, of_plain: FloatArray, plain: float, fmr: float) -> list[float]:
    """Where cells end, from that of good photos on, which keep their threshold as far as the rate allows."""
    share = 0.0
    for share in _SHARPEST:
        good = pairs.of(pairs.alike <= float(np.quantile(of_plain, share)))
        if len(good.similarities) and _upper(good, plain) <= _SLACK * fmr:
            break
    left = 1.0 - share
    shares = [1.0 - left * _STEP**step for step in range(40)]
    ends = [float(np.quantile(of_plain, share)) for share in shares if share <= 0.99]
    return [*ends, *np.arange(ends[-1] + _WIDTH, 1.0, _WIDTH).tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Pairs of two people's photos: similarity, who, which family, and how alike photos as the better are."""

    similarities: FloatArray
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    families: NDArray[np.int64]
    alike: FloatArray

    def of(self, rows: NDArray[Any]) -> _Pairs:
        return _Pairs(
            self.similarities[rows],
            self.first[rows],
            self.second[rows],
            self.families[rows],
            self.alike[rows],
        )


def _alike_pairs(faces: Degraded, alike: FloatArray) -> _Pairs:
    """Strangers' photos that suffer alike."""
    parts = []
    for number, family in enumerate((PLAIN, *FAMILIES)):
        rows = np.flatnonzero(faces.families == family)
        i, j = np.triu_indices(len(rows), 1)
        near = np.abs(faces.strengths[rows][i] - faces.strengths[rows][j]) < _NEAR
        near &= faces.people[rows][i] != faces.people[rows][j]
        i, j = rows[i[near]], rows[j[near]]
        scores = np.einsum("nd,nd->n", faces.vectors[i], faces.vectors[j])
        parts.append(
            (
                scores,
                faces.people[i],
                faces.people[j],
                np.full(len(i), number),
                np.minimum(alike[i], alike[j]),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _Pairs(*columns)


def _holds_at(pairs: _Pairs, fmr: float) -> float:
    """The least threshold at which the rate holds: its upper bound over people, and of every family alone."""
    ordered = np.sort(pairs.similarities)[::-1]
    low, high = 0, int(fmr * len(ordered))
    while low < high:  # the most matches whose bound is below the rate
        middle = (low + high + 1) // 2
        if _upper(pairs, float(ordered[middle - 1])) <= fmr:
            low = middle
        else:
            high = middle - 1
    found = float(np.nextafter(ordered[low], np.float32(2.0)))
    for family in np.unique(pairs.families):
        own = np.sort(pairs.similarities[pairs.families == family])[::-1]
        if len(own) >= _FEWEST:
            found = max(found, float(np.nextafter(own[int(_WORST * fmr * len(own))], np.float32(2.0))))
    return found


def _upper(pairs: _Pairs, threshold: float) -> float:
    """The upper end of the one-sided 95% interval of the false match rate, over people."""
    matched = pairs.similarities >= threshold
    rate = float(matched.mean())
    size = int(max(pairs.first.max(), pairs.second.max())) + 1
    own = np.bincount(pairs.first[matched], minlength=size) + np.bincount(
        pairs.second[matched], minlength=size
    )
    of = np.bincount(pairs.first, minlength=size) + np.bincount(pairs.second, minlength=size)
    changes = (own - rate * of) / len(matched)
    variance = max(float(np.square(changes).sum()) - rate / len(matched), rate / len(matched))
    trials = rate * (1.0 - rate) / variance if rate > 0.0 else len(matched)
    z2 = _LEVEL**2 / trials
    return (rate + z2 / 2 + math.sqrt(z2 * (rate * (1.0 - rate) + z2 / 4))) / (1.0 + z2)


def _cell(pairs: _Pairs, low: float, high: float, threshold: float) -> dict[str, float]:
    inside = pairs.of((pairs.alike > low) & (pairs.alike <= high))
    matched = inside.similarities >= threshold
    return {
        "pairs": len(matched),
        "threshold": round(threshold, 4),
        "fmr": round(float(matched.mean()), 7) if len(matched) else 0.0,
        "fmr_upper": round(_upper(inside, threshold), 7) if len(matched) else 1.0,
    }


def _limits(
    faces: Degraded, alike: FloatArray, ends: Sequence[float], thresholds: Sequence[float]
) -> tuple[float, float]:
    """How bad one photo may be beside a good one, and the highest threshold that is not refused.

    Beyond either, more than `_MISSED` of the genuine pairs are missed; pairs are of different photos.
    """
    order = np.lexsort((faces.photos, faces.people))
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(faces.people[order])) + 1):
        i, j = np.triu_indices(len(rows), 1)
        other = faces.photos[rows[i]] != faces.photos[rows[j]]
        found.append(np.stack([rows[i[other]], rows[j[other]]]))
    i, j = np.concatenate(found, axis=1)
    scores = np.einsum("nd,nd->n", faces.vectors[i], faces.vectors[j])
    cells = np.searchsorted(np.array(ends), alike)
    better, worse = np.minimum(cells[i], cells[j]), np.maximum(cells[i], cells[j])
    needed = np.array(thresholds)[better]

    def missed(rows: NDArray[np.bool_]) -> float:
        return float((scores[rows] < needed[rows]).mean()) if np.count_nonzero(rows) >= 30 else 1.0

    last = next(
        (n for n in range(1, len(thresholds)) if missed((better == 0) & (worse == n)) > _MISSED), None
    )
    top = next((n for n in range(1, len(thresholds)) if missed((better == n)) > _MISSED), len(thresholds))
    return 1.0 if last is None else ends[last - 1], thresholds[top - 1]


def _how_alike(faces: Degraded) -> FloatArray:
    """(N,) how alike each photo is to the most alike strangers' photos that suffer alike."""
    found = np.zeros(len(faces.people), np.float32)
    for family in np.unique(faces.families):
        rows = np.flatnonzero(faces.families == family)
        scores = faces.vectors[rows] @ faces.vectors[rows].T
        scores[faces.people[rows][:, np.newaxis] == faces.people[rows]] = -2.0
        far = np.abs(faces.strengths[rows][:, np.newaxis] - faces.strengths[rows])
        for place, row in enumerate(rows):
            near = scores[place]
            if family != PLAIN and len(rows) > _ALIKE:
                near = near[np.argpartition(far[place], _ALIKE)[: _ALIKE + 1]]
            near = near[near > -2.0]
            top = max(1, round(len(near) * _TOP))
            found[row] = np.sort(near)[-top:].mean() if len(near) else 0.0
    return found


def _explained(rule: QualityRule, faces: Degraded) -> float:
    """Share of the variance of how alike other people's photos are that the network explains."""
    truth = _how_alike(faces)
    return float(1.0 - np.square(truth - rule.alike(faces.vectors)).mean() / truth.var())


def _learn(
    vectors: FloatArray, alike: FloatArray, kinds: NDArray[np.int64], many: int
) -> tuple[Layer, Layer, Layer]:
    """The networks; the same data give the same ones."""
    nets = [_learn_one(vectors, alike, kinds, many, seed) for seed in range(_NETWORKS)]
    first, second, third = (
        (np.stack([net[2 * n] for net in nets]), np.stack([net[2 * n + 1] for net in nets])[:, np.newaxis])
        for n in range(3)
    )
    return first, second, third


def _learn_one(
    vectors: FloatArray, alike: FloatArray, kinds: NDArray[np.int64], many: int, seed: int
) -> list[FloatArray]:
    """One: squared error of `alike`, and cross-entropy of the kind where there is one (-1: none).

    Adam (Kingma and Ba 2015) with a rate that falls as half a cosine.
    """
    rng = np.random.default_rng(seed)
    x = (vectors * math.sqrt(vectors.shape[1])).astype(np.float32)
    sizes = (x.shape[1], _WIDE, _WIDE, 1 + many)
    parts = []
    for size, after in pairwise(sizes):
        parts += [rng.normal(0.0, math.sqrt(2.0 / size), (size, after)), np.zeros(after)]
    parts = [part.astype(np.float32) for part in parts]
    # From a flat function: a network that begins with a large random one keeps some of it, and knew others
    # photos worse (0.73 of the variance instead of 0.82).
    parts[-2] *= _FLAT
    parts[-1][0] = alike.mean()
    first, second = [np.zeros_like(part) for part in parts], [np.zeros_like(part) for part in parts]
    batches = max(1, len(x) // _BATCH)
    steps, step = _ROUNDS * batches, 0
    for _ in range(_ROUNDS):
        order = rng.permutation(len(x))
        for rows in np.array_split(order, batches):
            step += 1
            rate = 3e-3 * 0.5 * (1.0 + math.cos(math.pi * step / steps))
            for place, gradient in enumerate(_gradients(parts, x[rows], alike[rows], kinds[rows])):
                first[place] += 0.1 * (gradient - first[place])
                second[place] += 0.01 * (gradient**2 - second[place])
                move = first[place] / (1 - 0.9**step) / (np.sqrt(second[place] / (1 - 0.99**step)) + 1e-8)
                parts[place] -= np.float32(rate) * (move + 1e-4 * parts[place])
    return parts


_KIND_WEIGHT = 0.003
"""Of the cross-entropy beside the squared error, which is of numbers far below 1. To tell the kinds apart
helps to know how bad a photo is: 0.86 of the variance on other people's photos, without 0.84."""


def _gradients(
    parts: Sequence[FloatArray], x: FloatArray, alike: FloatArray, kinds: NDArray[np.int64]
) -> list[FloatArray]:
    one = np.maximum(x @ parts[0] + parts[1], 0.0)
    two = np.maximum(one @ parts[2] + parts[3], 0.0)
    out = two @ parts[4] + parts[5]
    wrong = np.zeros_like(out)
    wrong[:, 0] = 2.0 * (out[:, 0] - alike) / len(x)
    told = np.flatnonzero(kinds >= 0)
    logits = out[told, 1:] - out[told, 1:].max(axis=1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    chances[np.arange(len(told)), kinds[told]] -= 1.0
    wrong[told, 1:] = _KIND_WEIGHT * chances / len(x)
    back_two = (wrong @ parts[4].T) * (two > 0.0)
    back_one = (back_two @ parts[2].T) * (one > 0.0)
    return [
        x.T @ back_one,
        back_one.sum(axis=0),
        one.T @ back_two,
        back_two.sum(axis=0),
        two.T @ wrong,
        wrong.sum(axis=0),
    ]
