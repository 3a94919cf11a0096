"""What a comparison of methods will do: checked whole before anything is done, and what is there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.source import Source
from facewise.data.store import CropStore
from facewise.embedding import Embedder
from facewise.errors import SettingError
from facewise.methods.division import DIVIDING, Division, data_settings, divide_photos, wanted_shots
from facewise.methods.leaks import seen_before
from facewise.methods.names import Method, methods_of, shots_of
from facewise.methods.source import Start, find_start
from facewise.methods.tasks import Part, Task, Training, read_result
from facewise.methods.trained import check_own, training_of
from facewise.methods.vectors import Embed
from facewise.pipeline import Pipeline
from facewise.training.crops import Crops, Say, load_crops

RESULTS, RUNS, VECTORS = "results", "runs", "vectors.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One method with one number of photos and one seed.

    Attributes:
        method: Which.
        shots: Photos a person, or `full`.
        part: What it learns from and names.
        division: That of its seed.
    """

    method: Method
    shots: str
    part: Part
    division: Division

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        return self.part.result.is_file()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All there is to do.

    Attributes:
        folder: Of the comparison.
        start: The model.
        methods: In the order given.
        shots: Ascending.
        seeds: In the order given.
        jobs: All, done or not, in the order to do them in.
        store: All crops in use.
        embed: What makes the embeddings, or None if no method needs them.
        trainings: By the name of a method that trains.
        threads: To use; None is all.
    """

    folder: Path
    start: Start
    methods: Sequence[Method]
    shots: Sequence[str]
    seeds: Sequence[int]
    jobs: Sequence[Job]
    store: CropStore
    embed: Embed | None
    trainings: Mapping[str, Training]
    threads: int | None

    @property
    def divisions(self) -> dict[int, Division]:
        """By seed."""
        return {job.part.seed: job.division for job in self.jobs}

    def tasks(self) -> list[Task]:
        """What is left to do, a process each.

        A method on embeddings does all seeds of one number of photos in one process, a network has one for
        each run. Seed by seed, so that a comparison that was stopped has something to compare.
        """
        groups: dict[tuple[Any, ...], list[Job]] = {}
        for job in self.jobs:
            if not job.finished:
                own = (job.part.seed,) if job.method.trains else ()
                groups.setdefault((job.method.name, job.shots, *own), []).append(job)
        return [self._task(group) for group in groups.values()]

    def _task(self, jobs: Sequence[Job]) -> Task:
        method, division = jobs[0].method, jobs[0].division
        return Task(
            method=method,
            shots=jobs[0].shots,
            names=division.names,
            parts=tuple(job.part for job in jobs),
            store=self.store,
            vectors=self.folder / VECTORS,
            model=(self.start.model.card.name, self.start.model.fingerprint),
            training=self.trainings.get(method.name),
            threads=self.threads,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants compared: the arguments of `facewise.methods.compare.compare_methods`."""

    data: str | Path | Source
    methods: Sequence[str]
    shots: Sequence[str]
    seeds: Sequence[int]
    folder: Path
    start: str | Path | None
    recipe: str | Path | None
    settings: Mapping[str, Any]
    per_method: Mapping[str, Mapping[str, Any]]
    pipeline: Callable[[], Pipeline] | None
    device: str
    threads: int | None

    @property
    def training(self) -> dict[str, Any]:
        """The settings that are for all that trains."""
        return {key: value for key, value in self.settings.items() if key not in DIVIDING}


def make_plan(asked: Request, say: Say, note: Say) -> Plan:
    """Plan a comparison.

    Args:
        asked: What is wanted.
        say: Told what is done.
        note: Told what to know when reading the numbers.

    Raises:
        SettingError: Something makes no sense, or the folder holds something else.
        DatasetError: The data cannot be compared on.
        ModelError: There is no such model, or it has no weights to train on.
    """
    methods = _methods(asked)
    wanted = shots_of(asked.shots)
    seeds = list(dict.fromkeys(asked.seeds))
    if not seeds:
        raise SettingError("A comparison needs a seed, better five.")
    chosen = data_settings(asked.settings)
    folder = asked.folder
    found = find_start(asked.start, folder / "model")
    cut = found.model.card.preprocess.cut
    trainings = {
        method.name: training_of(
            method, found, cut.size, asked.recipe, asked.training, folder / RUNS, asked.device, note
        )
        for method in methods
        if method.trains
    }
    crops = load_crops(asked.data, cut, pipeline=asked.pipeline, say=say)
    divisions = [divide_photos(crops, chosen, seed) for seed in seeds]
    _check_people(divisions)
    used, notes = wanted_shots(divisions, wanted)
    for text in notes + seen_before(found.model.card, crops, divisions):
        note(text)
    store, places = _in_use(crops, divisions)
    embed = _embedding(found, store, folder, asked.threads) if _needs_vectors(methods) else None
    jobs = [
        _job(method, k, division, places, folder, found, trainings.get(method.name))
        for group in (False, True)
        for division in divisions
        for k in used
        for method in methods
        if method.trains == group
    ]
    _check_results(jobs, folder)
    return Plan(folder, found, methods, used, seeds, jobs, store, embed, trainings, asked.threads)


def _methods(asked: Request) -> list[Method]:
    methods = methods_of(asked.methods, asked.per_method)
    if asked.training and not any(method.trains for method in methods):
        names = ", ".join(method.name for method in methods)
        raise SettingError(f"{', '.join(asked.training)}: settings of training, and none of {names} trains.")
    check_own(methods)
    return methods


def _needs_vectors(methods: Sequence[Method]) -> bool:
    return not all(method.trains for method in methods)


def _check_people(divisions: Sequence[Division]) -> None:
    if any(division.names != divisions[0].names for division in divisions):
        raise SettingError(
            "The seeds choose different people, who cannot be compared: set data.split_seed, or choose the "
            "people by data.only_people."
        )


def _in_use(crops: Crops, divisions: Sequence[Division]) -> tuple[CropStore, dict[str, int]]:
    """The crops that some seed learns from or tests on, and where each is among them."""
    keys = {key for division in divisions for part in (division.train, division.test) for key in part.keys}
    rows = [i for i, key in enumerate(crops.store.keys) if key in keys]
    store = crops.store.subset(rows)
    return store, {key: i for i, key in enumerate(store.keys)}


def _embedding(start: Start, store: CropStore, folder: Path, threads: int | None) -> Embed:
    embedder = Embedder(start.model, threads=threads)
    plain = json.dumps(["vectors", start.model.fingerprint, embedder.flip, store.data_hash, list(store.keys)])
    out = folder / VECTORS
    return Embed(store, start.model.path, None, out, _hash(plain), threads)


def _job(
    method: Method,
    shots: str,
    division: Division,
    places: Mapping[str, int],
    folder: Path,
    start: Start,
    training: Training | None,
) -> Job:
    name = f"{method.name}-{shots}-seed{division.seed}"
    drawn = division.draw(shots)
    learn, test = _rows(division.train, drawn, places), _rows(division.test, None, places)
    labels = division.train.labels[drawn]
    plain = [method.name, dict(method.settings), division.seed, division.test.data_hash]
    plain += [division.train.subset(drawn, keep_names=True).data_hash, start.model.fingerprint]
    plain += [None if training is None else [training.fingerprint, training.epochs, training.start]]
    part = Part(
        name=name,
        seed=division.seed,
        learn=learn,
        labels=labels,
        test=test,
        true=division.test.labels,
        identity=_hash(json.dumps(plain, sort_keys=True, default=str)),
        result=folder / RESULTS / f"{name}.json",
    )
    return Job(method, shots, part, division)


def _rows(part: CropStore, some: NDArray[np.int64] | None, places: Mapping[str, int]) -> NDArray[np.int64]:
    chosen = range(len(part)) if some is None else some.tolist()
    return np.array([places[part.keys[i]] for i in chosen], np.int64)


def _check_results(jobs: Sequence[Job], folder: Path) -> None:
    for job in jobs:
        found = read_result(job.part.result)
        if found is not None and found[1] != job.part.identity:
            raise SettingError(
                f"{folder} holds a comparison with other settings, photos or another model (see "
                f"{job.part.result.name}): name another folder with --out."
            )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
