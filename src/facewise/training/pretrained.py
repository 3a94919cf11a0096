"""Fine-tuning: what a run takes over from the model it begins with, and what it remembers of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facewise.errors import FacewiseError, SettingError
from facewise.files import write_bytes
from facewise.models.pretrained import Pretrained, read_pretrained
from facewise.preprocess import Preprocess
from facewise.recipes import recipe_names, recipe_settings
from facewise.training.config import Config, Part
from facewise.training.recipe import load_recipe

PRETRAINED = "pretrained.json"
"""The file in a run's folder; with it and a checkpoint a run goes on without the model it began with."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The model a run began with.

    Attributes:
        name: Of the model.
        backbone: Its architecture.
        sha256: Of the file that was opened.
        licence: Of its weights, which goes for all that is made of them.
        source: Who published it.
        preprocess: How crops become its input.
    """

    name: str
    backbone: str
    sha256: str
    licence: str
    source: str
    preprocess: Preprocess

    @classmethod
    def of(cls, model: Pretrained) -> Origin:
        """What is remembered of an opened model."""
        return cls(
            model.name,
            model.backbone,
            str(model.facts["sha256"]),
            model.licence,
            model.source,
            model.preprocess,
        )

    def facts(self) -> dict[str, str]:
        """For the model file: no path."""
        return {
            "name": self.name,
            "backbone": self.backbone,
            "sha256": self.sha256,
            "licence": self.licence,
            "source": self.source,
        }

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder."""
        whole = self.facts() | {"preprocess": self.preprocess.to_dict()}
        write_bytes(folder / PRETRAINED, json.dumps(whole, indent=2).encode())

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """From a run's folder.

        Raises:
            SettingError: It is missing or damaged, so the run cannot go on.
        """
        path = folder / PRETRAINED
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
            preprocess = Preprocess.from_dict(whole.pop("preprocess"))
            return cls(preprocess=preprocess, **{key: str(value) for key, value in whole.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, FacewiseError) as error:
            raise SettingError(
                f"{path}, which says how the run's model takes its crops, is missing or damaged ({error}): "
                "put it back, or begin a new run."
            ) from None


def begin(
    recipe: str | Path | None, given: Mapping[str, Any], start: str | Path | None
) -> tuple[Config, Pretrained | None]:
    """The settings of a new run and the model it begins with, if it is to begin with one.

    Args:
        recipe: Name or file; None is the one made for the model's architecture, without a model
            `arcface-mobilefacenet`.
        given: Settings put over the recipe's.
        start: The model, in place of a `start.model` among the settings.

    Raises:
        SettingError: A setting is wrong, the recipe was made for other models, or needs one and has none.
        ModelError: The model cannot be fine-tuned.
    """
    settings = dict(given)
    if start is not None:
        settings["start.model"] = str(start)
    named = settings.get("start.model")
    if recipe is None and named is None:
        recipe = "arcface-mobilefacenet"
    model = None
    if recipe is None:
        model = read_pretrained(str(named))
        recipe = _recipe_for(model)
    config = load_recipe(recipe, settings)
    if config.start is None:
        return config, None
    if config.start.model is None:
        raise SettingError(
            f"The recipe {config.name} begins with a model: name it with --from, such as --from NAME or a "
            "checkpoint's file."
        )
    _refuse_changes(settings)
    return _fit(config, model or read_pretrained(config.start.model))


def recipes_for(backbone: str) -> tuple[str, ...]:
    """The recipes that were made to fine-tune an architecture."""
    found = {name: recipe_settings(name) for name in recipe_names()}
    return tuple(
        name
        for name, settings in found.items()
        # One of another kind, as of attributes, has a start of another kind.
        if "recipe" not in settings and backbone in settings.get("start", {}).get("backbones", ())
    )


def _recipe_for(model: Pretrained) -> str:
    fitting = recipes_for(model.backbone)
    if not fitting:
        raise SettingError(
            f"No recipe is made for {model.backbone}, which {model.name} is: name one with --recipe and set "
            "start.backbones=[] to use its settings."
        )
    return fitting[0]


def _refuse_changes(given: Iterable[str]) -> None:
    for key in given:
        if key == "data.size" or key.partition(".")[0] == "backbone":
            raise SettingError(f"{key} is that of the model that training begins with: leave it out.")


def _fit(config: Config, model: Pretrained) -> tuple[Config, Pretrained]:
    """The settings with what is the model's put in."""
    assert config.start is not None  # noqa: S101  the caller saw to it
    made_for = config.start.backbones
    if made_for and model.backbone not in made_for:
        fitting = recipes_for(model.backbone)
        advice = (
            f"use --recipe {' or '.join(fitting)}"
            if fitting
            else "no recipe is made for that, so set start.backbones=[] to use this one's settings"
        )
        raise SettingError(
            f"The recipe {config.name} is made for {', '.join(made_for)}, and {model.name} is "
            f"{_an(model.backbone)}: {advice}."
        )
    size = model.preprocess.cut.size
    place = Path(str(config.start.model)).expanduser()
    start = config.start.model_copy(
        update={"model": str(place.absolute()) if place.exists() else config.start.model}
    )
    changes = {
        "backbone": Part(name=model.backbone, **model.options),
        "data": config.data.model_copy(update={"size": size}),
        "start": start,
    }
    return config.model_copy(update=changes), model


def _an(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
