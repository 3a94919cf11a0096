"""Softmax and ArcFace on the same photos and the same budget. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from facewise.data.split import Split
from facewise.demo.blocks import Picture, Section, Table
from facewise.demo.cast import People
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.detection import Detector
from facewise.models import ModelFile, read_model
from facewise.pipeline import Pipeline
from facewise.training.compare import compare
from facewise.training.comparison import Comparison, heading
from facewise.training.engine import StoppedError
from facewise.training.run import MODEL

LOSSES = ("softmax", "arcface")

_HELD_OUT = 5
"""Each person's every fifth photo is kept for measuring."""


def learn(
    people: People, detector: Detector, plan: Plan, out: Path, threads: int, teller: Teller
) -> tuple[Section, dict[str, ModelFile]]:
    """Train both and tell what came of it.

    Args:
        people: The trainings see `cast.learn`, and are measured on `cast.measure` besides.
        detector: For aligning.
        plan: The budget.
        out: Folder for both runs.
        threads: CPU threads.
        teller: Told of the progress.

    Returns:
        What there is to say, and the models by loss; none of a training that failed.

    Raises:
        KeyboardInterrupt: Somebody stopped it.
    """
    cast = people.cast
    out.mkdir(parents=True, exist_ok=True)
    _split(people).save(out / "split.csv")
    torch.set_num_threads(threads)
    size = int(plan.training.get("data.size", 112))
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
            display=teller.training,
        )
    except StoppedError:
        raise KeyboardInterrupt from None
    section = Section(_how(people, plan, size))
    section.blocks += _told(found, people)
    section.short = _in_short(found)
    section.numbers = found.to_dict()
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
    photos = len(people.of(people.cast.learn))
    return (
        f"Two MobileFaceNets from random weights, {plan.epochs} epochs each over the same photos of "
        f"{len(people.cast.learn)} people ({photos} photos, a fifth of them held out), crops of {size} "
        "pixels. Only the loss differs."
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
