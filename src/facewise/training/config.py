"""What a training run is: every choice that shapes it, checked before anything is loaded.

A recipe is a YAML file of these settings. Unknown keys are refused with the nearest known one named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from facewise.errors import SettingError, nearest_known
from facewise.textfile import read_text
from facewise.training.settings import (
    Data,
    Distillation,
    EarlyStopping,
    Optimizer,
    PaceSettings,
    Part,
    Schedule,
    Settings,
    Start,
)

__all__ = [
    "Config",
    "Data",
    "Distillation",
    "EarlyStopping",
    "Optimizer",
    "PaceSettings",
    "Part",
    "Schedule",
    "Settings",
    "Start",
    "make_config",
    "parse_overrides",
    "read_config",
]


class Config(PaceSettings):
    """A run, and how it is computed (`PaceSettings`).

    Attributes:
        name: Of the recipe and, by default, of the model.
        about: What it reproduces and what it measured, for people.
        backbone: A name of `facewise.nn.backbones` and its options.
        loss: A name of `facewise.nn.losses` and its options.
        data, optimizer, schedule: See there.
        epochs: How often every photo is seen.
        seed: Of everything drawn at random.
        compile: `torch.compile` the backbone: minutes to begin with, faster after, needs a C++ compiler.
        accumulate: Parts each batch is computed in, to save memory; losses on pairs see only their part.
        clip: Largest norm of the gradient, or None.
        ema: Decay a step of an average of the weights, which is what is validated and exported; 0 is none.
        validate_every: Epochs between validations.
        save_minutes: Time between checkpoints within an epoch; there is one after each epoch anyway.
        best_by: What the best checkpoint is chosen by: `accuracy`, `loss` or `verification` (AUC); None is
            accuracy where photos are held out, verification where people are, else the last is the best.
            `last` takes the weights after the last epoch, chosen by nothing that was held out.
        early_stopping: Or None.
        distill: Learn from other models' answers, with or without `loss`; or None.
        start: Begin with a model's weights, which is fine-tuning; or None.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    about: str = ""
    backbone: Part = Part(name="mobilefacenet")
    loss: Part = Part(name="arcface")
    data: Data = Data()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    epochs: int = Field(30, ge=1)
    seed: int = Field(0, ge=0)
    compile: bool = False
    accumulate: int = Field(1, ge=1)
    clip: float | None = Field(5.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(1, ge=1)
    save_minutes: float = Field(5.0, gt=0)
    best_by: Literal["accuracy", "loss", "verification", "last"] | None = None
    early_stopping: EarlyStopping | None = None
    distill: Distillation | None = None
    start: Start | None = None

    @model_validator(mode="after")
    def _fits(self) -> Config:
        data = self.data
        if self.distill is not None and not self.distill.loss and (data.held_out_photos or data.split):
            raise ValueError(
                "distill without names is measured on people, not photos: set distill.loss above 0, or "
                "data.held_out_photos=0 and no data.split"
            )
        if self.distill is not None and self.distill.hints and self.compile:
            raise ValueError("compile does not go with distill.hints")
        if data.sampler == "people" and data.batch_size % data.photos_per_person:
            raise ValueError(
                f"data.batch_size {data.batch_size} is no multiple of photos_per_person "
                f"{data.photos_per_person}"
            )
        if (data.sampler == "pairs") != (data.pairs is not None):
            raise ValueError("data.sampler pairs and a file data.pairs need each other")
        if data.batch_size // self.accumulate < 2:
            raise ValueError(f"accumulate {self.accumulate} leaves fewer than 2 photos of a batch to a part")
        if self.best_by == "accuracy" and not data.held_out_photos and not data.split:
            raise ValueError("best_by accuracy needs data.held_out_photos")
        if self.best_by == "verification" and not data.held_out_people and not data.split:
            raise ValueError("best_by verification needs data.held_out_people")
        return self

    def fingerprint(self) -> str:
        """The settings that are not the defaults, so that a run outlives the settings of a later version."""
        return self.told_apart(self.model_dump(mode="json", exclude_defaults=True))

    def dump(self) -> str:
        """YAML that `read_config` takes."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def make_config(settings: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Config:
    """Check settings.

    Args:
        settings: As in a recipe.
        overrides: Dotted keys, `{"optimizer.rate": 0.05}`, put over them. `backbone` and `loss` may be a name
            alone, which also drops the options of what they replace.

    Raises:
        SettingError: A key is unknown or a value is not what it must be; all are named.
    """
    whole = _copy(settings)
    for key, value in (overrides or {}).items():
        _put(whole, key, value)
    for key in ("backbone", "loss"):
        if isinstance(whole.get(key), str):
            whole[key] = {"name": whole[key]}
    try:
        return Config.model_validate(whole)
    except ValidationError as error:
        raise SettingError(" ".join(_explain(problem) for problem in error.errors())) from None


def read_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML file of settings.

    Raises:
        SettingError: It is missing, no YAML, or wrong.
    """
    try:
        settings = yaml.safe_load(read_text(path, "configuration", SettingError))
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(settings, dict):
        raise SettingError(f"{path} holds no settings; see the recipes for what a configuration looks like.")
    return make_config(settings, overrides)


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """`["epochs=20", "loss=cosface"]` to settings; values are YAML.

    Raises:
        SettingError: A word is no `key=value`.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise SettingError(f"{word!r} is no setting; write key=value, such as epochs=20.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingError(f"The value of {key} is no YAML: {text!r}.") from error
        # YAML reads 1e-3 as text; people mean a number.
        found[key] = _number(value) if isinstance(value, str) else value
    return found


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _copy(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in settings.items()}


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    *groups, last = key.split(".")
    for group in groups:
        inner = settings.get(group)
        if isinstance(inner, str) and group in ("backbone", "loss"):
            inner = {"name": inner}
        settings[group] = dict(inner) if isinstance(inner, Mapping) else {}
        settings = settings[group]
    settings[last] = value


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        hint = nearest_known(str(problem["loc"][-1]), _known(problem["loc"][:-1]))
        return f"There is no setting {where}{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if problem["type"] in ("missing", "value_error") else f" (given {problem['input']!r})"
    return (f"{where}: {message}{given}" if where else message).rstrip(".") + "."


def _known(place: tuple[Any, ...]) -> list[str]:
    group: type[BaseModel] = Config
    for name in place:
        inner = group.model_fields[str(name)].annotation
        options = [inner, *getattr(inner, "__args__", ())]
        group = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(group.model_fields)
