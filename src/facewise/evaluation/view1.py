"""LFW's protocol for development: a threshold from one file of pairs, judged on another one.

View 1 of Huang et al. 2007, "Labeled Faces in the Wild", UMass TR 07-49: `pairsDevTrain.txt` and
`pairsDevTest.txt`, which share no person. View 2 is for reporting, View 1 for choosing between models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import Lfw, Pair, people_of
from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import Progress
from facewise.evaluation.pair_intervals import Verified, pair_intervals, who_is_in
from facewise.evaluation.pairs import (
    MOST_UNREADABLE,
    LeftOut,
    ScoredPairs,
    people_of_pairs,
    score_pairs,
    without_people,
)
from facewise.evaluation.thresholds import fmrs_of_two_faces
from facewise.metrics import (
    BinaryReport,
    Interval,
    VerificationResult,
    accuracy,
    best_threshold,
    binary_report,
    verify_metrics,
)
from facewise.metrics.bootstrap import percentile_interval, resample
from facewise.metrics.decisions import balanced_accuracy
from facewise.pipeline import Pipeline

FMRS = (1e-1, 1e-2)
"""What the 500 impostor pairs of `pairsDevTest.txt` can support."""

_REPEATS, _SEED, _LEVEL = 1000, 0, 0.95
_BY_PEOPLE = "accuracy"
"""What of the decisions has an interval that resamples people; the others resample pairs."""
_AT_THRESHOLD = ("decided_accuracy", "fmr", "fnmr")
_DECIDED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


@dataclass(frozen=True, slots=True, eq=False)
class View1Result:
    """How a threshold from the training part does on the test part.

    Attributes:
        protocol: What was run, for people.
        threshold: The most accurate one of the training part.
        train_accuracy: Accuracy of the training part at it; it was chosen there, so it flatters.
        report: Decisions on the test part at it.
        balanced_accuracy: Of the test part at it.
        metrics: What needs no threshold from elsewhere, of the test part: AUC, EER, TAR at FMR.
        intervals: Of the test part, by name: accuracy, balanced_accuracy, precision, recall and f1 at the
            threshold as it is, and those of `metrics`. People are resampled, but for balanced_accuracy,
            precision, recall and f1, where pairs are, as if independent, within same and different; that the
            training part could have been another is not in them.
        resampled: What the former resample, for people.
        train: The training part.
        test: The test part.
        left_out: What was left out of the test part for the sake of people named; None where nobody was.
    """

    protocol: str
    threshold: float
    train_accuracy: float
    report: BinaryReport
    balanced_accuracy: float
    metrics: VerificationResult
    intervals: Mapping[str, Interval]
    resampled: str
    train: ScoredPairs
    test: ScoredPairs
    left_out: LeftOut | None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON, pairs and similarities left out."""
        train = self.train.same
        counts = {"pairs": len(train), "genuine": int(train.sum()), "impostors": int((~train).sum())}
        whole = self.metrics.to_dict()
        return {
            "dataset": "LFW",
            "protocol": self.protocol,
            "threshold": self.threshold,
            **asdict(self.report),
            "balanced_accuracy": self.balanced_accuracy,
            **{name: whole[name] for name in ("auc", "eer", "eer_threshold", "operating_points")},
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "intervals_resample": self.resampled,
            "intervals_resample_pairs_for": [name for name in _DECIDED if name != _BY_PEOPLE],
            "fmr_of_two_faces": fmrs_of_two_faces(self.test, self.metrics),
            **{name: whole[name] for name in ("pairs", "genuine", "impostors")},
            **self.test.to_dict(),
            "left_out": None if self.left_out is None else self.left_out.to_dict(),
            "train": {"accuracy": self.train_accuracy, **counts, **self.train.to_dict()},
        }


def evaluate_view1(
    train: Lfw,
    test: Lfw,
    pipeline: Pipeline,
    *,
    protocol: str = "View 1",
    without: Collection[str] = (),
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> View1Result:
    """Choose the most accurate threshold on one file of pairs, and judge it on another.

    Args:
        train: Photos, and the pairs to choose the threshold on; their folds do not matter.
        test: Photos, and the pairs to judge it on.
        pipeline: Detector and embedder; the embedder's flip setting is used.
        protocol: What the two files are called in the result.
        without: People whose pairs are left out of the test part, such as those the embedder was trained on.
        cache: See `embed_photos`.
        progress: Told as photos are done: those of the training part, then those of the test part.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of a part's photos or pairs that may be unreadable and left out.

    Raises:
        DatasetError: A person is in both parts, a part lacks a kind of pair, or too many of its photos cannot
            be read.
    """
    judged, left_out = test.pairs, None
    if without:
        judged, left_out = without_people(judged, without)
    _check(train.pairs, judged)
    learned, seen = (
        score_pairs(
            images,
            pairs,
            pipeline,
            cache=cache,
            progress=progress,
            processes=processes,
            most_unreadable=most_unreadable,
        )
        for images, pairs in ((train.images, train.pairs), (test.images, judged))
    )
    _check(learned.pairs, seen.pairs)
    threshold = best_threshold(learned.similarities, learned.same)
    plain = verify_metrics(seen.similarities, seen.same, fmrs=FMRS, repeats=0)
    who = who_is_in(seen.pairs, people_of_pairs(seen.pairs))
    verified = Verified(seen.similarities, seen.same, None, FMRS, threshold)
    inside = pair_intervals(verified, who)
    of_metrics = {name: one for name, one in inside.items() if name not in _AT_THRESHOLD}
    metrics = replace(plain, intervals=of_metrics)
    by_people = {_BY_PEOPLE: inside["decided_accuracy"]}
    return View1Result(
        protocol=protocol,
        threshold=threshold,
        train_accuracy=accuracy(learned.similarities, learned.same, threshold),
        report=binary_report(seen.similarities, seen.same, threshold),
        balanced_accuracy=balanced_accuracy(seen.similarities, seen.same, threshold),
        metrics=metrics,
        intervals={**decided_intervals(seen, threshold), **by_people, **of_metrics},
        resampled=who.resampled,
        train=learned,
        test=seen,
        left_out=left_out,
    )


def _check(train: tuple[Pair, ...], judged: tuple[Pair, ...]) -> None:
    both = sorted(people_of(train) & people_of(judged))
    if both:
        shared = both[0] if len(both) == 1 else f"{len(both)} people, {both[0]} among them"
        raise DatasetError(
            f"The pairs for the threshold and those to judge it on share {shared}; use files that share "
            "nobody, or leave these people out."
        )
    for name, pairs in (("for the threshold", train), ("to judge it on", judged)):
        if len({pair.same for pair in pairs}) < 2:
            raise DatasetError(
                f"The pairs {name} are all of one kind; pairs of one and of two people are needed."
            )


def decided_intervals(scored: ScoredPairs, threshold: float) -> dict[str, Interval]:
    """Of what is decided at a fixed threshold: accuracy, balanced_accuracy, precision, recall and f1.

    Pairs are resampled, as if independent, within same and different.
    """
    same, matched = scored.same, scored.similarities >= threshold
    kinds = (matched & same, matched & ~same, ~matched & ~same, ~matched & same)

    def rates(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        tp, fp, tn, fn = (counts[:, kind].sum(axis=1).astype(np.float64) for kind in kinds)
        recall, specificity = tp / (tp + fn), tn / (tn + fp)
        # A resample in which nothing matches has precision 0, as in `binary_report`.
        precision, f1 = tp / np.maximum(tp + fp, 1), 2 * tp / (2 * tp + fp + fn)
        return np.stack([(tp + tn) / len(same), (recall + specificity) / 2, precision, recall, f1], axis=1)

    estimates = rates(np.ones((1, len(same)), np.int64))[0]
    draws = resample(rates, same, _REPEATS, _SEED)
    return {
        name: percentile_interval(float(estimate), column, _LEVEL)
        for name, estimate, column in zip(_DECIDED, estimates, draws.T, strict=True)
    }
