"""`train`: a dataset and a recipe to a run folder with a model file in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facewise.data.batches import Batches
from facewise.data.people import people_lines
from facewise.data.samplers import Sampler, shard
from facewise.data.seen import PEOPLE, PHOTOS, read_seen, seen_photos, trained_on, write_seen
from facewise.data.source import Source
from facewise.data.store import CropStore
from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.files import one_at_a_time, write_bytes
from facewise.models.file import ModelFile, read_model
from facewise.models.pretrained import Pretrained
from facewise.models.trained_on import TrainedOn
from facewise.nn.backbones import BACKBONES
from facewise.nn.losses import LOSSES
from facewise.nn.losses.base import Head
from facewise.nn.losses.sharded import ShardedHead
from facewise.pipeline import Pipeline
from facewise.preprocess import Preprocess
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, LAST, folder_of
from facewise.training.config import Config, read_config
from facewise.training.crops import Crops, divide, load_crops
from facewise.training.curves import draw_curves
from facewise.training.display import Bar, Display, Quiet
from facewise.training.distill import Distiller, NoHead, name_classes
from facewise.training.distributed import World
from facewise.training.engine import Trainer, TrainingData
from facewise.training.environment import environment
from facewise.training.exporting import MODEL, export_run
from facewise.training.freezing import Freezing, check_processes, usual_mode
from facewise.training.head_start import start_head
from facewise.training.heldout import HELD_OUT, measure_held_out, write_held_out
from facewise.training.learner import Learner
from facewise.training.log import read_metrics
from facewise.training.memory import kept_memory
from facewise.training.pace import Choice, Trial, choose_pace, default_pace, recorded
from facewise.training.pretrained import Origin, begin
from facewise.training.recipe import load_recipe
from facewise.training.sampling import make_augmentation, make_sampler
from facewise.training.small_data import notes
from facewise.training.stages import stages_of

__all__ = [
    "CONFIG",
    "ENVIRONMENT",
    "MODEL",
    "Run",
    "build",
    "load_recipe",
    "own_preprocess",
    "taken",
    "train",
]

MEAN = STD = (127.5, 127.5, 127.5)
"""Grey levels to [-1, 1], RGB: what every network here is trained with from scratch."""

CONFIG, ENVIRONMENT = "config.yaml", "environment.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: Everything of it.
        config: Its settings.
        model: The model file, which `verify`, `enroll` and `eval` take as `--model`.
        result: What the exported weights measured on held-out photos and people; empty if none were held out.
    """

    folder: Path
    config: Config
    model: ModelFile
    result: Mapping[str, float]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`."""
        return read_metrics(self.folder)


def train(
    data: str | Path | Source | None = None,
    recipe: str | Path | None = None,
    *,
    start: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    pipeline: Callable[[], Pipeline] | None = None,
    device: str = "auto",
    display: Display | None = None,
    **overrides: Any,
) -> Run:
    """Train a recogniser.

    Args:
        data: A dataset that `facewise.data.open.open_source` knows, or a source. Photos that are not aligned
            crops yet are aligned first, once. With `resume`, None is the one the run began with.
        recipe: Name of a recipe, or a YAML file of settings; by default `arcface-mobilefacenet`, and with
            `start` the one made for that model's architecture.
        start: A model to begin with, which is fine-tuning: see `facewise.training.settings.Start.model`. Its
            backbone, crop size and preprocessing stand.
        out: A new folder for the run; by default `runs/<recipe>`, with a number if that is taken.
        resume: Folder of a run to go on with; its settings stand.
        settings: Dotted settings put over the recipe's, `{"optimizer.rate": 0.05}`.
        pipeline: Makes the detector for aligning; by default the default one.
        device: `auto`, `cpu`, `cuda`.
        display: Shows progress; None is a progress bar.
        overrides: Top-level settings put over the recipe's, such as `epochs=20` or `loss="cosface"`.

    Returns:
        The finished run.

    Raises:
        SettingError: A setting is wrong, or the folder is taken.
        ModelError: The model to begin with, or a teacher, cannot be used.
        DatasetError: The data cannot be trained on.
        StoppedError: Somebody stopped the run; it is saved.
    """
    display = Bar() if display is None else display
    with World.from_environment(device) as world, kept_memory():
        shown: Display = display if world.is_main else Quiet()
        if resume is not None:
            if recipe is not None or settings or overrides or out is not None or start is not None:
                raise SettingError(
                    "A resumed run keeps its settings: name no recipe, model, settings or new folder."
                )
            folder = Path(resume)
            config, named = _read_run(folder)
            data, model = (named if data is None else data), None
            origin = None if config.start is None else Origin.read(folder)
        else:
            if data is None:
                raise SettingError("Name the data to train on.")
            config, model = begin(recipe, {**(settings or {}), **overrides}, start)
            origin = None if model is None else Origin.of(model)
            folder = Path(world.broadcast(str(_new_folder(out, config.name) if world.is_main else "")))
        with _alone_in(folder, world):
            trainer = _trainer(
                config, data, folder, world, shown, pipeline, new=resume is None, origin=origin, model=model
            )
            if resume is not None:
                trainer.load()
            trainer.fit()
            return _finish(trainer, config, folder, world, shown, origin)


def _alone_in(folder: Path, world: World) -> AbstractContextManager[None]:
    """Two trainings in one folder would write over each other's checkpoints."""
    if not world.is_main:
        return nullcontext()
    busy = SettingError(f"Another process trains in {folder}; wait for it to end.")
    return one_at_a_time(folder / ".lock", busy)


def _read_run(folder: Path) -> tuple[Config, str]:
    if not (folder / CONFIG).is_file():
        raise SettingError(f"{folder} is no run: there is no {CONFIG} in it.")
    if not checkpoint.exists(folder_of(folder, LAST)):
        raise SettingError(f"The run {folder} has no checkpoint yet; start it again.")
    try:
        named = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(f"Cannot read {folder / ENVIRONMENT}: {error}; name the data.") from error
    return read_config(folder / CONFIG), str(named)


def _new_folder(out: str | Path | None, name: str) -> Path:
    if out is not None:
        folder = Path(out)
        if taken(folder):
            raise SettingError(
                f"{folder} is there already; name a new folder, or go on with --resume {folder}."
            )
        return folder
    number = 1
    while taken(folder := Path("runs") / (name if number == 1 else f"{name}-{number}")):
        number += 1
    return folder


def taken(folder: Path) -> bool:
    """Whether there is something at `folder`: a lock file alone is left of a training that did not begin."""
    return folder.exists() and (
        not folder.is_dir() or any(not found.name.startswith(".") for found in folder.iterdir())
    )


def _trainer(
    config: Config,
    data: str | Path | Source,
    folder: Path,
    world: World,
    display: Display,
    pipeline: Callable[[], Pipeline] | None,
    *,
    new: bool,
    origin: Origin | None,
    model: Pretrained | None,
) -> Trainer:
    preprocess = own_preprocess(config.data.size) if origin is None else origin.preprocess
    # What cannot be is told before anything is aligned, such as a teacher that is not there.
    distiller = _distiller(config, world, preprocess)
    check_processes(config.start, world.size)
    # One process makes the crops, the others find them made.
    if not world.is_main:
        world.barrier()
    crops = load_crops(data, preprocess.cut, pipeline=pipeline, say=display.say)
    if world.is_main:
        world.barrier()
    parts = divide(crops, config.data, config.seed)
    display.say(_describe(parts))
    for note in notes(parts, config) if config.start is not None else ():
        display.say(note)
    torch.manual_seed(config.seed)
    classes = len(parts.train.names) if distiller is None else _name(distiller, parts)
    network, head = build(config, classes, None if model is None else model.build(unit=False))
    sampler = make_sampler(config, parts.train, crops.root, world.size)
    choice, pace = None, None if new else recorded(folder / ENVIRONMENT, world.device)
    if new:
        choice = choose(config, network, head, world, preprocess, parts.train, sampler)
        display.say(str(choice))
        pace = choice.pace
    pace = pace or default_pace(config, network, world.device)
    if distiller is not None:
        distiller.precision = pace.precision
    pace.apply(network)
    freezing = None
    if config.start is not None:
        height, width = preprocess.input_shape
        freezing = Freezing(config.start, network, stages_of(network, (3, height or 0, width or 0)))
        if model is not None and config.start.head == "class-means":
            start_head(head, network, parts.train, preprocess, distiller.class_of if distiller else None)
    learner = Learner(config, network, head, world, preprocess, distiller, freezing, pace)
    if choice is not None and world.is_main:
        facts = environment(
            data=data.name if not isinstance(data, str | Path) else str(Path(data).absolute()),
            data_hash=parts.train.data_hash,
            seed=config.seed,
            world_size=world.size,
            pace=choice,
        )
        write_bytes(folder / CONFIG, config.dump().encode())
        write_bytes(folder / ENVIRONMENT, json.dumps(facts, indent=2).encode())
        write_bytes(folder / PEOPLE, people_lines(parts.train.names))
        if origin is not None:
            origin.write(folder)
        if config.data.record_photos:
            _record(crops, parts.train, folder)
    world.barrier()
    batches = Batches(
        parts.train,
        sampler,
        make_augmentation(config.data),
        config.seed,
        threads=config.data.threads,
        rank=world.rank,
        world=world.size,
    )
    identity = {
        "data": parts.train.data_hash,
        "configuration": config.fingerprint(),
        "pace": str(pace),
    }
    if origin is not None:
        identity["pretrained model"] = origin.sha256
    return Trainer(learner, parts, batches, folder, identity=identity, display=display)


def _record(crops: Crops, learned: CropStore, folder: Path) -> None:
    """Write down which photos are learned from."""
    place = {key: i for i, key in enumerate(crops.source.keys)}
    seen = seen_photos(crops.source, [place[key] for key in learned.keys], crop_of=learned.read)
    write_seen(folder, seen)


def _recorded(config: Config, folder: Path, display: Display) -> TrainedOn | None:
    """What was written down; None where it was not, as in a run that an older Facewise began."""
    if not config.data.record_photos or not (folder / PHOTOS).is_file():
        return None
    try:
        return trained_on(read_seen(folder))
    except DatasetError as error:  # a training must not come to nothing for that
        display.say(f"{error} The model file does not say what it was trained on.")
        return None


def own_preprocess(size: int) -> Preprocess:
    """How crops of a side in pixels become the input of a network trained from scratch."""
    return Preprocess(size, MEAN, STD, "RGB", "5-point")


def _distiller(config: Config, world: World, preprocess: Preprocess) -> Distiller | None:
    if config.distill is None:
        return None
    if world.size > 1:
        raise SettingError("distill works in one process; start it without torchrun.")
    return Distiller(config.distill, world.device, preprocess)


def choose(
    config: Config,
    network: nn.Module,
    head: Head,
    world: World,
    preprocess: Preprocess,
    store: CropStore,
    sampler: Sampler,
) -> Choice:
    """How a run is computed fastest here, by its first batch, where the settings leave it open.

    Args:
        config: The settings.
        network: Of `build`, as the head is.
        head: The loss.
        world: Where it will run.
        preprocess: How crops become the network's input.
        store: What is learned from.
        sampler: Of the store.

    Raises:
        SettingError: The settings ask for what this hardware cannot do.
    """
    photos = shard(sampler.batches(0)[0], world.rank, world.size)
    photos = np.array_split(photos, config.accumulate)[0]
    own = config.distill is None and not (isinstance(head, ShardedHead) and world.size > 1)

    def trial() -> Trial:
        labels = torch.from_numpy(store.labels[photos]).to(world.device)
        loss = copy.deepcopy(head).to(world.device) if own else None

        def measured(embeddings: Tensor) -> Tensor:
            if loss is None:  # it needs a teacher, or the other processes
                return embeddings.float().square().mean()
            found: Tensor = loss(embeddings, labels[: len(embeddings)])
            return found

        def prepare(copied: nn.Module) -> None:
            copied.train()
            if config.start is not None:
                usual_mode(config.start, copied)

        images = torch.from_numpy(preprocess(store.take(photos)))
        return Trial(images, lambda copied, some: copied(some), measured, prepare)

    # Not the loss: it matters little, and the losses of a comparison are to be computed alike.
    of = {"network": config.backbone.model_dump(), "photos": len(photos), "size": config.data.size}
    of["compile"] = config.compile
    if config.start is not None:
        of |= {"freeze": config.start.freeze, "batch_norm": config.start.batch_norm}
    # Compiling takes minutes: nothing is measured.
    steps = 0 if config.compile else config.epochs * len(sampler) * config.accumulate
    return choose_pace(config, network, trial, steps=steps, of=of, world=world)


def _name(distiller: Distiller, parts: TrainingData) -> int:
    """Tell the distiller the classes of the people, and how many there are."""
    store = parts.train
    if parts.known is not None:  # accuracy is measured, of everybody
        distiller.class_of = np.arange(len(store.names), dtype=np.int64)
        return len(store.names)
    distiller.class_of = name_classes(store.labels, len(store.names))
    classes = int(distiller.class_of.max()) + 1
    if distiller.config.loss and classes < 2:
        raise SettingError(
            f"distill.loss needs people with two photos or more, and {store.name} has fewer than two; set "
            "distill.loss=0 to ignore names."
        )
    return classes


def build(config: Config, classes: int, pretrained: nn.Module | None = None) -> tuple[nn.Module, Head]:
    """The network and the loss of a configuration, with their first weights from torch's random numbers.

    Args:
        config: Settings.
        classes: People.
        pretrained: The network, where there is one already.

    Raises:
        SettingError: An option is unknown to its part.
    """
    options = dict(config.backbone.options)
    options.setdefault("input_size", config.data.size)
    network = pretrained or BACKBONES.build(config.backbone.name, unit=False, **options)
    size = int(network.embedding_size)  # type: ignore[arg-type]  # what every backbone has
    if config.distill is not None and not config.distill.loss:
        head: Head = NoHead(size)
    else:
        head = LOSSES.build(config.loss.name, size, classes, **config.loss.options)
    return network, head


def _describe(parts: TrainingData) -> str:
    text = f"{len(parts.train)} photos of {len(parts.train.names)} people to learn from"
    if parts.known is not None:
        text += f", {len(parts.known)} held out of the same people"
    if parts.unknown is not None:
        text += f", {len(parts.unknown)} of {len(parts.unknown.names)} other people held out"
    return text + "."


def _finish(
    trainer: Trainer, config: Config, folder: Path, world: World, display: Display, origin: Origin | None
) -> Run:
    """Export the best weights, or the last, and measure them once more."""
    if checkpoint.exists(folder_of(folder, BEST)):
        progress = trainer.progress
        trainer.load(BEST)
        trainer.progress = progress
    result = trainer.measure()
    held_out = measure_held_out(trainer)
    if world.is_main:
        write_held_out(folder / HELD_OUT, held_out)
        try:
            export_run(trainer, folder, result, _recorded(config, folder, display), origin, display.say)
        except FacewiseError as error:
            raise type(error)(
                f"{error} The training is not lost: its checkpoints stay in {folder}, and `facewise train "
                f"--resume {folder}` exports it again, here or on another machine."
            ) from error
        draw_curves([folder], folder / "curves.png")
        display.say(f"The model is {folder / MODEL}; learning curves are {folder / 'curves.png'}.")
    world.barrier()
    return Run(folder, config, read_model(folder / MODEL), result)
