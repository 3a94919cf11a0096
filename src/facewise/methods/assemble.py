"""From single results to what a comparison found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facewise.errors import FacewiseError
from facewise.methods.intervals import Named, accuracy_of, differences_of
from facewise.methods.names import FULL, photos_a_person
from facewise.methods.plan import VECTORS, Job, Plan
from facewise.methods.result import Cell, Failure, MethodsComparison
from facewise.methods.tasks import Result, read_result
from facewise.methods.vectors import Vectors, read_vectors
from facewise.methods.verdict import verdicts
from facewise.metrics.scores import Counts
from facewise.training.differences import Difference


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What did not give a result, by the names of the jobs.

    Attributes:
        failures: Why it failed.
        too_few: Why the method cannot learn from so few photos.
    """

    failures: dict[str, str]
    too_few: dict[str, str]


def assemble(plan: Plan, outcomes: Outcomes, notes: Sequence[str]) -> MethodsComparison:
    """Put the results of a plan together.

    Args:
        plan: All of it was tried.
        outcomes: What gave no result.
        notes: For the reader.

    Raises:
        FacewiseError: Nothing was measured at all.
    """
    results = {job.part.name: found[0] for job in plan.jobs if (found := read_result(job.part.result))}
    if not results:
        first = next(iter([*outcomes.failures.values(), *outcomes.too_few.values()]), "nothing was done")
        raise FacewiseError(f"No method could be measured; the first failed so: {first}")
    done = [job for job in plan.jobs if job.part.name in results]
    vectors = None if plan.embed is None else read_vectors(plan.folder / VECTORS)
    divisions = list(plan.divisions.values())
    photos = len({key for division in divisions for key in division.test.keys})
    cells: list[Cell] = []
    differences: list[Difference] = []
    confusions: dict[str, Counts] = {}
    for shots in plan.shots:
        named: list[Named] = []
        for method in plan.methods:
            mine = [job for job in done if (job.method.name, job.shots) == (method.name, shots)]
            if not mine:
                continue
            named += (own := [_named(job, results[job.part.name]) for job in mine])
            cells.append(_cell(mine, [results[job.part.name] for job in mine], own, photos, vectors))
            confusions[method.name] = _confusion(mine, results)
        if len({one.method for one in named}) > 1:
            differences += differences_of(shots, named)
    full = float(np.mean([division.counts.mean() for division in divisions]))
    return MethodsComparison(
        folder=plan.folder,
        model=plan.start.model.card.name,
        people=divisions[0].names,
        test_photos=float(np.mean([len(division.test) for division in divisions])),
        seeds=list(plan.seeds),
        methods=[method.name for method in plan.methods],
        shots=list(plan.shots),
        full=full,
        cells=cells,
        differences=differences,
        confusions=confusions,
        failures=_failures(plan, outcomes.failures),
        verdicts=verdicts(plan.shots, cells, differences),
        notes=[*notes, *_left_out(plan, outcomes.too_few), *_cautions(plan, done, outcomes)],
    )


def _named(job: Job, result: Result) -> Named:
    true, predicted = job.part.true, np.array(result.predicted)
    people = np.unique(true)
    total = np.bincount(true, minlength=len(job.division.names))[people]
    right = np.bincount(true[predicted == true], minlength=len(job.division.names))[people]
    return Named(job.method.name, job.part.seed, right, total)


def _cell(
    jobs: Sequence[Job],
    results: Sequence[Result],
    named: Sequence[Named],
    photos: int,
    vectors: Vectors | None,
) -> Cell:
    method = jobs[0].method
    embeds = not method.trains and vectors is not None
    learned = float(np.mean([result.photos for result in results]))
    ms = vectors.ms if embeds and vectors is not None else 0.0
    peaks = [result.peak_bytes for result in results if result.peak_bytes is not None]
    if embeds and vectors is not None and vectors.peak_bytes is not None and peaks:
        peaks.append(vectors.peak_bytes)
    return Cell(
        method=method.name,
        shots=jobs[0].shots,
        photos=learned,
        accuracy=accuracy_of(named, photos),
        fit_s=float(np.mean([result.fit_s for result in results])) + learned * ms / 1000,
        predict_ms=float(np.mean([result.predict_ms for result in results])) + ms,
        keep_bytes=max(result.keep_bytes for result in results),
        peak_bytes=max(peaks) if peaks else None,
        facts=results[0].facts,
    )


def _confusion(jobs: Sequence[Job], results: Mapping[str, Result]) -> Counts:
    people = len(jobs[0].division.names)
    matrix = np.zeros((people, people), np.int64)
    for job in jobs:
        np.add.at(matrix, (job.part.true, np.array(results[job.part.name].predicted)), 1)
    return matrix


def _failures(plan: Plan, failures: Mapping[str, str]) -> list[Failure]:
    return [
        Failure(job.method.name, job.shots, job.part.seed, failures[job.part.name])
        for job in plan.jobs
        if job.part.name in failures
    ]


def _left_out(plan: Plan, too_few: Mapping[str, str]) -> list[str]:
    found: dict[str, str] = {}
    for job in plan.jobs:
        if job.part.name in too_few:
            what = f"{job.method.name} is left out with {photos_a_person(job.shots)}"
            found.setdefault(what, too_few[job.part.name])
    return [f"{what}: {why}" for what, why in found.items()]


def _cautions(plan: Plan, done: Sequence[Job], outcomes: Outcomes) -> list[str]:
    found = []
    if len(plan.seeds) == 1:
        found.append(
            "One seed: nothing is known of other divisions, draws and trainings, and the intervals leave "
            "them out."
        )
    missing = len(plan.jobs) - len(done) - len(outcomes.too_few)
    if missing:
        found.append(
            f"{missing} of {len(plan.jobs)} results are missing; methods are compared by the seeds both have."
        )
    counts = np.concatenate([division.counts for division in plan.divisions.values()])
    if FULL in plan.shots and counts.min() < counts.max():
        found.append(
            f"All photos are {counts.min()} to {counts.max()} a person to learn from, {counts.mean():.3g} on "
            "average."
        )
    return found
