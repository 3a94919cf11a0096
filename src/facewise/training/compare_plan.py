"""What a comparison will train: checked whole before anything is trained, and what of it is there already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facewise.data.source import Source
from facewise.errors import DatasetError, SettingError
from facewise.nn.losses import LOSSES
from facewise.pipeline import Pipeline
from facewise.training import checkpoint
from facewise.training.checkpoint import LAST, folder_of
from facewise.training.config import Config, read_config
from facewise.training.crops import Crops, Say, divide, load_crops
from facewise.training.engine import TrainingData
from facewise.training.heldout import HELD_OUT
from facewise.training.run import CONFIG, ENVIRONMENT, MODEL, build, load_recipe, taken

RECIPE = "arcface-mobilefacenet"

_SHARE = 0.2
"""Of the people, held out where nobody says otherwise."""

FEWEST_PEOPLE = 5
"""Verification of fewer says nothing."""


@dataclass(frozen=True, slots=True)
class Method:
    """One of what is compared.

    Attributes:
        name: Of the loss or the recipe.
        recipe: Name or file.
        settings: Put over the recipe's.
        own: What is this method's alone, for people to read.
        names_people: Whether its loss says who is on a photo, so that accuracy can be measured.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any]
    own: Mapping[str, Any]
    names_people: bool = True

    def config(self, seed: int = 0) -> Config:
        """All settings of a run."""
        return load_recipe(self.recipe, {**self.settings, "seed": seed})


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make.

    Attributes:
        method: What is trained.
        seed: With which.
        folder: Where to.
        data_hash: Of what it learns from.
    """

    method: Method
    seed: int
    folder: Path
    data_hash: str

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / MODEL).is_file() and (self.folder / HELD_OUT).is_file()

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return checkpoint.exists(folder_of(self.folder, LAST))

    def check(self) -> None:
        """Refuse a seed that is none, and a folder of something else.

        Raises:
            SettingError: The folder holds a run of other settings or data, or no run.
        """
        folder, config = self.folder, self.method.config(self.seed)
        if not taken(folder):
            return
        elsewhere = "name another folder with --out"
        if not (folder / CONFIG).is_file():
            raise SettingError(f"{folder} is there and is no run; {elsewhere}.")
        found, wanted = _flat(read_config(folder / CONFIG)), _flat(config)
        other = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
        if other:
            told = ", ".join(f"{key} {found.get(key)} not {wanted.get(key)}" for key in other[:3])
            raise SettingError(f"{folder} is a run with other settings ({told}); {elsewhere}.")
        try:
            facts = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it stopped before anything was learned, and will be begun again
            facts = {}
        if (self.begun or self.finished) and facts.get("data_hash") != self.data_hash:
            raise SettingError(f"{folder} is a run on other data; {elsewhere}.")

    def clear(self) -> None:
        """Remove what a run left that stopped before its first checkpoint; `check` saw that it is one."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


def plan(
    data: str | Path | Source,
    methods: Sequence[Method],
    seeds: Sequence[int],
    folder: Path,
    *,
    pipeline: Callable[[], Pipeline] | None,
    say: Say,
    tell_note: Say,
) -> list[Job]:
    """All runs, seed by seed, so that an interrupted comparison has something to compare.

    Args:
        data: As for `train`.
        methods: From `methods_of`.
        seeds: Of training.
        folder: Of the comparison.
        pipeline: As for `train`.
        say: Told what was done to the data.
        tell_note: Told what was chosen for the user.

    Raises:
        SettingError: A method cannot be trained so, holds out other photos, or a folder is taken.
        DatasetError: The data cannot be trained on.
    """
    crops: dict[int, Crops] = {}
    for size in dict.fromkeys(method.config().data.size for method in methods):
        crops[size] = load_crops(data, size, pipeline=pipeline, say=say)
    methods = _hold_out_people(methods, crops, tell_note)
    parts = [_divided(method, crops) for method in methods]
    for method, part in zip(methods, parts, strict=True):
        if _held(part) != _held(parts[0]):
            raise SettingError(
                f"{method.name} holds out other photos than {methods[0].name}: make data.min_photos and the "
                "data.held_out_… settings the same for all."
            )
        _check_measured(method, part)
    jobs = [
        Job(method, seed, folder / f"{method.name}-seed{seed}", part.train.data_hash)
        for seed in seeds
        for method, part in zip(methods, parts, strict=True)
    ]
    for job in jobs:
        job.check()
    return jobs


def methods_of(
    losses: Sequence[str],
    recipes: Sequence[str],
    recipe: str,
    settings: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
    tell_note: Say,
) -> list[Method]:
    """What is compared: losses within one recipe, or whole recipes.

    Raises:
        SettingError: A loss, recipe or setting is unknown.
    """
    common = {"data.split_seed": 0, **settings}
    for key in ("loss", "seed", "name"):
        if key in settings:
            raise SettingError(
                f"{key} is no setting of a comparison: it sets losses, seeds and names itself."
            )
    found = [_of_recipe(one, common, own) for one in recipes]
    found += [_of_loss(loss, recipe, common, own) for loss in losses]
    names = [method.name for method in found]
    if len(set(names)) < len(names) or len(names) < 2:
        raise SettingError(
            f"A comparison needs two different methods or more, not {', '.join(names) or 'none'}."
        )
    for name in own:
        if name not in names:
            raise SettingError(
                f"There are settings for {name}, which is not compared; there are {', '.join(names)}."
            )
    return [_with_pairs(method, tell_note) for method in found]


def _of_recipe(recipe: str, common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> Method:
    name = load_recipe(recipe).name
    mine = dict(own.get(name, {}))
    return Method(name, recipe, {**common, **mine}, {"recipe": recipe, **mine})


def _of_loss(
    loss: str, recipe: str, common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> Method:
    LOSSES.get(loss)
    plain = load_recipe(recipe)
    # A recipe's own loss keeps the options the recipe gives it.
    chosen = {} if plain.loss.name == loss else {"loss": loss, "name": f"{plain.name}-with-{loss}"}
    settings = {**chosen, **common, **own.get(loss, {})}
    options = load_recipe(recipe, settings).loss.options
    mine = {key: value for key, value in own.get(loss, {}).items() if not key.startswith("loss.")}
    return Method(loss, recipe, settings, {**options, **mine})


def _with_pairs(method: Method, tell_note: Say) -> Method:
    config = method.config()
    head = build(config, 10)[1]  # which says, too, whether the options are right
    method = replace(method, names_people=hasattr(head, "logits"))
    if not head.needs_pairs or config.data.sampler == "people" or "data.sampler" in method.settings:
        return method
    tell_note(
        f"{method.name} learns from pairs: its batches have {config.data.photos_per_person} photos of each "
        "person (data.sampler=people)."
    )
    extra = {"data.sampler": "people"}
    return replace(method, settings={**method.settings, **extra}, own={**method.own, **extra})


def _hold_out_people(methods: Sequence[Method], crops: Mapping[int, Crops], tell_note: Say) -> list[Method]:
    """Hold out people from all, where no setting says how many and there are enough."""
    configs = [method.config().data for method in methods]
    given = any("data.held_out_people" in method.settings for method in methods)
    if given or any(config.split or config.held_out_people for config in configs):
        return list(methods)
    people = min(len(divide(crops[config.size], config, 0).train.names) for config in configs)
    if round(people * _SHARE) < FEWEST_PEOPLE:
        tell_note(f"Verification is not measured: of {people} people too few could be held out.")
        return list(methods)
    tell_note(f"{_SHARE:.0%} of the people are held out to measure verification (data.held_out_people).")
    extra = {"data.held_out_people": _SHARE}
    return [replace(method, settings={**method.settings, **extra}) for method in methods]


def _divided(method: Method, crops: Mapping[int, Crops]) -> TrainingData:
    config = method.config()
    return divide(crops[config.data.size], config.data, config.seed)


def _held(parts: TrainingData) -> tuple[object, ...]:
    return tuple(None if store is None else store.keys for store in (parts.known, parts.unknown))


def _check_measured(method: Method, parts: TrainingData) -> None:
    if parts.unknown is not None and len(parts.unknown.names) < 2:
        raise DatasetError(
            "One person is held out, which makes no pair of two: raise data.held_out_people, or set it to 0."
        )
    if parts.unknown is None and (parts.known is None or not method.names_people):
        raise SettingError(
            f"Nothing held out measures {method.name}: set data.held_out_people"
            + (" or data.held_out_photos." if method.names_people else ", as this loss names nobody.")
        )


def _flat(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found
