"""Several losses, or whole recipes, trained alike with several seeds, and what of that is noise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facewise.data.source import Source
from facewise.errors import FacewiseError, SettingError
from facewise.files import one_at_a_time, write_bytes, write_text
from facewise.pipeline import Pipeline
from facewise.training.compare_measure import cautions, differences_of, measure
from facewise.training.compare_plan import RECIPE, Job, methods_of, plan
from facewise.training.comparison import Comparison, MethodRun
from facewise.training.curves import draw_bands
from facewise.training.display import Bar, Display
from facewise.training.distributed import World
from facewise.training.embedding_map import Method as MapMethod
from facewise.training.embedding_map import check_method, draw_embedding_map
from facewise.training.engine import StoppedError
from facewise.training.heldout import read_held_out
from facewise.training.run import train


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
    check_method(embedding_map)
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
    with one_at_a_time(
        folder / ".lock", SettingError(f"Another comparison runs in {folder}; wait for it to end.")
    ):
        errors = _train_all(jobs, data, pipeline, device, display, say)
        runs = [
            measure(job.method.name, job.seed, job.folder)
            if job.folder not in errors
            else MethodRun(job.method.name, job.seed, job.folder, {}, errors[job.folder])
            for job in jobs
        ]
        differences = differences_of(runs, note)
        notes += cautions(runs)
        own = {method.name: method.own for method in methods}
        found = Comparison(folder, own, seeds, runs, differences, notes)
        _write(found, embedding_map)
        return found


def _train_all(
    jobs: Sequence[Job],
    data: str | Path | Source,
    pipeline: Callable[[], Pipeline] | None,
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
            _train(job, data, pipeline, device, display())
        except StoppedError:
            raise StoppedError(
                f"Stopped and saved in run {place.removeprefix('Run ')}; the same command goes on from there."
            ) from None
        except FacewiseError as error:
            errors[job.folder] = " ".join(str(error).split())
            say(f"{job.method.name}, seed {job.seed}, failed: {errors[job.folder]}")
    return errors


def _train(
    job: Job,
    data: str | Path | Source,
    pipeline: Callable[[], Pipeline] | None,
    device: str,
    display: Display,
) -> None:
    if job.begun:
        train(data, resume=job.folder, pipeline=pipeline, device=device, display=display)
        return
    job.clear()
    train(
        data,
        job.method.recipe,
        out=job.folder,
        settings={**job.method.settings, "seed": job.seed},
        pipeline=pipeline,
        device=device,
        display=display,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"


def _write(found: Comparison, embedding_map: MapMethod) -> None:
    folder = found.folder
    write_bytes(folder / "comparison.json", json.dumps(found.to_dict(), indent=2).encode())
    write_text(folder / "comparison.md", found.markdown())
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
