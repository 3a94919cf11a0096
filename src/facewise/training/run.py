"""`train`: a dataset and a recipe to a run folder with a model file in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import facewise
from facewise.data.augment import augmentation
from facewise.data.batches import Batches
from facewise.data.samplers import PK, GivenPairs, Sampler, Shuffle
from facewise.data.seen import PEOPLE, PHOTOS, read_seen, seen_photos, trained_on, write_seen
from facewise.data.source import Source
from facewise.data.store import CropStore
from facewise.errors import DatasetError, SettingError
from facewise.files import one_at_a_time, write_bytes
from facewise.models.export import check_parity, export_onnx
from facewise.models.file import ModelCard, ModelFile, read_model, write_model
from facewise.models.trained_on import TrainedOn
from facewise.nn.backbones import BACKBONES
from facewise.nn.fast import faster
from facewise.nn.losses import LOSSES
from facewise.nn.losses.base import Head
from facewise.pipeline import Pipeline
from facewise.preprocess import Preprocess
from facewise.recipes import recipe_settings
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, LAST, folder_of
from facewise.training.config import Config, Data, make_config, read_config
from facewise.training.crops import Crops, divide, given_pairs, load_crops
from facewise.training.curves import draw_curves
from facewise.training.display import Bar, Display, Quiet
from facewise.training.distill import Distiller, NoHead, name_classes
from facewise.training.distributed import World
from facewise.training.engine import Trainer, TrainingData
from facewise.training.environment import environment, git_hash
from facewise.training.heldout import HELD_OUT, measure_held_out, write_held_out
from facewise.training.learner import Learner
from facewise.training.log import read_metrics
from facewise.training.memory import kept_memory

MEAN = STD = (127.5, 127.5, 127.5)
"""Grey levels to [-1, 1], RGB: what every network here is trained with from scratch."""

CONFIG, ENVIRONMENT, MODEL = "config.yaml", "environment.json", "model.onnx"


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
        recipe: Name of a recipe, or a YAML file of settings; by default `arcface-mobilefacenet`.
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
        DatasetError: The data cannot be trained on.
        StoppedError: Somebody stopped the run; it is saved.
    """
    display = Bar() if display is None else display
    with World.from_environment(device) as world, kept_memory():
        shown: Display = display if world.is_main else Quiet()
        if resume is not None:
            if recipe is not None or settings or overrides or out is not None:
                raise SettingError(
                    "A resumed run keeps its settings: name no recipe, settings or new folder."
                )
            folder = Path(resume)
            config, named = _read_run(folder)
            data = named if data is None else data
        else:
            if data is None:
                raise SettingError("Name the data to train on.")
            config = load_recipe(recipe or "arcface-mobilefacenet", {**(settings or {}), **overrides})
            folder = Path(world.broadcast(str(_new_folder(out, config.name) if world.is_main else "")))
        with _alone_in(folder, world):
            trainer = _trainer(config, data, folder, world, shown, pipeline, new=resume is None)
            if resume is not None:
                trainer.load()
            trainer.fit()
            return _finish(trainer, config, folder, world, shown)


def _alone_in(folder: Path, world: World) -> AbstractContextManager[None]:
    """Two trainings in one folder would write over each other's checkpoints."""
    if not world.is_main:
        return nullcontext()
    busy = SettingError(f"Another process trains in {folder}; wait for it to end.")
    return one_at_a_time(folder / ".lock", busy)


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The settings of a recipe by name, or of a YAML file.

    Raises:
        SettingError: There is no such recipe or file, or a setting is wrong.
    """
    text = str(recipe)
    if text.endswith((".yaml", ".yml")):
        config = read_config(text, overrides)
    else:
        config = make_config(recipe_settings(text), overrides)
    BACKBONES.get(config.backbone.name)  # before anything long is begun
    LOSSES.get(config.loss.name)
    return config


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
) -> Trainer:
    distiller = _distiller(config, world)  # a teacher that is not there is told before anything is aligned
    # One process makes the crops, the others find them made.
    if not world.is_main:
        world.barrier()
    crops = load_crops(data, config.data.size, pipeline=pipeline, say=display.say)
    if world.is_main:
        world.barrier()
    parts = divide(crops, config.data, config.seed)
    display.say(_describe(parts))
    torch.manual_seed(config.seed)
    classes = len(parts.train.names) if distiller is None else _name(distiller, parts.train)
    network, head = build(config, classes, world)
    learner = Learner(config, network, head, world, MEAN, STD, distiller)
    named = data.name if not isinstance(data, str | Path) else str(Path(data).absolute())
    facts = environment(data=named, data_hash=parts.train.data_hash, seed=config.seed, world_size=world.size)
    if new and world.is_main:
        write_bytes(folder / CONFIG, config.dump().encode())
        write_bytes(folder / ENVIRONMENT, json.dumps(facts, indent=2).encode())
        write_bytes(folder / PEOPLE, "".join(f"{name}\n" for name in parts.train.names).encode())
        if config.data.record_photos:
            _record(crops, parts.train, folder)
    world.barrier()
    batches = Batches(
        parts.train,
        _sampler(config.data, parts.train, crops.root, config.seed),
        _augmentation(config.data),
        config.seed,
        threads=config.data.threads,
        rank=world.rank,
        world=world.size,
    )
    identity = {"data": parts.train.data_hash, "configuration": config.fingerprint()}
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


def _distiller(config: Config, world: World) -> Distiller | None:
    if config.distill is None:
        return None
    if world.size > 1:
        raise SettingError("distill works in one process; start it without torchrun.")
    return Distiller(config.distill, world.device, config.precision)


def _name(distiller: Distiller, store: CropStore) -> int:
    """Tell the distiller the classes of the people, and how many there are."""
    distiller.class_of = name_classes(store.labels, len(store.names))
    classes = int(distiller.class_of.max()) + 1
    if distiller.config.loss and classes < 2:
        raise SettingError(
            f"distill.loss needs people with two photos or more, and {store.name} has fewer than two; set "
            "distill.loss=0 to ignore names."
        )
    return classes


def build(config: Config, classes: int, world: World | None = None) -> tuple[torch.nn.Module, Head]:
    """The network and the loss of a configuration, with their first weights from torch's random numbers.

    Args:
        config: Settings.
        classes: People.
        world: Where they will run.

    Raises:
        SettingError: An option is unknown to its part.
    """
    options = dict(config.backbone.options)
    options.setdefault("input_size", config.data.size)
    network = BACKBONES.build(config.backbone.name, unit=False, **options)
    size = int(network.embedding_size)  # type: ignore[arg-type]  # what every backbone has
    if config.distill is not None and not config.distill.loss:
        head: Head = NoHead(size)
    else:
        head = LOSSES.build(config.loss.name, size, classes, **config.loss.options)
    on_cpu = world is None or world.device.type == "cpu"
    return faster(network) if config.fast_layers and on_cpu else network, head


def _sampler(config: Data, store: CropStore, root: Path, seed: int) -> Sampler:
    if config.pairs is not None:
        return GivenPairs(given_pairs(store, root, config.pairs), config.batch_size, seed)
    if config.sampler == "people":
        return PK(store.labels, config.batch_size // config.photos_per_person, config.photos_per_person, seed)
    return Shuffle(store.labels, config.batch_size, seed)


def _augmentation(config: Data) -> Any:
    if isinstance(config.augmentation, str):
        return augmentation(config.augmentation)
    changes = dict(config.augmentation)
    return augmentation(str(changes.pop("preset", "none")), **changes)


def _describe(parts: TrainingData) -> str:
    text = f"{len(parts.train)} photos of {len(parts.train.names)} people to learn from"
    if parts.known is not None:
        text += f", {len(parts.known)} held out of the same people"
    if parts.unknown is not None:
        text += f", {len(parts.unknown)} of {len(parts.unknown.names)} other people held out"
    return text + "."


def _finish(trainer: Trainer, config: Config, folder: Path, world: World, display: Display) -> Run:
    """Export the best weights, or the last, and measure them once more."""
    if checkpoint.exists(folder_of(folder, BEST)):
        progress = trainer.progress
        trainer.load(BEST)
        trainer.progress = progress
    result = trainer.measure()
    held_out = measure_held_out(trainer)
    if world.is_main:
        write_held_out(folder / HELD_OUT, held_out)
        _export(trainer, config, folder, result, _recorded(config, folder, display))
        draw_curves([folder], folder / "curves.png")
        display.say(f"The model is {folder / MODEL}; learning curves are {folder / 'curves.png'}.")
    world.barrier()
    return Run(folder, config, read_model(folder / MODEL), result)


def _export(
    trainer: Trainer, config: Config, folder: Path, result: Mapping[str, float], seen: TrainedOn | None
) -> ModelFile:
    size = config.data.size
    network = trainer.learner.used_network.to("cpu").eval()
    store = trainer.data.train
    some = store.take(np.linspace(0, len(store) - 1, min(8, len(store))).astype(np.int64))
    preprocess = Preprocess(size, MEAN, STD, "RGB", "5-point")
    images = torch.from_numpy(preprocess(some))
    plain = export_onnx(network, images[:2], dynamic={0: "batch"}, outputs=("embedding",))
    parity = check_parity(network, plain, (images, images[:1]))
    card = ModelCard(
        kind="embedder",
        name=config.name,
        version="1",
        licence="the user's own; mind the terms of the photos",
        source=f"trained by Facewise {facewise.__version__}",
        preprocess=preprocess,
        embedding_size=int(network.embedding_size),  # type: ignore[arg-type]
        training={
            "recipe": config.name,
            "backbone": config.backbone.model_dump(),
            "loss": config.loss.model_dump(),
            "git": git_hash(),
            "data": Path(store.name).name,  # a model file travels: where it lay is nobody's business
            "data_hash": store.data_hash,
            "photos": len(store),
            "people": len(store.names),
            **({} if trainer.learner.distiller is None else trainer.learner.distiller.facts()),
            "seed": config.seed,
            "epochs": trainer.progress.epoch,
            "seconds": round(trainer.progress.seconds, 1),
            "held_out": dict(result),
            "parity": parity.relative,
        },
        trained_on=seen,
    )
    return write_model(folder / MODEL, plain, card)
