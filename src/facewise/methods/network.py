"""Networks trained on the photos drawn: on from a model's weights, or from random ones."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from facewise.data.split import Split
from facewise.embedding import Embedder
from facewise.errors import SettingError
from facewise.files import write_bytes
from facewise.methods.tasks import Part, Result, Task, Training
from facewise.training import checkpoint
from facewise.training.checkpoint import LAST, folder_of
from facewise.training.config import read_config
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError
from facewise.training.heldout import HELD_OUT, read_held_out
from facewise.training.log import read_metrics
from facewise.training.run import CONFIG, MODEL, taken, train

_CHECKPOINTS = "checkpoints"
_PROBED = 64
"""Crops embedded to time it."""


def learn_network(task: Task, part: Part) -> Result:
    """Train a network on the photos drawn, and take its own word for who is on the test photos.

    The run is a folder in that of the comparison. One that was stopped goes on; of one that is done the
    checkpoints are removed.

    Raises:
        SettingError: The folder of the run holds something else.
        KeyboardInterrupt: Somebody stopped it; the run is saved.
    """
    training = task.training
    assert training is not None  # noqa: S101  given to every task that trains
    folder = training.folder / part.name
    settings = run_settings(training, part)
    _claim(folder, part.identity)
    try:
        _train(task, training, part, settings)
    except StoppedError:
        raise KeyboardInterrupt from None
    held = read_held_out(folder).known
    if held is None or held.predicted is None:
        raise SettingError(
            f"{part.name} names nobody: its loss has no classes; choose one that has, such as arcface."
        )
    place = {key: i for i, key in enumerate(held.keys)}
    rows = [place[task.store.keys[i]] for i in part.test]
    number = {name: i for i, name in enumerate(task.names)}
    predicted = tuple(number[held.names[held.predicted[row]]] for row in rows)
    seconds = [line["seconds"] for line in read_metrics(folder) if line["kind"] == "train"]
    model, classifier = folder / MODEL, folder / "classifier.onnx"
    keep = model.stat().st_size + (classifier.stat().st_size if classifier.is_file() else 0)
    recipe = str(read_config(folder / CONFIG).name)
    facts = {"recipe": recipe, "epochs": training.epochs, "run": folder.name}
    result = Result(
        predicted, len(part.learn), float(seconds[-1]), _pace(task, part, model), keep, facts=facts
    )
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
    return result


def run_settings(training: Training, part: Part) -> dict[str, Any]:
    """The settings of a run on the photos of a draw, measured once at its end.

    The best epoch is not chosen by the test photos: no other method sees them before it is done.
    """
    return {
        **training.settings,
        "data.split": str(_split_file(training, part).absolute()),
        "data.held_out_photos": 0.0,
        "data.held_out_people": 0.0,
        "data.min_photos": 1,
        "data.max_people": None,
        "data.max_photos": None,
        "data.batch_size": max(2, min(training.batch_size, len(part.learn))),
        "data.record_photos": False,
        "data.split_seed": None,
        "epochs": training.epochs,
        "validate_every": training.epochs,
        "early_stopping": None,
        "best_by": None,
        "seed": part.seed,
    }


def _train(task: Task, training: Training, part: Part, settings: dict[str, Any]) -> None:
    folder = training.folder / part.name
    if (folder / MODEL).is_file() and (folder / HELD_OUT).is_file():
        return
    given: dict[str, Any] = {"device": training.device, "display": Quiet()}
    if task.threads is not None:
        import torch  # noqa: PLC0415

        torch.set_num_threads(task.threads)
    _split(task, part).save(_split_file(training, part))
    if checkpoint.exists(folder_of(folder, LAST)):
        train(task.store, resume=folder, **given)
        return
    if taken(folder):  # it stopped before its first checkpoint
        shutil.rmtree(folder)
    train(task.store, training.recipe, start=training.start, out=folder, settings=settings, **given)


def _split_file(training: Training, part: Part) -> Path:
    return training.folder / f"{part.name}.csv"


def _split(task: Task, part: Part) -> Split:
    """What is learned from as `train`, what is tested on as `val`."""
    rows = [*part.learn.tolist(), *part.test.tolist()]
    people = [*part.labels.tolist(), *part.true.tolist()]
    return Split(
        tuple(task.store.keys[row] for row in rows),
        tuple(task.names[label] for label in people),
        ("train",) * len(part.learn) + ("val",) * len(part.test),
    )


def _claim(folder: Path, identity: str) -> None:
    """Mark a run's folder as this comparison's, or see that it is."""
    mark = folder.parent / f"{folder.name}.identity"
    if taken(folder):
        found = mark.read_text(encoding="utf-8") if mark.is_file() else None
        if found != identity:
            raise SettingError(
                f"{folder} is there and is of another comparison; name another folder with --out."
            )
    else:
        write_bytes(mark, identity.encode())


def _pace(task: Task, part: Part, model: Path) -> float:
    """Milliseconds to name a crop; what compares the embedding with the people is too little to measure."""
    from facewise.models.file import read_model  # noqa: PLC0415

    embedder = Embedder(read_model(model, kind="embedder"), flip=False, threads=task.threads)
    crops = task.store.take(part.test[np.arange(_PROBED) % len(part.test)])
    embedder.embed(crops[:1])
    begun = time.perf_counter()
    embedder.embed(crops)
    return (time.perf_counter() - begun) * 1000 / len(crops)
