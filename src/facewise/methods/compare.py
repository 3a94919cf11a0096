"""Several ways to put names to faces, on the same photos, by how many photos of a person there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facewise.data.source import Source
from facewise.errors import FacewiseError, SettingError
from facewise.files import json_text, one_at_a_time, write_text
from facewise.methods.assemble import Outcomes, assemble
from facewise.methods.names import DEFAULT, SHOTS, photos_a_person
from facewise.methods.pictures import draw_confusion, draw_shots
from facewise.methods.plan import Plan, Request, make_plan
from facewise.methods.process import run_apart, run_here
from facewise.methods.result import Failure, MethodsComparison, duration
from facewise.methods.tasks import Task, Tell
from facewise.methods.vectors import read_vectors
from facewise.pipeline import Pipeline
from facewise.training.engine import StoppedError

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""What is being done, how many are done, of how many."""


def compare_methods(
    data: str | Path | Source,
    methods: Sequence[str] = DEFAULT,
    *,
    start: str | Path | None = None,
    shots: Sequence[str | int] = SHOTS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    recipe: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    per_method: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    pipeline: Callable[[], Pipeline] | None = None,
    device: str = "auto",
    threads: int | None = None,
    processes: bool = True,
    say: Say = lambda _: None,
    progress: Progress = lambda *_: None,
) -> MethodsComparison:
    """Let each method learn k photos of each person and name the same test photos, for several k and seeds.

    For each seed the photos of each person are divided, four fifths to learn from and one to test on; of
    those to learn from k are drawn, so that fewer photos are among more. All methods have the same ones.
    Everything is kept in OUT, and the same call again goes on where it was: what is done is used as it is, a
    training that was stopped is resumed, what failed is tried again. One that fails does not end the others.
    Methods, numbers of photos and seeds can be added to a comparison; anything else needs another folder.

    Args:
        data: As for `facewise.training.train`.
        methods: Of `facewise.methods.names.METHODS`.
        start: The model: a name in the model store, a model file, a run's folder or a public checkpoint;
            None is the default embedder.
        shots: Photos a person, ascending whatever the order; `"full"` is all.
        seeds: Of the division, the draws and training; `data.split_seed` makes the division the same for all.
        recipe: Of fine-tuning.
        settings: Dotted: those of `data` that choose the photos, and others for all that trains.
        per_method: Settings of one method alone, `{"finetune": {"epochs": 5}}`.
        out: Folder; by default `runs/methods-` and the methods' names.
        pipeline: Makes the detector, for photos that are not aligned crops yet.
        device: Trained on: `auto`, `cpu` or `cuda`. Embeddings are made on the CPU.
        threads: CPU threads to use; None is all.
        processes: Do each method in a process of its own, which is how its memory is known.
        say: Told in one line each what is done.
        progress: Told of long work.

    Returns:
        What was found; it is also in `OUT/methods.json` and `methods.md`, with `shots.png`, and a confusion
        matrix a method in `confusion-METHOD.png` and all in `confusions.json`.

    Raises:
        SettingError: Something makes no sense, or a folder holds something else; nothing was done.
        DatasetError: The data cannot be compared on.
        ModelError: There is no such model, or it has no weights to train on.
        FacewiseError: Nothing at all could be measured.
        StoppedError: Somebody stopped it; the same call goes on.
    """
    folder = Path(out) if out is not None else Path("runs") / "-".join(["methods", *methods])
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    asked = Request(
        data,
        methods,
        [str(one) for one in shots],
        seeds,
        folder,
        start,
        recipe,
        settings or {},
        per_method or {},
        pipeline,
        device,
        threads,
    )
    plan = make_plan(asked, say, note)
    busy = SettingError(f"Another comparison runs in {folder}; wait for it to end.")
    with one_at_a_time(folder / ".lock", busy):
        run = run_apart if processes else run_here
        try:
            outcomes = _run_all(plan, run, say, progress)
        except KeyboardInterrupt:
            raise StoppedError(
                "Stopped; what is done is kept, and the same command goes on from there."
            ) from None
        found = assemble(plan, outcomes, notes)
        _write(found)
    return found


def _run_all(plan: Plan, run: Callable[[Any, Tell], None], say: Say, progress: Progress) -> Outcomes:
    """Do what is not done yet."""
    if plan.embed is not None and read_vectors(plan.embed.out, plan.embed.identity) is None:
        _embed(plan, run, progress)
    tasks = plan.tasks()
    left = sum(len(task.parts) for task in tasks)
    if left < len(plan.jobs):
        say(f"{len(plan.jobs) - left} of {len(plan.jobs)} results are there already.")
    found = Outcomes({}, {})
    done = 0
    for task in tasks:
        begun = time.monotonic()
        progress(task.method.name, done, left)
        _run(task, run, found)
        done += len(task.parts)
        progress(task.method.name, done, left)
        say(_line(task, found, time.monotonic() - begun))
    return found


def _embed(plan: Plan, run: Callable[[Any, Tell], None], progress: Progress) -> None:
    embedded, total = 0, len(plan.store)

    def tell(fact: Mapping[str, Any]) -> None:
        nonlocal embedded
        embedded += int(fact["embedded"])
        progress("embedding", embedded, total)

    progress("embedding", 0, total)
    run(plan.embed, tell)


def _run(task: Task, run: Callable[[Any, Tell], None], found: Outcomes) -> None:
    told: set[str] = set()

    def tell(fact: Mapping[str, Any]) -> None:
        for kind, errors in (("failed", found.failures), ("too few", found.too_few)):
            if kind in fact:
                errors[str(fact[kind])] = str(fact["error"])
        told.update(str(fact[kind]) for kind in ("done", "failed", "too few") if kind in fact)

    try:
        run(task, tell)
    except FacewiseError as error:  # the whole process came to nothing, or to less
        for part in task.parts:
            if part.name not in told:
                found.failures[part.name] = " ".join(str(error).split())


def _line(task: Task, found: Outcomes, seconds: float) -> str:
    seeds = ", ".join(str(part.seed) for part in task.parts)
    what = f"{task.method.name}, {photos_a_person(task.shots)}, seed{'s' * (len(task.parts) > 1)} {seeds}"
    for kind, errors in (("failed", found.failures), ("left out", found.too_few)):
        for part in task.parts:
            if part.name in errors:
                return f"{what}: {kind}, {errors[part.name]}"
    return f"{what}: {duration(seconds)}."


def _write(found: MethodsComparison) -> None:
    folder = found.folder
    write_text(folder / "methods.json", json_text(found.to_dict()))
    write_text(folder / "methods.md", found.markdown())
    write_text(folder / "confusions.json", json_text(found.confusions_dict()))
    draw_shots(found, folder / "shots.png")
    for method, matrix in found.confusions.items():
        draw_confusion(method, matrix, found, folder / f"confusion-{method}.png")


def failed_sentence(failure: Failure) -> str:
    """One sentence on a failure."""
    return f"{failure.method}, {photos_a_person(failure.shots)}, seed {failure.seed}, failed: {failure.error}"
