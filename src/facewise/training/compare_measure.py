"""What the runs of a comparison came to, each and against each other, by their held-out photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from facewise.errors import DatasetError
from facewise.metrics.operating_point import tar_at_fmr
from facewise.metrics.roc_curve import auc
from facewise.training.compare_plan import FEWEST_PEOPLE
from facewise.training.comparison import MethodRun
from facewise.training.differences import Difference, accuracy_draws, auc_draws, compare_pairs
from facewise.training.heldout import HeldOutPhotos, read_held_out
from facewise.training.log import read_metrics
from facewise.training.run import ENVIRONMENT
from facewise.training.validation import make_pairs, pair_cosines

_FEWEST_PHOTOS = 10
_REPEATS = 1000


def measure(method: str, seed: int, folder: Path) -> MethodRun:
    """What a finished run came to: by its held-out photos, on the same pairs whatever its seed."""
    values: dict[str, float] = {}
    held = read_held_out(folder)
    if held.known is not None and held.known.predicted is not None:
        values["accuracy"] = float((held.known.predicted == held.known.labels).mean())
    if held.unknown is not None:
        pairs = make_pairs(held.unknown.labels, 0)
        scores = pair_cosines(held.unknown.embeddings, pairs)
        values["auc"] = float(auc(scores, pairs.same))
        values["tar@fmr=0.01"] = float(tar_at_fmr(scores, pairs.same, 0.01).tar)
    epochs = [line for line in read_metrics(folder) if line["kind"] == "train"]
    if epochs:
        values["seconds"] = float(epochs[-1]["seconds"])
        # The median: an epoch that something disturbed, or that was cut in two, says little.
        values["images/s"] = float(np.median([line["images/s"] for line in epochs]))
    return MethodRun(method, seed, folder, values)


def differences_of(runs: Sequence[MethodRun], note: Callable[[str], None]) -> list[Difference]:
    """Every two methods by accuracy and by AUC.

    Args:
        runs: Of all methods; those that failed are left out.
        note: Told what could not be compared.

    Raises:
        DatasetError: The runs hold out different photos.
    """
    named = [(run.method, run.seed) for run in runs if run.error is None]
    held = [read_held_out(run.folder) for run in runs if run.error is None]
    known = [one.known for one in held]
    unknown = [one.unknown for one in held]
    return [*_by_accuracy(named, known, note), *_by_auc(named, unknown, note)]


def _by_accuracy(
    named: Sequence[tuple[str, int]], known: Sequence[HeldOutPhotos | None], note: Callable[[str], None]
) -> Sequence[Difference]:
    usable = [
        (name, p) for name, p in zip(named, known, strict=True) if p is not None and p.predicted is not None
    ]
    if not usable:
        return []
    photos = [p for _, p in usable]
    _check_same(photos)
    count = len(photos[0].keys)
    if count < _FEWEST_PHOTOS:
        note(f"{count} photos are held out: too few to compare accuracies.")
        return []
    values, draws = accuracy_draws(np.stack([p.predicted == p.labels for p in photos]), _REPEATS, 0)
    return compare_pairs("accuracy", [name for name, _ in usable], values, draws, count)


def _by_auc(
    named: Sequence[tuple[str, int]], unknown: Sequence[HeldOutPhotos | None], note: Callable[[str], None]
) -> Sequence[Difference]:
    photos = [p for p in unknown if p is not None]
    if not photos:
        return []
    _check_same(photos)
    people = len(photos[0].names)
    if people < FEWEST_PEOPLE:
        note(f"{people} people are held out: too few to compare verification.")
        return []
    labels = photos[0].labels
    pairs = make_pairs(labels, 0)
    scores = np.stack([pair_cosines(p.embeddings, pairs) for p in photos])
    values, draws = auc_draws(scores, pairs, labels, _REPEATS, 0)
    return compare_pairs("auc", named, values, draws, people)


def _check_same(photos: Sequence[HeldOutPhotos]) -> None:
    if any(one.keys != photos[0].keys for one in photos):
        raise DatasetError("The runs hold out different photos: compare them anew, in another folder.")


def cautions(runs: Sequence[MethodRun]) -> list[str]:
    """What makes the runs less alike than they should be."""
    found = []
    done = [run for run in runs if run.error is None]
    named = [run.method for run in done if "accuracy" in run.values]
    nameless = sorted({run.method for run in done} - set(named))
    if nameless:
        found.append(f"Of {', '.join(nameless)} no accuracy is measured: a loss on pairs names nobody.")
    steps = {run.folder: [line["step"] for line in read_metrics(run.folder)][-1:] for run in done}
    if len({tuple(last) for last in steps.values()}) > 1:
        counts = dict.fromkeys(f"{run.method} {steps[run.folder][0]}" for run in done if steps[run.folder])
        found.append(f"The runs took different numbers of steps: {', '.join(counts)}.")
    machines = {_machine(run.folder) for run in done}
    if len(machines) > 1:
        found.append("The runs were not all made on the same machine: do not compare their times.")
    if done:
        found.append(
            "Each run is measured at its best epoch by the same held-out photos, which flatters all of "
            "them a little."
        )
    return found


def _machine(folder: Path) -> str:
    try:
        return json.dumps(json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))["machine"])
    except (OSError, ValueError, KeyError):
        return ""
