"""Kinds of public checkpoints, one source a file, and which one a checkpoint is of."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from facewise.errors import ModelError, SettingError, nearest_known
from facewise.models.checkpoint import fits, is_counter
from facewise.models.families import (
    adaface,
    evolve,
    facenet,
    imagenet,
    insightface,
    minifasnet,
    mobilefacenets,
    retinaface,
    vggface,
    vggface2,
)
from facewise.models.families.base import Family, shapes_of

__all__ = ["FAMILIES", "Family", "family_named", "recognise"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for module in (
        retinaface,
        mobilefacenets,
        facenet,
        insightface,
        adaface,
        evolve,
        vggface2,
        vggface,
        imagenet,
        minifasnet,
    )
    for family in module.FAMILIES
}
"""Checkpoints that can be imported, by the name their model files get."""

_RESEMBLES = 0.5
"""Share of keys and shapes from which a checkpoint counts as one of a family, whole or damaged."""


def family_named(name: str) -> Family:
    """A family by its name.

    Raises:
        SettingError: There is none; the nearest is told.
    """
    if name not in FAMILIES:
        raise SettingError(f"There is no family {name!r} of checkpoints{nearest_known(name, FAMILIES)}")
    return FAMILIES[name]


def recognise(state: Mapping[str, Tensor], named: str | None = None) -> str:
    """Name of the family whose keys and shapes the checkpoint has the most of.

    Args:
        state: The checkpoint, as `load_state` gives it.
        named: The family the user says it is of; None asks the checkpoint alone.

    Raises:
        ModelError: It resembles no known family, or several that want different pixels.
        SettingError: No family is called `named`.
    """
    if named is not None:
        return family_named(named).name
    shares = {name: _share(family, state) for name, family in FAMILIES.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < _RESEMBLES:
        raise ModelError(
            "The checkpoint is of no family this Facewise can import; "
            f"it knows {', '.join(FAMILIES)} (first keys here: {', '.join(list(state)[:3])})."
        )
    twins = [name for name, share in shares.items() if share == shares[best]]
    if FAMILIES[best].asked and len(twins) > 1:
        ways = " or ".join(f"`--as {name}` ({FAMILIES[name].card.preprocess.color})" for name in twins)
        raise ModelError(
            "These keys and shapes are those of several families that want their colours in another order, "
            f"which the checkpoint does not tell: tell `facewise models import` with {ways}."
        )
    return best


def _share(family: Family, state: Mapping[str, Tensor]) -> float:
    """Keys of a shape that fits, among all keys of either."""
    wanted = {**shapes_of(family), **family.optional}
    renamed = family.rename(state)
    keys = {key for key in wanted if not is_counter(key) and (key not in family.optional or key in renamed)}
    there = {key for key in renamed if not is_counter(key)}
    good = sum(fits(renamed[key], wanted[key]) for key in keys & there)
    return good / max(len(keys | there), 1)
