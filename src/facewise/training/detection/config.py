"""What a detector's training is: every choice that shapes it, checked before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from facewise.data.scenes import Mixture
from facewise.errors import SettingError, nearest_known
from facewise.textfile import read_text
from facewise.training.config import Optimizer, PaceSettings, Schedule, Settings


class Scenes(Settings):
    """What it learns from.

    Attributes:
        sizes: (side in pixels, scenes a batch), taken in turn: small scenes make many faces, large ones large
            faces.
        mixture: Of the scenes, what differs from `Mixture`'s own.
        workers: Processes that make scenes ahead of the training; 0 makes them in between.
    """

    sizes: tuple[tuple[int, int], ...] = ((256, 32), (256, 32), (320, 20), (512, 8))
    mixture: dict[str, float] = Field(default_factory=dict)
    workers: int = Field(1, ge=0)


class Loss(Settings):
    """See `facewise.nn.detectors.multibox.MultiBoxLoss`."""

    negatives: float = Field(7.0, gt=0)
    least: int = Field(32, ge=1)
    box_weight: float = Field(1.0, ge=0)
    landmark_weight: float = Field(1.0, ge=0)
    box_beta: float = Field(0.3, gt=0)
    landmark_beta: float = Field(0.1, gt=0)


class Network(Settings):
    """See `facewise.nn.detectors.small.SmallDetector`."""

    stem: int = Field(16, ge=4)
    channels: tuple[int, int, int, int] = (32, 64, 128, 160)
    blocks: tuple[int, int, int, int] = (0, 2, 5, 3)
    pyramid: tuple[int, int, int] = (48, 96, 80)


class DetectorConfig(PaceSettings):
    """A detector's training, and how it is computed (`PaceSettings`).

    Attributes:
        name: Of the model.
        network, loss, scenes, optimizer, schedule: See there. The schedule's epoch is `round_steps` steps.
        steps: Batches in all.
        round_steps: Steps between measurements on held-out photos.
        seed: Of first weights and scenes.
        hint: Weight of learning the labelling detector's features too, those its answers are read from,
            through a 1×1 convolution a stride that is thrown away afterwards (FitNets, Romero et al. 2015,
            1412.6550); 0 does not. Every cell of every scene teaches then, not only those with a face.
        hint_outputs: Names of these features in the labelling detector's graph, one a stride.
        hint_channels: How many channels they have.
        imitate: Learn boxes and landmarks from the labelling detector's own answer to each scene, where it is
            right, and from the photos' labels elsewhere; False takes the labels everywhere.
        clip: Largest norm of the gradient, or None.
        ema: Decay a step of the average of the weights that is measured and exported.
        save_minutes: Time between checkpoints.
        held_out_scenes: For the average precision of each round.
        held_out_photos: For the comparison with the labelling detector of each round.
        false_alarms: On face-free pictures, a picture: what the score of a face is set by in the end.
        face_free: Pictures for that.
    """

    name: str = Field("facewise-detect-s", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    network: Network = Network()
    loss: Loss = Loss()
    scenes: Scenes = Scenes()
    optimizer: Optimizer = Optimizer(name="adamw", rate=3e-3, weight_decay=0.02)
    schedule: Schedule = Schedule(name="cosine", warmup_epochs=0.5, final=0.01)
    steps: int = Field(20_000, ge=1)
    round_steps: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)
    hint: float = Field(0.0, ge=0)
    hint_outputs: tuple[str, str, str] = ("/ssh1/Relu_output_0", "/ssh2/Relu_output_0", "/ssh3/Relu_output_0")
    hint_channels: int = Field(64, ge=1)
    imitate: bool = True
    clip: float | None = Field(20.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    save_minutes: float = Field(3.0, gt=0)
    held_out_scenes: int = Field(100, ge=0)
    held_out_photos: int = Field(300, ge=0)
    false_alarms: float = Field(0.004, gt=0)
    face_free: int = Field(2000, ge=0)

    def fingerprint(self) -> str:
        """What shapes the weights: where only measuring or the processes differ, the run is the same."""
        free = {"scenes": {"workers"}, "save_minutes": True, "held_out_scenes": True, "held_out_photos": True}
        free |= {"face_free": True, "false_alarms": True}
        kept: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True, exclude=free)  # type: ignore[arg-type]
        # A group of which nothing is left says nothing, and must not tell a run from one with defaults.
        return self.told_apart({key: value for key, value in kept.items() if value != {}})

    def dump(self) -> str:
        """YAML that `detector_config` takes."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    @property
    def mixture(self) -> Mixture:
        """Of the scenes.

        Raises:
            SettingError: It does not add up, or names something unknown.
        """
        try:
            return Mixture(**self.scenes.mixture)  # type: ignore[arg-type]
        except TypeError as error:
            raise SettingError(f"scenes.mixture: {error}; see facewise.data.scenes.Mixture.") from None


def detector_config(
    source: str | Path | Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None
) -> DetectorConfig:
    """Check settings.

    Args:
        source: A YAML file, or settings; None is the defaults.
        overrides: Dotted keys put over them, `{"optimizer.rate": 0.002}`.

    Raises:
        SettingError: A key is unknown or a value is not what it must be.
    """
    settings = _read(source) if isinstance(source, str | Path) else dict(source or {})
    whole: dict[str, Any] = json.loads(json.dumps(settings))
    for key, value in (overrides or {}).items():
        *groups, last = key.split(".")
        inside = whole
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = value
    try:
        config = DetectorConfig.model_validate(whole)
    except ValidationError as error:
        raise SettingError(" ".join(_explain(problem) for problem in error.errors())) from None
    config.mixture  # noqa: B018  refuses what cannot be made
    return config


def _read(path: str | Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(read_text(path, "configuration", SettingError))
    except yaml.YAMLError as error:
        raise SettingError(f"Cannot read the configuration {path}: {error}.") from error
    if not isinstance(settings, dict):
        raise SettingError(f"{path} holds no settings.")
    return settings


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return f"There is no setting {where}{nearest_known(where, DetectorConfig.model_fields)}"
    return f"{where}: {problem['msg']}.".replace("..", ".")
