"""`train_detector`: prepared photos to a run folder with a detector's model file in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facewise.data.scenes import PhotoStore, Pool
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.errors import FacewiseError, SettingError
from facewise.files import one_at_a_time, write_bytes
from facewise.models.file import ModelFile
from facewise.nn.detectors.multibox import MultiBoxLoss
from facewise.nn.detectors.small import SmallDetector
from facewise.training import checkpoint
from facewise.training.checkpoint import LAST, folder_of
from facewise.training.detection.batches import SceneBatches
from facewise.training.detection.config import DetectorConfig, detector_config
from facewise.training.detection.engine import DetectorTrainer
from facewise.training.detection.export import LICENCE, export_detector, score_shift
from facewise.training.detection.learner import DetectorLearner, build, moved, prepared
from facewise.training.detection.measure import SceneMeter, agreement, held_out_scene
from facewise.training.detection.targets import joined
from facewise.training.display import Bar, Display
from facewise.training.distributed import World, keep_to_quota
from facewise.training.environment import environment, git_hash
from facewise.training.memory import kept_memory
from facewise.training.pace import Choice, Trial, choose_pace, recorded

CONFIG, ENVIRONMENT, MODEL, CANDIDATE = "config.yaml", "environment.json", "model.onnx", "candidate.onnx"

_QUICK = ((1, 3, 117, 131),)
"""Of exports that are only measured."""

_LOW = 0.05
"""Threshold for average precision: what is below changes it by little."""


@dataclass(frozen=True, slots=True)
class DetectorRun:
    """A finished run.

    Attributes:
        folder: Everything of it.
        config: Its settings.
        model: The detector.
        result: What the model measured on held-out photos.
    """

    folder: Path
    config: DetectorConfig
    model: ModelFile
    result: Mapping[str, float]


def train_detector(
    photos: PhotoStore,
    out: str | Path,
    *,
    config: DetectorConfig | None = None,
    teacher: OnnxDetector | None = None,
    resume: bool = False,
    device: str = "cpu",
    display: Display | None = None,
    licence: str = LICENCE,
) -> DetectorRun:
    """Train a detector.

    Args:
        photos: What `prepare_photos` made.
        out: A folder for the run; new, or with `resume` that of a run to go on with.
        config: Settings; with `resume`, None is the run's own.
        teacher: The detector that labelled the photos: imitated (`config.imitate`) and compared with.
        resume: Go on.
        device: `cpu` or `cuda`.
        display: Shows progress; None is a progress bar.
        licence: What the model's card says of its terms.

    Raises:
        SettingError: The folder is taken, a setting is wrong, or a teacher is needed.
        StoppedTrainingError: Somebody stopped the run; it is saved.
    """
    folder = Path(out)
    if resume:
        config = _read_run(folder) if config is None else config
    elif (folder / CONFIG).exists():
        raise SettingError(f"There is a run in {folder} already; go on with it, or name a new folder.")
    config = config or DetectorConfig()
    if config.hint and not config.imitate:
        raise SettingError("hint needs imitate=true: features come with the labelling detector's answer.")
    if config.imitate and teacher is None:
        raise SettingError("To imitate needs the detector that labelled the photos; or set imitate=false.")
    keep_to_quota()
    display = Bar() if display is None else display
    busy = SettingError(f"Another process trains in {folder}; wait for it to end.")
    with one_at_a_time(folder / ".lock", busy), kept_memory():
        return _run(photos, folder, config, teacher, display, device, licence, resume=resume)


def _run(
    photos: PhotoStore,
    folder: Path,
    config: DetectorConfig,
    teacher: OnnxDetector | None,
    display: Display,
    device: str,
    licence: str,
    *,
    resume: bool,
) -> DetectorRun:
    batches = SceneBatches(
        Pool(photos, held_out=False),
        config.scenes.sizes,
        config.mixture,
        config.seed,
        teacher=teacher if config.imitate else None,
        workers=config.scenes.workers,
        hints=config.hint_outputs if config.hint else (),
    )
    network, on = build(config), torch.device(device)
    pace = recorded(folder / ENVIRONMENT, on) if resume else None
    choice = None
    if not resume:
        choice = _choose(config, network, batches, on)
        display.say(str(choice))
        pace = choice.pace
    learner = DetectorLearner(config, on, network, pace)
    measure = _measures(learner, photos, folder, config, teacher)
    identity = {"photos": photos.data_hash, "configuration": config.fingerprint(), "pace": str(learner.pace)}
    trainer = DetectorTrainer(learner, batches, folder, measure=measure, identity=identity, display=display)
    if choice is None:
        trainer.load()
    else:
        facts = environment(
            data=photos.folder.name, data_hash=photos.data_hash, seed=config.seed, world_size=1, pace=choice
        )
        write_bytes(folder / ENVIRONMENT, json.dumps(facts, indent=2).encode())
        write_bytes(folder / CONFIG, config.dump().encode())
    if not trainer.progress.finished:
        trainer.fit()
    try:
        result = dict(measure())
        model = _finished(learner, photos, folder, config, trainer, result, licence)
    except FacewiseError as error:
        raise type(error)(
            f"{error} The training is not lost: its checkpoint stays in {folder}, and `train_detector` with "
            "resume=True exports it again, here or on another machine."
        ) from error
    display.say(f"The model is {folder / MODEL}.")
    return DetectorRun(folder, config, model, result)


def _choose(
    config: DetectorConfig, network: SmallDetector, batches: SceneBatches, device: torch.device
) -> Choice:
    """The way this detector trains fastest here, by its first batch of scenes."""
    loss = MultiBoxLoss(**config.loss.model_dump())

    def trial() -> Trial:
        batch = batches.make(0)

        def measured(outputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            targets = joined(batch.targets[: len(outputs[0])])
            found: Tensor = loss(outputs, moved(targets, device))[0]
            return found

        return Trial(prepared(batch.images, device), _logits, measured)

    of = {"network": config.network.model_dump(mode="json"), "scenes": config.scenes.sizes}
    return choose_pace(config, network, trial, steps=config.steps, of=of, world=World(device=device))


def _logits(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    assert isinstance(network, SmallDetector)  # noqa: S101  for the type checker
    return network.logits(images)


def _read_run(folder: Path) -> DetectorConfig:
    if not checkpoint.exists(folder_of(folder, LAST)):
        raise SettingError(f"There is no checkpoint in {folder}; start the run again.")
    return detector_config(folder / CONFIG)


def _measures(
    learner: DetectorLearner,
    photos: PhotoStore,
    folder: Path,
    config: DetectorConfig,
    teacher: OnnxDetector | None,
) -> Callable[[], dict[str, float]]:
    """What to measure after each round; the teacher's answers are asked for once."""
    if not photos.held_out.any():
        return dict
    pool = Pool(photos, held_out=True)
    real = np.flatnonzero(photos.held_out & ~photos.drawn)[: config.held_out_photos]
    kept: dict[str, Any] = {}

    def measure() -> dict[str, float]:
        model = export_detector(learner.used, folder / CANDIDATE, config.name, probes=_QUICK)
        found: dict[str, float] = {}
        if teacher is not None and len(real):
            plain = OnnxDetector(model, threads=1)
            if "answers" not in kept:
                kept["answers"] = [teacher.detect(photos[int(i)].levels[0], threads=1) for i in real]
            pairs = [
                (answer[0], plain.detect(photos[int(i)].levels[0], threads=1))
                for i, answer in zip(real, kept["answers"], strict=True)
                if answer
            ]
            found |= agreement(pairs).as_dict() if pairs else {}
        if config.held_out_scenes:
            low = OnnxDetector(model, settings=DetectorSettings(score_threshold=_LOW), threads=1)
            meter = SceneMeter()
            for number in range(config.held_out_scenes):
                scene = held_out_scene(pool, number)
                meter.update(scene, low.detect(scene.image, threads=1))
            found |= {f"ap {name}": value for name, value in meter.compute().items()}
        return found

    return measure


def _finished(
    learner: DetectorLearner,
    photos: PhotoStore,
    folder: Path,
    config: DetectorConfig,
    trainer: DetectorTrainer,
    result: Mapping[str, float],
    licence: str,
) -> ModelFile:
    """The model with its scores set so that 0.5 is the threshold for the false alarms that are allowed."""
    shift = 0.0
    if config.face_free:
        candidate = export_detector(learner.used, folder / CANDIDATE, config.name, probes=_QUICK)
        # Backgrounds learned from give too few false alarms. On one half of those held out the scores are
        # set; the other measures the result.
        held_out = bool(photos.held_out.any())
        pool = Pool(photos, held_out=held_out, half=0 if held_out else None)
        shift = score_shift(candidate, pool, config.face_free, config.false_alarms)
    (folder / CANDIDATE).unlink(missing_ok=True)
    training = {
        "git": git_hash(),
        "data": photos.folder.name,
        "data_hash": photos.data_hash,
        "photos": int((~photos.held_out).sum()),
        "seed": config.seed,
        "steps": trainer.progress.step,
        "seconds": round(trainer.progress.seconds, 1),
        "settings": config.model_dump(mode="json"),
        "held_out": dict(result),
    }
    return export_detector(
        learner.used, folder / MODEL, config.name, shift=shift, training=training, licence=licence
    )
