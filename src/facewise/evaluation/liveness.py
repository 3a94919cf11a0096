"""Calibrating liveness: a threshold on live faces and pictures of faces, judged on subjects it never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise.errors import DatasetError, SettingError
from facewise.evaluation.pairs import MOST_UNREADABLE, check_readable
from facewise.metrics.presentation import attack_threshold, rate_by_subject
from facewise.models.liveness import ErrorRate, LivenessCalibration
from facewise.photos import find_photos
from facewise.pipeline import PhotoFaces, Pipeline, Steps

APCER = 0.05
"""The share of attacks that may pass unless another is asked for: ISO/IEC 30107-3 reports BPCER there."""

LIVE = "live"
SPOOF = "spoof"
_FOLDS = 10
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Presentation:
    """One photo of a live face, or of an attack.

    Attributes:
        path: The photo.
        subject: Who is in it.
        attack: Empty of a live face, else the kind of attack.
    """

    path: Path
    subject: str
    attack: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A presentation with its main face's score in [0, 1] and the fold it was judged in."""

    presentation: Presentation
    score: float
    fold: int
    live: bool


@dataclass(frozen=True, slots=True)
class LivenessMeasured:
    """What a calibration came to.

    Attributes:
        calibration: To be kept with the model.
        scored: Every photo with a face, and whether it was taken for live.
        thresholds: Of the folds.
        unreadable: Photos, and why each could not be read.
        without_face: Photos in which none was found.
    """

    calibration: LivenessCalibration
    scored: tuple[Scored, ...]
    thresholds: tuple[float, ...]
    unreadable: tuple[tuple[str, str], ...]
    without_face: tuple[str, ...]


def find_presentations(folder: Path) -> list[Presentation]:
    """The photos of `live/SUBJECT/` and `spoof/SUBJECT/` or `spoof/ATTACK/SUBJECT/`.

    Raises:
        DatasetError: The folder is not laid out so, or has fewer than two subjects of either.
    """
    found = [*_in(folder, LIVE), *_in(folder, SPOOF)]
    for kind in (LIVE, SPOOF):
        subjects = {one.subject for one in found if bool(one.attack) == (kind == SPOOF)}
        if len(subjects) < _LEAST:
            raise DatasetError(
                f"{folder / kind} holds photos of {len(subjects)} subjects, in a folder each, and at least "
                f"{_LEAST} are needed: each is judged by what the others say."
            )
    return found


def _in(folder: Path, kind: str) -> list[Presentation]:
    root = folder / kind
    if not root.is_dir():
        raise DatasetError(
            f"There is no folder {root}: liveness is calibrated on DIR/live and DIR/spoof, with one folder "
            "of photos for each subject."
        )
    found = []
    for path in find_photos(root):
        *folders, _ = path.relative_to(root).parts
        if not folders or len(folders) > (1 if kind == LIVE else 2):
            where = f"{kind}/SUBJECT" if kind == LIVE else f"{kind}/SUBJECT or {kind}/ATTACK/SUBJECT"
            raise DatasetError(f"{path} is not in a folder {where}.")
        attack = "" if kind == LIVE else folders[0] if len(folders) == 2 else "attack"
        found.append(Presentation(path, folders[-1], attack))
    return found


def calibrate_liveness(
    folder: Path,
    pipeline: Pipeline,
    *,
    target: float = APCER,
    most_unreadable: float = MOST_UNREADABLE,
    progress: Callable[[int], None] = lambda _: None,
) -> LivenessMeasured:
    """Set a threshold on all subjects, and measure thresholds set likewise on others than they judge.

    The subjects are parted into ten folds, or as many as there are subjects; who is there live and in an
    attack is in one fold. The main face of each photo counts, and a photo without one is left out.

    Args:
        folder: See `find_presentations`.
        pipeline: With a liveness model.
        target: APCER to stay within, of every kind of attack.
        most_unreadable: Share of the photos that may be unreadable and left out.
        progress: Told how many photos are done.

    Raises:
        DatasetError: The folder is not laid out so, too many photos cannot be read, or in too few of them is
            a face.
        SettingError: The pipeline has no liveness model, or the target is out of range.
    """
    if pipeline.liveness is None:
        raise SettingError("Liveness is calibrated with a pipeline that has a liveness model.")
    if not 0.0 <= target < 1.0:
        raise SettingError(f"An APCER to aim at lies from 0 and below 1, not at {target}.")
    presentations = find_presentations(folder)
    photos: list[PhotoFaces] = []
    steps = Steps(embed=False, main_only=True)
    for photo in pipeline.read_many([str(one.path) for one in presentations], steps):
        photos.append(photo)
        progress(len(photos))
    unreadable = tuple((photo.source, str(photo.error)) for photo in photos if photo.error is not None)
    check_readable(folder.name, unreadable, {"photos": (len(unreadable), len(photos))}, most_unreadable)
    there = [
        (one, photo, photo.faces[0].liveness.score)
        for one, photo in zip(presentations, photos, strict=True)
        if photo.faces and photo.faces[0].liveness is not None
    ]
    faceless = [
        one
        for one, photo in zip(presentations, photos, strict=True)
        if photo.error is None and not photo.faces
    ]
    scored, thresholds = cross_fitted([(one, score) for one, _, score in there], target)
    digest = hashlib.sha256()
    for line in sorted(f"{one.attack}/{one.subject}/{photo.sha256}" for one, photo, _ in there):
        digest.update(f"{line}\n".encode())
    live, attacks = _parted([(one, score) for one, _, score in there])
    calibration = LivenessCalibration(
        dataset=folder.resolve().name,
        data_hash=digest.hexdigest(),
        networks=pipeline.liveness.fingerprints,
        detector=pipeline.detector.name,
        detector_fingerprint=pipeline.detector.fingerprint,
        target=target,
        threshold=attack_threshold(live, attacks, target),
        attacks={kind: error_rate([s for s in scored if s.presentation.attack == kind]) for kind in attacks},
        bpcer=error_rate([s for s in scored if not s.presentation.attack]),
        folds=len(thresholds),
        faceless=(sum(not one.attack for one in faceless), sum(bool(one.attack) for one in faceless)),
    )
    return LivenessMeasured(
        calibration, tuple(scored), thresholds, unreadable, tuple(str(one.path) for one in faceless)
    )


def cross_fitted(
    scores: Sequence[tuple[Presentation, float]], target: float
) -> tuple[list[Scored], tuple[float, ...]]:
    """Each photo judged by the threshold of subjects of other folds, and the thresholds.

    Raises:
        DatasetError: Too few subjects have a face that was found.
    """
    subjects = sorted({one.subject for one, _ in scores})
    folds = max(1, min(_FOLDS, len(subjects)))
    fold_of = {subject: i % folds for i, subject in enumerate(subjects)}
    thresholds = []
    for fold in range(folds):
        live, attacks = _parted([s for s in scores if fold_of[s[0].subject] != fold])
        if not live or not attacks:
            raise DatasetError(
                "Faces were found of too few subjects to judge each by the others: live ones and attacks of "
                "two subjects at least are needed."
            )
        thresholds.append(attack_threshold(live, attacks, target))
    scored = [
        Scored(one, score, fold, score >= thresholds[fold])
        for one, score in scores
        for fold in (fold_of[one.subject],)
    ]
    return scored, tuple(thresholds)


def _parted(scores: Sequence[tuple[Presentation, float]]) -> tuple[list[float], dict[str, list[float]]]:
    live = [score for one, score in scores if not one.attack]
    attacks: dict[str, list[float]] = {}
    for one, score in scores:
        if one.attack:
            attacks.setdefault(one.attack, []).append(score)
    return live, attacks


def error_rate(scored: Sequence[Scored]) -> ErrorRate:
    """How many of some photos, all live or all attacks, were taken for the other."""
    wrong = np.array([one.live == bool(one.presentation.attack) for one in scored])
    subjects = [one.presentation.subject for one in scored]
    rate = rate_by_subject(wrong, subjects)
    return ErrorRate(rate.estimate, (rate.low, rate.high), int(wrong.sum()), len(wrong), len(set(subjects)))
