"""How the methods that train a network are set: their recipes, and what both share with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facewise.errors import ModelError, SettingError
from facewise.methods.division import DIVIDING
from facewise.methods.names import Method
from facewise.methods.source import Start
from facewise.methods.tasks import Training
from facewise.training.crops import Say
from facewise.training.pretrained import begin
from facewise.training.recipe import load_recipe

SCRATCH_RECIPE = "arcface-mobilefacenet"

_SET_HERE = frozenset(
    (
        "seed",
        "name",
        "data.size",
        "data.held_out_people",
        "start.model",
        "distill",
        "best_by",
        "early_stopping",
        "validate_every",
    )
)
"""What a comparison decides itself, the same for all."""


def check_own(methods: Sequence[Method]) -> None:
    """Refuse settings of one method that are not its own.

    Raises:
        SettingError: One chooses photos, or the method has no settings.
    """
    for method in methods:
        for key in method.settings:
            if key in DIVIDING:
                raise SettingError(
                    f"{key} chooses the photos, which are the same for all: leave {method.name}: out."
                )
        if method.kind == "template" and method.settings:
            raise SettingError(f"{method.name} has no settings: nothing is fitted.")
        if method.kind == "classifier" and method.settings:
            raise SettingError(f"{method.name} has no settings: they are chosen by cross-validation.")


def training_of(
    method: Method,
    start: Start,
    size: int,
    recipe: str | Path | None,
    common: Mapping[str, Any],
    folder: Path,
    device: str,
    note: Say,
) -> Training:
    """How one method trains.

    Args:
        method: `finetune` or one of `scratch`.
        start: The model.
        size: Of its crops.
        recipe: Of fine-tuning; None is the one made for the model.
        common: Dotted settings of all that trains.
        folder: Of the runs.
        device: Where to.
        note: Told what was chosen.

    Raises:
        SettingError: A setting is wrong.
        ModelError: The model has no weights to train on.
    """
    settings = {**common, **method.settings}
    for key in settings:
        if key in _SET_HERE:
            raise SettingError(f"{key} is no setting of a comparison of methods: it is the same for all.")
    if method.kind == "finetune":
        config, _ = begin(recipe, settings, start.weights)  # which says, too, whether there are weights
        chosen, named = None if recipe is None else str(recipe), start.weights
    else:
        settings = {"data.size": size, **_backbone(start, size, note), **settings}
        config, chosen, named = load_recipe(SCRATCH_RECIPE, settings), SCRATCH_RECIPE, None
    epochs = config.epochs * method.factor
    times = f"{epochs} epoch{'s' * (epochs > 1)}"
    note(f"{method.name}: {times} of the recipe {config.name}, however many photos there are.")
    return Training(
        chosen, settings, named, epochs, config.data.batch_size, config.fingerprint(), folder, device
    )


def _backbone(start: Start, size: int, note: Say) -> dict[str, Any]:
    """The settings of a network like the model's, where it is known which that is."""
    from facewise.models.pretrained import read_pretrained  # noqa: PLC0415  imports half of PyTorch

    try:
        found = read_pretrained(start.weights)
    except (ModelError, SettingError):
        config = load_recipe(SCRATCH_RECIPE)
        note(
            f"The network of {start.model.card.name} is not known, as there are no weights of it: scratch "
            f"trains {config.backbone.name}, that of its recipe."
        )
        return {}
    options = dict(found.options)
    if "input_size" in options:  # from scratch, networks take the whole crop, also where the model takes part
        options["input_size"] = size
    return {"backbone": {"name": found.backbone, **options}}
