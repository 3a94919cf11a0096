"""How much of the demo fits into its time on this machine: a slow one has fewer photos, shorter trainings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from facewise.data.synthetic import SyntheticSource
from facewise.demo.blocks import Section
from facewise.demo.plan import Plan
from facewise.image import ImageSource, decode
from facewise.pipeline import Pipeline

SIZES = (64, 48, 32)
"""Sides of crops to train on, in pixels. A smaller one is better than fewer epochs."""

FEWEST_PHOTOS = 8
"""Of a person: to learn from and measure on, or to enrol and identify."""

FEWEST_IMAGES = 1500
"""Shown to a network in training; after fewer it knows next to nothing."""

FEWEST_FOLDS = 2
"""Of LFW: the threshold of each is chosen on the others."""

_PREPARING = 1 / 3
"""Share of the time for drawing people and finding their faces."""

_FOLDS = 1 / 4
"""Share of the time for LFW's protocol, where the photos are LFW."""

_KEPT = 0.85
"""Of what a measured rate promises this is counted on: other work comes and goes, and crops are augmented."""

_BESIDES = 400
"""What a training does beside its steps (checkpoints, export, curves) is worth so many small images."""

_PER_EPOCH = 0.15
"""Held-out photos are embedded every other epoch: this much more than the epoch's own steps."""

_MODELS = 3
"""Are measured on the same photos: two trainings and the default."""

_SECONDS = 0.75
"""A rate is measured for."""

_A_STEP = 1.0
"""Seconds of whatever else a step does, such as opening models and making pictures."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What this machine does in a second.

    Attributes:
        drawn: Photos drawn, by all processes; None where none are to be.
        read: Photos in which faces are found and embedded.
    """

    drawn: float | None
    read: float


def measure_rates(
    plan: Plan, pipeline: Pipeline | None, threads: int, photos: Sequence[ImageSource]
) -> Rates:
    """Measure for a second or two.

    Args:
        plan: Says what is drawn.
        pipeline: That reads photos; None where no detector is installed.
        threads: Photos are drawn by so many processes.
        photos: To read; where there are none, people are drawn.
    """
    drawn, images = None, list(photos[: 4 * threads])
    if not images:
        source = SyntheticSource(plan.people, plan.photos, plan.seed, size=plan.photo_size)
        source.jpeg(len(source.keys) - 1)  # the first one loads what the others need
        began, files = time.monotonic(), list[bytes]()
        while not files or (time.monotonic() - began < _SECONDS and len(files) < len(source.keys)):
            files.append(source.jpeg(len(files))[0])
        drawn = threads * len(files) / (time.monotonic() - began)
        images = [decode(data) for data in files[: 4 * threads]]
    if pipeline is None:
        return Rates(drawn, 2 * (drawn or 1.0))  # a photo of known landmarks is read sooner than drawn
    list(pipeline.read_many(images[:1]))
    began, count = time.monotonic(), 0
    while not count or time.monotonic() - began < _SECONDS:
        count += sum(1 for _ in pipeline.read_many(images))
    return Rates(drawn, count / (time.monotonic() - began))


def fit_photos(plan: Plan, rates: Rates, seconds: float) -> Plan:
    """The plan with as many photos of each person as there is time for, from `FEWEST_PHOTOS` on.

    Args:
        plan: The most that is done.
        rates: Of this machine.
        seconds: The whole demo is to take.
    """
    each = 2 / rates.read + (1 / rates.drawn if rates.drawn else 0.0)
    photos = int(seconds * _PREPARING / (plan.people * each))
    return replace(plan, photos=min(plan.photos, max(FEWEST_PHOTOS, photos)))


def fit_folds(plan: Plan, rates: Rates, seconds: float, photos: Sequence[int]) -> Plan:
    """The plan with as many folds of LFW as there is time for, from `FEWEST_FOLDS` on.

    Args:
        plan: The most that is done.
        rates: Of this machine.
        seconds: The whole demo is to take.
        photos: In the first fold, in the first two, and so on.
    """
    fit = sum(count / rates.read <= seconds * _FOLDS for count in photos[: len(plan.folds)])
    return replace(plan, folds=plan.folds[: max(FEWEST_FOLDS, fit)])


def fit_training(plan: Plan, rate: float, photos: int, seconds: float) -> tuple[Plan, float]:
    """The plan with the largest crops and the most epochs that two trainings alike have time for.

    Smaller crops come before fewer epochs, and `FEWEST_IMAGES` are shown however long that takes.

    Args:
        plan: The most that is done.
        rate: Images that this machine trains on in a second, with crops of the smallest size.
        photos: To learn from.
        seconds: For both trainings.

    Returns:
        The plan, and the seconds that both trainings will take.
    """
    wanted = int(plan.training.get("data.size", max(SIZES)))
    sizes = [size for size in SIZES if size <= wanted] or [wanted]

    def of_both(size: int, epochs: int) -> float:
        images = epochs * photos * (1 + _PER_EPOCH) * (size / min(SIZES)) ** 2
        return 2 * (images + _BESIDES) / (rate * _KEPT)

    smallest = sizes[-1]
    size = next((size for size in sizes if of_both(size, plan.epochs) <= seconds), smallest)
    fewest = min(plan.epochs, math.ceil(FEWEST_IMAGES / photos))
    epochs = next((n for n in range(plan.epochs, fewest, -1) if of_both(size, n) <= seconds), fewest)
    fitted = replace(plan, epochs=epochs, training={**plan.training, "data.size": size})
    return fitted, of_both(size, epochs)


def steps_of(plan: Plan, rates: Rates, folds: int = 0) -> dict[str, float]:
    """Seconds of all steps, by name, in their order; training gets what they leave.

    Args:
        plan: What is done.
        rates: Of this machine.
        folds: Photos of LFW's folds that are measured.
    """
    drawn = plan.people * plan.photos / rates.drawn + _A_STEP if rates.drawn else 0.0
    looked_at = plan.looked_at if rates.drawn else (plan.people - plan.learn) * plan.photos
    story = (plan.enrolled + plan.strangers) * plan.photos
    named = plan.enrolled * plan.enrol_photos + (plan.enrolled + plan.strangers) * plan.probes
    return {
        "drawing": drawn,
        "finding": looked_at / rates.read + _A_STEP,
        "training": math.inf,
        "folds": folds / rates.read + _A_STEP if folds else 0.0,
        "choosing": _MODELS * plan.measure * plan.photos / rates.read + _A_STEP,
        "verifying": story / rates.read + _A_STEP,
        "naming": named / rates.read + _A_STEP,
        "grouping": _A_STEP,
    }


def tell_sizes(plan: Plan, rates: Rates, seconds: float) -> Section:
    """Say what was measured and what was chosen for it."""
    drawn = f"draws {rates.drawn:.0f} photos and " if rates.drawn else ""
    told = (
        f"This machine {drawn}reads {rates.read:.0f} photos a second. The demo is to take about "
        f"{seconds:.0f} s (`--seconds`), so it uses {plan.photos} photos of each person at most; how long it "
        "trains is decided when it comes to that, by how fast a step of that very training is."
    )
    section = Section(blocks=[told])
    section.numbers = {
        "seconds": seconds,
        "photos_drawn_per_second": rates.drawn,
        "photos_read_per_second": rates.read,
        "photos_of_each": plan.photos,
    }
    return section
