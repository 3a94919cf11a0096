"""A CSV of pairs through one model: photos to similarities, and the threshold they are decided at."""

from __future__ import annotations

import os
from collections.abc import Sequence

from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_any
from facewise.evaluation.embedded import Progress
from facewise.evaluation.folds import Folds, given_folds, make_folds
from facewise.evaluation.groups_file import PairGroups
from facewise.evaluation.pair_file import PairFile
from facewise.evaluation.pair_protocol import Chosen, PairsResult, measure_pairs
from facewise.evaluation.pairs import MOST_UNREADABLE, ScoredPairs, photos_of, scored_pairs
from facewise.evaluation.side_by_side import Model, embedder_of
from facewise.metrics import accuracy, best_threshold


def evaluate_pair_file(
    file: PairFile,
    model: Model,
    *,
    threshold: float | None = None,
    threshold_from: PairFile | None = None,
    groups: Sequence[PairGroups] = (),
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> PairsResult:
    """Measure one model on a file of pairs.

    Args:
        file: The pairs.
        model: A pipeline, or an embedder where the photos are aligned crops.
        threshold: To decide at; chosen elsewhere by the caller.
        threshold_from: Pairs of other people to choose the most accurate threshold on. With neither, the
            model's own calibrated threshold at FMR 0.001 is taken, if it was not measured on these pairs.
        groups: Of the pairs.
        cache: See `embed_photos`.
        progress: Told as photos are done; there are `count_photos(file, threshold_from)`.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of a file's photos or pairs that may be unreadable and left out.

    Raises:
        DatasetError: The two files share somebody, pairs of one kind are wanting, or too many photos cannot
            be read.
    """
    if threshold_from is not None:
        check_apart(file, threshold_from)

    def score(one: PairFile) -> ScoredPairs:
        photos = photos_of(one.pairs)
        paths = [one.root / photo for photo in photos]
        done = embed_any(model, paths, cache=cache, progress=progress, processes=processes)
        embedded = dict(zip(photos, done, strict=True))
        return scored_pairs(one.pairs, embedded, name=one.name, most_unreadable=most_unreadable)

    scored = score(file)
    chosen = None
    if threshold is not None:
        chosen = Chosen(threshold, "given by the user")
    elif threshold_from is not None:
        learned = score(threshold_from)
        chosen = _most_accurate(learned, threshold_from.name)
    else:
        chosen = _calibrated(model, scored)
    return measure_file(file, scored, threshold=chosen, groups=groups)


def measure_file(
    file: PairFile, scored: ScoredPairs, *, threshold: Chosen | None, groups: Sequence[PairGroups] = ()
) -> PairsResult:
    """`measure_pairs` of those pairs of a file that could be scored.

    Args:
        file: All pairs.
        scored: Those of them whose photos could be read.
        threshold: From elsewhere, or None.
        groups: Of all pairs.

    Raises:
        DatasetError: Pairs of one kind are wanting, or all are in one fold.
    """
    kept = file.only(scored.places.tolist())
    return measure_pairs(
        scored,
        folds=folds_of(kept),
        people=kept.people,
        threshold=threshold,
        groups=[one.only(scored.places.tolist()) for one in groups],
    )


def folds_of(file: PairFile) -> Folds | None:
    """The file's own folds, or made ones; None where there are too few people or photos for any.

    Raises:
        DatasetError: The file has a column of folds, and all pairs are in one.
    """
    if not file.folded:
        return make_folds(file.pairs, file.people)
    folds = [pair.fold for pair in file.pairs]
    number = len(set(folds))
    if number == 1:
        raise DatasetError(
            f"All pairs of {file.name} are in one fold: give two or more, or take the column fold out, and "
            "folds will be made."
        )
    return given_folds(folds, f"{number} of the file{_shared(file)}")


def count_photos(*files: PairFile | None) -> int:
    """How many photos will be looked at."""
    return sum(len(photos_of(file.pairs)) for file in files if file is not None)


def check_apart(file: PairFile, other: PairFile) -> None:
    """That no person and no photo is in both files; a photo is known by its path here.

    Raises:
        DatasetError: Somebody or some photo is.
    """
    both = _photos(file) & _photos(other)
    if file.people is not None and other.people is not None:
        both |= file.everybody() & other.everybody()
    if both:
        first = min(both)
        shared = first if len(both) == 1 else f"{len(both)} people or photos, {first} among them"
        raise DatasetError(
            f"The pairs for the threshold and those to judge it on share {shared}; "
            "use files that share nobody."
        )


def _photos(file: PairFile) -> set[str]:
    return {os.path.abspath(file.root / photo) for photo in photos_of(file.pairs)}  # noqa: PTH100


def _shared(file: PairFile) -> str:
    """What is to be said of folds somebody else made: whether they part people, or at least photos."""
    seen: dict[str, int] = {}
    shared = set()
    two = file.people if file.people is not None else [(pair.a, pair.b) for pair in file.pairs]
    for pair, units in zip(file.pairs, two, strict=True):
        shared |= {unit for unit in units if seen.setdefault(unit, pair.fold) != pair.fold}
    what = "people" if file.people is not None else "photos"
    return f"; {len(shared)} {what} are in several of them, which flatters" if shared else ""


def _most_accurate(learned: ScoredPairs, name: str) -> Chosen:
    same = learned.same
    if same.all() or not same.any():
        raise DatasetError(f"The pairs of {name} are all of one kind; a threshold needs both kinds.")
    value = best_threshold(learned.similarities, same)
    right = accuracy(learned.similarities, same, value)
    return Chosen(value, f"the most accurate of {len(same)} pairs of {name} ({right:.4f} of them right)")


def _calibrated(model: Model, scored: ScoredPairs) -> Chosen | None:
    calibration = embedder_of(model).calibration
    decision = None if calibration is None else calibration.decision()
    if calibration is None or decision is None or calibration.data_hash == scored.data_hash:
        return None
    return Chosen(decision.threshold, f"the model's calibration at FMR {decision.fmr:g} ({decision.source})")
