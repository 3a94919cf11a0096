"""A recipe's settings, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facewise.errors import SettingError
from facewise.nn.backbones import BACKBONES
from facewise.nn.losses import LOSSES
from facewise.recipes import recipe_settings
from facewise.training.config import Config, make_config, read_config


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The settings of a recipe by name, or of a YAML file.

    Raises:
        SettingError: There is no such recipe or file, or a setting is wrong.
    """
    text = str(recipe)
    if text.endswith((".yaml", ".yml")):
        config = read_config(text, overrides)
    else:
        settings = recipe_settings(text)
        if settings.get("recipe") is not None:
            raise SettingError(f"{text} is no recipe of a recogniser: `facewise train` alone takes it.")
        config = make_config(settings, overrides)
    BACKBONES.get(config.backbone.name)  # before anything long is begun
    LOSSES.get(config.loss.name)
    return config
