"""Softmax and ArcFace on the same photos and the same budget. Needs PyTorch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

from facewise.data.batches import Batch
from facewise.data.split import Split
from facewise.demo.blocks import Picture, Section, Table
from facewise.demo.cast import People
from facewise.demo.plan import Plan
from facewise.demo.sizing import SIZES, Rates, fit_training
from facewise.demo.story import Story
from facewise.detection import Detector
from facewise.models import ModelFile, read_model
from facewise.pipeline import Pipeline
from facewise.training.compare import compare
from facewise.training.compare_plan import RECIPE
from facewise.training.comparison import Comparison, heading
from facewise.training.display import Display
from facewise.training.distributed import World
from facewise.training.engine import StoppedError
from facewise.training.learner import Learner
from facewise.training.memory import kept_memory
from facewise.training.pace import default_pace
from facewise.training.run import MODEL, build, load_recipe, own_preprocess

LOSSES = ("softmax", "arcface")

_SECONDS, _FEWEST_STEPS = 1.5, 3
"""A training's rate is measured for so long, and over so many steps at least."""

_HELD_OUT = 5
"""Each person's every fifth photo is kept for measuring."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Why a training has the size it has.

    Attributes:
        rate: Images that this machine trained on in a second, with crops of `size` pixels.
        size: In pixels.
        seconds: There were for both trainings.
        forecast: Both were to take.
    """

    rate: float
    size: int
    seconds: float
    forecast: float

    def __str__(self) -> str:
        fits = (
            "" if self.forecast <= self.seconds else ", which is more: it is the least that teaches anything"
        )
        return (
            f"Both sizes are for this machine: it trains on {self.rate:.0f} crops of {self.size} pixels a "
            f"second, {max(0.0, self.seconds):.0f} s were left for both trainings, and they were to take "
            f"{self.forecast:.0f} s{fits}."
        )


def fit(story: Story, people: People, rates: Rates) -> Fitted:
    """Measure steps of the very training, and give both trainings alike what is left of the time.

    Args:
        story: Its plan and its clock's forecast are changed.
        people: Whom the trainings see.
        rates: Of this machine.
    """
    photos = _split(people).parts.count("train")
    rate = _images_per_second(story.plan, len(people.cast.learn), story.threads)
    aligning = len(people.of(people.cast.learn, people.cast.measure)) / rates.read
    seconds = story.clock.unspent - story.clock.after("training") - aligning
    story.plan, forecast = fit_training(story.plan, rate, photos, seconds)
    story.clock.forecast(training=aligning + forecast)
    story.clock.start("training")
    return Fitted(rate, min(SIZES), seconds, forecast)


def _images_per_second(plan: Plan, people: int, threads: int) -> float:
    """Training steps on noise, which take as long as on photos, after one that prepares."""
    torch.set_num_threads(threads)
    size = min(SIZES)
    config = load_recipe(RECIPE, {**plan.training, "data.size": size})
    count, rng = config.data.batch_size, np.random.default_rng(0)
    batch = Batch(
        rng.integers(0, 256, (count, size, size, 3), np.uint8),
        rng.integers(0, people, count),
        np.arange(count),
    )
    with World.from_environment() as world, kept_memory():
        network, head = build(config, people)
        pace = default_pace(config, network, world.device)
        learner = Learner(config, pace.apply(network), head, world, own_preprocess(size), pace=pace)
        learner.train()
        learner.step(batch, 0, 0.0)
        began, steps = time.monotonic(), 0
        while steps < _FEWEST_STEPS or time.monotonic() - began < _SECONDS:
            learner.step(batch, steps + 1, 0.0)
            steps += 1
        return steps * count / (time.monotonic() - began)


class _Paced:
    """Passes on what a training shows, and tells the clock how much of all of them is done."""

    def __init__(self, display: Display, tell: Callable[[float], None]) -> None:
        self._display, self._tell = display, tell
        self._steps = self._done = 0

    def begin(self, steps: int, done: int) -> None:
        self._steps, self._done = steps, done
        self._display.begin(steps, done)

    def step(self, values: Mapping[str, float]) -> None:
        self._done += 1
        self._tell(self._done / self._steps)
        self._display.step(values)

    def say(self, text: str) -> None:
        self._display.say(text)

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        self._display.__exit__(*what)


def learn(
    people: People, detector: Detector, story: Story, fitted: Fitted | None
) -> tuple[Section, dict[str, ModelFile]]:
    """Train both and tell what came of it.

    Args:
        people: The trainings see `cast.learn`, and are measured on `cast.measure` besides.
        detector: For aligning.
        story: Says the budget, and the folder: both runs are in its `training`.
        fitted: Where the budget comes from; None where it was given.

    Returns:
        What there is to say, and the models by loss; none of a training that failed.

    Raises:
        KeyboardInterrupt: Somebody stopped it.
    """
    cast, plan, out, threads = people.cast, story.plan, story.out / "training", story.threads
    out.mkdir(parents=True, exist_ok=True)
    _split(people).save(out / "split.csv")
    torch.set_num_threads(threads)
    size = int(plan.training.get("data.size", 112))
    begun = itertools.count(-1)  # the first display is for what comes before the first training

    def display() -> Display:
        number = next(begun)
        return _Paced(
            story.teller.training(), lambda share: story.clock.advance((number + share) / len(LOSSES))
        )

    try:
        found = compare(
            people.part(cast.learn, cast.measure),
            LOSSES,
            (plan.seed,),
            settings={
                "data.min_photos": 1,
                "data.split": str(out / "split.csv"),
                "epochs": plan.epochs,
                **plan.training,
            },
            out=out,
            pipeline=lambda: Pipeline(detector, None, crop_size=size, threads=threads),
            display=display,
        )
    except StoppedError:
        raise KeyboardInterrupt from None
    section = Section(_how(people, plan, size))
    section.blocks += [] if fitted is None else [str(fitted)]
    section.blocks += _told(found, people)
    section.short = _in_short(found)
    section.numbers = found.to_dict() | {"epochs": plan.epochs, "crop_size": size}
    section.numbers |= {} if fitted is None else {"fitted": asdict(fitted)}
    failed = {run.method for run in found.failed}
    models = {run.method: read_model(run.folder / MODEL) for run in found.runs if run.method not in failed}
    return section, models


def _in_short(found: Comparison) -> str:
    told = []
    for run in found.runs:
        if run.error is None:
            values = [
                f"{words} {run.values[key]:.3f}"
                for key, words in (("accuracy", "accuracy"), ("auc", "AUC on people never seen"))
                if key in run.values
            ]
            told.append(f"{run.method} {' and '.join(values)}")
    return f"Trained from nothing: {'; '.join(told)}." if told else ""


def _split(people: People) -> Split:
    """Who is learned from, by all photos but each fifth; everything else is held out."""
    learn = set(people.cast.learn)
    keys, names, parts = [], [], []
    for name in (*people.cast.learn, *people.cast.measure):
        for i, key in enumerate(people.photos[name]):
            keys.append(key)
            names.append(name)
            parts.append("train" if name in learn and i % _HELD_OUT < _HELD_OUT - 1 else "val")
    return Split(tuple(keys), tuple(names), tuple(parts))


def _how(people: People, plan: Plan, size: int) -> str:
    parts = _split(people).parts
    photos = len(people.of(people.cast.learn))
    learned = parts.count("train")
    return (
        f"Two MobileFaceNets from random weights, {plan.epochs} epochs each over the same {learned} photos "
        f"of {len(people.cast.learn)} people, {photos - learned} further photos of whom are held out; crops "
        f"of {size} pixels. Only the loss differs."
    )


def _told(found: Comparison, people: People) -> Sequence[str | Table | Picture]:
    blocks: list[str | Table | Picture] = []
    columns = ["loss", *(heading(metric) for metric in found.metrics)]
    rows = [[row[0], *row[2:]] for row in found.rows()]  # without the number of runs, which is one
    blocks.append(Table(columns, rows, range(1, len(columns))))
    blocks.append(
        "Accuracy is how often the right person of those learned is named on held-out photos. AUC is how "
        "often, of a pair of photos of one person and a pair of two, the first is the more alike; its people "
        f"({len(people.cast.measure)}) were never seen in training. Guessing would give "
        f"{1 / len(people.cast.learn):.3f} and 0.5."
    )
    blocks += [f"By {heading(one.metric)}: {one.words}" for one in found.differences]
    blocks += [f"{run.method} failed: {run.error}" for run in found.failed]
    for name, alt, caption in (
        ("curves.png", "Held-out accuracy and verification by epoch, a line for each loss", "By epoch."),
        (
            "embedding_map.png",
            "Points for photos of people never seen in training, a colour for each person",
            "Photos of people never seen, as the models place them; a colour a person.",
        ),
    ):
        if (found.folder / name).is_file():
            blocks.append(Picture((found.folder / name).read_bytes(), alt, caption))
    return blocks
