"""The LFW protocol: pairs in ten folds (View 2), and one-shot identification of everybody.

Huang et al. 2007 (07-49) for the pairs, Huang and Learned-Miller 2014 (UM-CS-2014-003) for the protocol
"unrestricted, labeled outside data"; Best-Rowden et al. 2014 for open-set identification on LFW.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import Lfw
from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import Progress, embed_photos
from facewise.evaluation.identification import identify_probes, stacked
from facewise.evaluation.pair_intervals import Verified, pair_intervals, who_is_in
from facewise.evaluation.pairs import (
    MOST_UNREADABLE,
    LeftOut,
    ScoredPairs,
    check_readable,
    people_of_pairs,
    photos_of,
    score_pairs,
    without_people,
)
from facewise.evaluation.thresholds import fmrs_of_two_faces, measured_calibration
from facewise.metrics import (
    IdentificationResult,
    KFold,
    VerificationResult,
    kfold_accuracy,
    verify_metrics,
)
from facewise.metrics.intervals import decided_rightly
from facewise.models import Calibration
from facewise.pipeline import Pipeline

__all__ = ["FMRS", "LfwResult", "OneShotResult", "evaluate_lfw", "one_shot", "photos_of"]

FMRS = (1e-1, 1e-2, 1e-3)


@dataclass(frozen=True, slots=True, eq=False)
class LfwResult:
    """View 2, or a part of it.

    Attributes:
        metrics: Accuracy by fold, TAR at FMR, EER, AUC, with intervals.
        resampled: What the intervals resample, for people.
        scored: The pairs and how alike they are found.
        balanced: Balanced accuracy by fold, its thresholds chosen to maximise it on the other folds; None
            where a fold has but one kind of pair, as may be when people are left out.
        left_out: What was left out for the sake of people named; None where nobody was.
    """

    metrics: VerificationResult
    resampled: str
    scored: ScoredPairs
    balanced: KFold | None = None
    left_out: LeftOut | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON, the similarities left out."""
        return {
            "dataset": "LFW",
            "protocol": self.protocol,
            **self.scored.to_dict(),
            "left_out": None if self.left_out is None else self.left_out.to_dict(),
            "balanced_kfold": None if self.balanced is None else self.balanced.to_dict(),
            **self.metrics.to_dict(),
            "fmr_of_two_faces": fmrs_of_two_faces(self.scored, self.metrics),
            "intervals_resample": self.resampled,
        }

    @property
    def protocol(self) -> str:
        """What was run, for people."""
        pairs = self.scored.pairs
        what = f"View 2, {len({pair.fold for pair in pairs})} folds, {len(pairs)} pairs"
        return what if self.left_out is None else f"{what} ({self.left_out})"

    def calibration(self, pipeline: Pipeline) -> Calibration:
        """Thresholds for the embedder's model file; rates that the negatives cannot support are left out.

        They are those of the pairs with two faces: see `measured_calibration`.
        """
        metrics, scored = self.metrics, self.scored
        if scored.affected:
            scored = scored.with_two_faces()
            metrics, _ = _measured(scored, np.array([pair.fold for pair in scored.pairs]))
        return measured_calibration(metrics, pipeline, scored, dataset="LFW", protocol=self.protocol)


def evaluate_lfw(
    lfw: Lfw,
    pipeline: Pipeline,
    *,
    folds: Sequence[int] | None = None,
    without: Collection[str] = (),
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> LfwResult:
    """Run View 2: the threshold of each fold is chosen on the other folds.

    Args:
        lfw: Photos and pairs.
        pipeline: Detector and embedder; the embedder's flip setting is used.
        folds: Only these 0-based folds, two or more; None is all.
        without: People whose pairs are left out, such as those the embedder was trained on.
        cache: See `embed_photos`.
        progress: Told as photos are done; there are `len(photos_of(pairs))`.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos or pairs that may be unreadable and left out.

    Raises:
        DatasetError: No pair or fewer than two folds are left, or only one kind of pair without a fold; or
            too many photos cannot be read.
    """
    pairs = tuple(pair for pair in lfw.pairs if folds is None or pair.fold in folds)
    left_out = None
    if without:
        pairs, left_out = without_people(pairs, without)
    if len({pair.fold for pair in pairs}) < 2:
        raise DatasetError(
            "Accuracy by the LFW protocol needs at least two folds; use the official pairs.txt."
        )
    scored = score_pairs(
        lfw.images,
        pairs,
        pipeline,
        cache=cache,
        progress=progress,
        processes=processes,
        most_unreadable=most_unreadable,
    )
    same, fold = scored.same, np.array([pair.fold for pair in scored.pairs])
    metrics, resampled = _measured(scored, fold)
    return LfwResult(
        metrics=metrics,
        resampled=resampled,
        scored=scored,
        balanced=_balanced(scored.similarities, same, fold),
        left_out=left_out,
    )


def _measured(scored: ScoredPairs, folds: NDArray[np.int64]) -> tuple[VerificationResult, str]:
    """The metrics with intervals, and what those resample: the people, where there are enough."""
    similarities, same = scored.similarities, scored.same
    plain = verify_metrics(similarities, same, folds=folds, fmrs=FMRS, repeats=0)
    who = who_is_in(scored.pairs, people_of_pairs(scored.pairs))
    verified = Verified(similarities, same, decided_rightly(similarities, same, folds), FMRS)
    return replace(plain, intervals=pair_intervals(verified, who)), who.resampled


def _balanced(
    similarities: NDArray[np.float64], same: NDArray[np.bool_], folds: NDArray[np.int64]
) -> KFold | None:
    """Balanced accuracy by fold where every fold has both kinds of pair."""
    if any(len(np.unique(same[folds == fold])) < 2 for fold in np.unique(folds)):
        return None
    return kfold_accuracy(similarities, same, folds, balanced=True)


@dataclass(frozen=True, slots=True, eq=False)
class OneShotResult:
    """Identification with one photo a person in the gallery.

    Attributes:
        metrics: Rank-1, CMC, DIR at FPIR.
        without_face: Photos in which no face was found: a probe of them counts as missed, one of a stranger
            as rightly given no name, a gallery photo of them as a person nobody is alike.
        faceless_probes: How many probes have no face: of people in the gallery, and of strangers.
        unreadable: Photos that could not be read, with the reason; it is as if they were not there.
    """

    metrics: IdentificationResult
    without_face: tuple[str, ...]
    faceless_probes: tuple[int, int]
    unreadable: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "dataset": "LFW",
            "protocol": "one-shot identification",
            "without_face": list(self.without_face),
            "probes_without_face": dict(zip(("mated", "strangers"), self.faceless_probes, strict=True)),
            "unreadable": [{"photo": photo, "error": error} for photo, error in self.unreadable],
            **self.metrics.to_dict(),
        }


def one_shot(
    lfw: Lfw,
    pipeline: Pipeline,
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> OneShotResult:
    """Gallery: the first photo of everybody with two or more. Probes: all other photos there are.

    Args:
        lfw: Photos and people.
        pipeline: Detector and embedder.
        cache: See `embed_photos`.
        progress: Told as photos are done; all photos of LFW are.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos that may be unreadable and left out.

    Raises:
        DatasetError: Nobody has two photos, or too many cannot be read.
    """
    if all(len(person) < 2 for person in lfw.people.values()):
        raise DatasetError(f"Nobody under {lfw.images} has two photos, so there is nobody to identify.")
    photos = [photo for person in lfw.people.values() for photo in person]
    done = embed_photos(
        pipeline, [lfw.images / p for p in photos], cache=cache, progress=progress, processes=processes
    )
    embedded = dict(zip(photos, done, strict=True))
    unreadable = tuple((p, str(e.error)) for p, e in embedded.items() if e.error is not None)
    counts = {"photos": (len(unreadable), len(photos))}
    check_readable(str(lfw.images), unreadable, counts, most_unreadable)
    readable = {
        name: [photo for photo in person if embedded[photo].error is None]
        for name, person in lfw.people.items()
    }
    several = [name for name, person in readable.items() if len(person) > 1]
    if not several:
        raise DatasetError(f"Nobody under {lfw.images} has two readable photos to be identified by.")
    column = {name: i for i, name in enumerate(several)}
    probes = [(photo, name) for name, person in readable.items() for photo in person[name in column :]]
    row = {photo: i for i, photo in enumerate(photos)}
    metrics = identify_probes(
        *stacked(done, pipeline.embedder.embedding_size),
        [[row[readable[name][0]]] for name in several],
        [row[photo] for photo, _ in probes],
        [column.get(name, -1) for _, name in probes],
    )
    faceless = [name in column for photo, name in probes if embedded[photo].embedding is None]
    return OneShotResult(
        metrics=metrics,
        faceless_probes=(sum(faceless), len(faceless) - sum(faceless)),
        without_face=tuple(p for p, e in embedded.items() if e.embedding is None and e.error is None),
        unreadable=unreadable,
    )
