"""Recipes: one published or reproduced experiment a YAML file, its measured result in its header."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from facewise.errors import SettingError, nearest_known


def recipe_names() -> tuple[str, ...]:
    """All recipes, sorted."""
    return tuple(
        sorted(
            f.name.removesuffix(".yaml")
            for f in resources.files(__name__).iterdir()
            if f.name.endswith(".yaml")
        )
    )


def recipe_text(name: str) -> str:
    """The YAML of a recipe, header and all.

    Raises:
        SettingError: There is none of this name; the nearest is told.
    """
    names = recipe_names()
    if name not in names:
        raise SettingError(f"There is no recipe {name!r}{nearest_known(name, names)}")
    return (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")


def recipe_settings(name: str) -> dict[str, Any]:
    """The settings of a recipe.

    Raises:
        SettingError: There is none of this name.
    """
    settings: dict[str, Any] = yaml.safe_load(recipe_text(name))
    return settings
