"""Several losses, or whole recipes, trained alike with several seeds, and what of their differences is noise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facewise.data.source import Source
from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.files import write_bytes
from facewise.metrics.operating_point import tar_at_fmr
from facewise.metrics.roc_curve import auc
from facewise.pipeline import Pipeline
from facewise.training.compare_plan import FEWEST_PEOPLE, RECIPE, Job, methods_of, plan
from facewise.training.comparison import Comparison, MethodRun
from facewise.training.curves import draw_bands
from facewise.training.differences import Difference, accuracy_draws, auc_draws, compare_pairs
from facewise.training.display import Bar, Display
from facewise.training.distributed import World
from facewise.training.embedding_map import Method as MapMethod
from facewise.training.embedding_map import draw_embedding_map
from facewise.training.engine import StoppedError
from facewise.training.heldout import HeldOut, HeldOutPhotos, pair_scores, read_held_out
from facewise.training.log import read_metrics
from facewise.training.run import ENVIRONMENT, train
from facewise.training.validation import make_pairs

_FEWEST_PHOTOS = 10
_REPEATS = 2000


def compare(
    data: str | Path | Source,
    losses: Sequence[str] = ("softmax", "arcface"),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    recipes: Sequence[str] = (),
    recipe: str | Path = RECIPE,
    settings: Mapping[str, Any] | None = None,
    per_loss: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    pipeline: Callable[[], Pipeline] | None = None,
    device: str = "auto",
    display: Callable[[], Display] = Bar,
    embedding_map: MapMethod = "pca",
) -> Comparison:
    """Train each method with each seed on the same photos, and tell what the differences are worth.

    Each run is a folder `OUT/<method>-seed<k>`. The same call again goes on where it was: finished runs are
    used as they are, unfinished ones resumed, failed ones tried again. A run that fails does not end the
    others. Photos and people are held out by `data.split_seed`, 0 unless set, the same for all runs; where
    no setting says how many people, a fifth of them if that is five or more.

    Args:
        data: As for `train`.
        losses: Compared within one recipe; its own loss keeps the options it has there, others have theirs as
            published. Not used with `recipes`.
        seeds: Of training.
        recipes: Names or files of recipes to compare instead.
        recipe: What is the same for all losses.
        settings: Dotted settings for all.
        per_loss: Settings for one loss or recipe alone, `{"arcface": {"loss.margin": 0.3}}`.
        out: Folder; by default `runs/compare-` and the names.
        pipeline: As for `train`.
        device: As for `train`.
        display: Makes what shows the progress of one run.
        embedding_map: How the embeddings are drawn.

    Returns:
        What was found; it is also in `OUT/comparison.json` and `comparison.md`, with `curves.png` and
        `embedding_map.png`.

    Raises:
        SettingError: Something cannot be trained, or a folder holds another run; nothing was trained.
        DatasetError: The data cannot be trained on.
        StoppedError: Somebody stopped it; the same call goes on.
    """
    if World.from_environment(device).size > 1:
        raise SettingError("A comparison runs in one process: start it without torchrun.")
    seeds = list(dict.fromkeys(seeds))
    if not seeds:
        raise SettingError("A comparison needs a seed, better three.")
    say, notes = display().say, list[str]()

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    methods = methods_of(
        [] if recipes else losses, recipes, str(recipe), settings or {}, per_loss or {}, note
    )
    folder = (
        Path(out) if out is not None else Path("runs") / "-".join(["compare", *(m.name for m in methods)])
    )
    jobs = plan(data, methods, seeds, folder, pipeline=pipeline, say=say, tell_note=note)
    errors = _train_all(jobs, data, device, display, say)
    runs = [_measured(job, errors.get(job.folder)) for job in jobs]
    differences = _differences(jobs, runs, note)
    notes += _cautions(runs)
    owns = {method.name: method.own for method in methods} | {job.method.name: job.method.own for job in jobs}
    found = Comparison(folder, owns, seeds, runs, differences, notes)
    _write(found, embedding_map)
    return found


def _train_all(
    jobs: Sequence[Job],
    data: str | Path | Source,
    device: str,
    display: Callable[[], Display],
    say: Callable[[str], None],
) -> dict[Path, str]:
    """Train what is not trained yet; why runs failed, by folder."""
    errors: dict[Path, str] = {}
    todo = [job for job in jobs if not job.finished]
    if len(todo) < len(jobs):
        say(f"{len(jobs) - len(todo)} of {len(jobs)} runs are finished already.")
    begun = time.monotonic()
    for done, job in enumerate(todo):
        left = (time.monotonic() - begun) / done * (len(todo) - done) if done else None
        place = f"Run {len(jobs) - len(todo) + done + 1} of {len(jobs)}: {job.method.name}, seed {job.seed}"
        say(
            place
            + (", resumed" if job.begun else "")
            + ("" if left is None else f"; {_duration(left)} left")
            + "."
        )
        try:
            _train(job, data, device, display())
        except StoppedError:
            raise StoppedError(
                f"Stopped and saved in run {place.removeprefix('Run ')}; the same command goes on from there."
            ) from None
        except FacewiseError as error:
            errors[job.folder] = " ".join(str(error).split())
            say(f"{job.method.name}, seed {job.seed}, failed: {errors[job.folder]}")
    return errors


def _train(job: Job, data: str | Path | Source, device: str, display: Display) -> None:
    if job.begun:
        train(data, resume=job.folder, device=device, display=display)
        return
    job.clear()
    settings = {**job.method.settings, "seed": job.seed}
    train(data, job.method.recipe, out=job.folder, settings=settings, device=device, display=display)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"


def _measured(job: Job, error: str | None) -> MethodRun:
    """What a run came to, all from its held-out photos, so that every run is measured on the same pairs."""
    if error is not None:
        return MethodRun(job.method.name, job.seed, job.folder, {}, error)
    values: dict[str, float] = {}
    held = read_held_out(job.folder)
    if held.known is not None and held.known.predicted is not None:
        values["accuracy"] = float(_right(held).mean())
    if held.unknown is not None:
        pairs = make_pairs(held.unknown.labels, 0)
        scores = pair_scores(held.unknown, pairs)
        values["auc"] = float(auc(scores, pairs.same))
        values["tar@fmr=0.01"] = float(tar_at_fmr(scores, pairs.same, 0.01).tar)
    epochs = [line for line in read_metrics(job.folder) if line["kind"] == "train"]
    if epochs:
        values["seconds"] = float(epochs[-1]["seconds"])
        # The median: an epoch that something disturbed, or that was cut in two, says little.
        values["images/s"] = float(np.median([line["images/s"] for line in epochs]))
    return MethodRun(job.method.name, job.seed, job.folder, values)


def _right(held: HeldOut) -> Any:
    assert held.known is not None  # noqa: S101  asked before
    return held.known.predicted == held.known.labels


def _differences(
    jobs: Sequence[Job], runs: Sequence[MethodRun], note: Callable[[str], None]
) -> list[Difference]:
    found: list[Difference] = []
    named = [(run.method, run.seed, read_held_out(run.folder)) for run in runs if run.error is None]
    known = [one for one in named if one[2].known is not None and one[2].known.predicted is not None]
    if known:
        photos = [held.known for _, _, held in known if held.known is not None]
        _check_same(photos)
        right = np.stack([_right(held) for _, _, held in known])
        if right.shape[1] < _FEWEST_PHOTOS:
            note(f"{right.shape[1]} photos are held out: too few to compare accuracies.")
        else:
            values, draws = accuracy_draws(right, _REPEATS, 0)
            found += compare_pairs("accuracy", [one[:2] for one in known], values, draws, right.shape[1])
    unknown = [held.unknown for _, _, held in named if held.unknown is not None]
    if unknown:
        _check_same(unknown)
        if len(unknown[0].names) < FEWEST_PEOPLE:
            note(f"{len(unknown[0].names)} people are held out: too few to compare verification.")
        else:
            labels, pairs = unknown[0].labels, make_pairs(unknown[0].labels, 0)
            scores = np.stack([pair_scores(photos, pairs) for photos in unknown])
            values, draws = auc_draws(scores, pairs, labels, _REPEATS, 0)
            found += compare_pairs("auc", [one[:2] for one in named], values, draws, len(unknown[0].names))
    return found


def _check_same(photos: Sequence[HeldOutPhotos]) -> None:
    if any(one.keys != photos[0].keys for one in photos):
        raise DatasetError("The runs hold out different photos: compare them anew, in another folder.")


def _cautions(runs: Sequence[MethodRun]) -> list[str]:
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
            "Each run is measured at its best epoch by the same held-out photos, which flatters all of them a "
            "little."
        )
    return found


def _machine(folder: Path) -> str:
    try:
        return json.dumps(json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))["machine"])
    except (OSError, ValueError, KeyError):
        return ""


def _write(found: Comparison, embedding_map: MapMethod) -> None:
    folder = found.folder
    write_bytes(
        folder / "comparison.json", json.dumps(found.to_dict(), indent=2, ensure_ascii=False).encode()
    )
    write_bytes(folder / "comparison.md", found.markdown().encode())
    done = [run for run in found.runs if run.error is None]
    if not done:
        return
    methods = list(dict.fromkeys(run.method for run in done))
    draw_bands(
        {name: [run.folder for run in done if run.method == name] for name in methods}, folder / "curves.png"
    )
    panels = {}
    for name in methods:
        by = "auc" if "auc" in done[0].values else "accuracy"
        best = max((run for run in done if run.method == name), key=lambda run: run.values[by])
        held = read_held_out(best.folder)
        photos = held.known if held.unknown is None else held.unknown
        if photos is not None:
            panels[f"{name}, seed {best.seed} (best by {by})"] = photos
    draw_embedding_map(panels, folder / "embedding_map.png", method=embedding_map)
