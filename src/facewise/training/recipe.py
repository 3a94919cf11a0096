"""A recipe's settings, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        config = make_config(recipe_settings(text), overrides)
    BACKBONES.get(config.backbone.name)  # before anything long is begun
    LOSSES.get(config.loss.name)
    return config
