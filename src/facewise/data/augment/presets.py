"""Augmentations by name, and changes to them as a recipe or command line gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from facewise.data.augment.augmentation import CHANCES, LIMITS, Augmentation, Draw
from facewise.errors import SettingError, nearest_known

Setting: TypeAlias = float | Sequence[float] | str
"""A number, `[probability, low, high]`, or the name of a border."""

PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(),
    # All that the public ArcFace models were trained with (Deng et al. 2019).
    "flip": Augmentation(flip=0.5),
    # What a detector's landmarks and the light of the day do.
    "light": Augmentation(
        zoom=Draw(0.5, 0.95, 1.05),
        rotation=Draw(0.5, -0.09, 0.09),
        flip=0.5,
        shift=Draw(0.5, -0.03, 0.03),
        brightness=Draw(0.3, 0.8, 1.2),
        contrast=Draw(0.3, 0.8, 1.2),
        saturation=Draw(0.3, 0.8, 1.2),
    ),
    # And now and then a bad camera or a small file: each a fifth of the time or less, as in Kim et al. 2022,
    # "AdaFace", section 4.1, so that most crops stay as clean as those of the benchmarks.
    "medium": Augmentation(
        zoom=Draw(0.5, 0.9, 1.1),
        shear=Draw(0.2, -0.05, 0.05),
        rotation=Draw(0.5, -0.17, 0.17),
        flip=0.5,
        shift=Draw(0.5, -0.05, 0.05),
        brightness=Draw(0.4, 0.7, 1.3),
        contrast=Draw(0.4, 0.7, 1.3),
        gamma=Draw(0.2, 0.75, 1.33),
        saturation=Draw(0.3, 0.6, 1.4),
        hue=Draw(0.2, -0.1, 0.1),
        grey=0.05,
        blur=Draw(0.1, 0.3, 1.5),
        noise=Draw(0.05, 2.0, 8.0),
        downscale=Draw(0.15, 0.3, 0.8),
        jpeg=Draw(0.15, 30.0, 90.0),
        erase=Draw(0.1, 0.02, 0.12),
    ),
    # For few photos or bad cameras.
    "strong": Augmentation(
        zoom=Draw(0.7, 0.85, 1.15),
        shear=Draw(0.4, -0.12, 0.12),
        rotation=Draw(0.7, -0.3, 0.3),
        flip=0.5,
        shift=Draw(0.7, -0.08, 0.08),
        brightness=Draw(0.5, 0.6, 1.5),
        contrast=Draw(0.5, 0.6, 1.5),
        gamma=Draw(0.3, 0.6, 1.67),
        saturation=Draw(0.4, 0.3, 1.5),
        hue=Draw(0.2, -0.12, 0.12),
        grey=0.1,
        blur=Draw(0.15, 0.3, 1.8),
        motion=Draw(0.1, 3.0, 7.0),
        noise=Draw(0.15, 3.0, 12.0),
        downscale=Draw(0.2, 0.25, 0.8),
        jpeg=Draw(0.25, 15.0, 90.0),
        erase=Draw(0.2, 0.02, 0.18),
    ),
    # The same five changes as "published" below, as far as crops of one face differ: a detector's landmarks
    # are off by a few hundredths of the crop, and shear stands for a head that turns.
    "aligned": Augmentation(
        zoom=Draw(1.0, 0.92, 1.08),
        shear=Draw(1.0, -0.08, 0.08),
        rotation=Draw(1.0, -math.radians(8), math.radians(8)),
        flip=0.5,
        shift=Draw(1.0, -0.04, 0.04),
        border="replicate",
    ),
    # The geometry that tutorials on face recognition give Keras' ImageDataGenerator: 20 degrees and 0.2 of
    # everything else, at all times. It was made for crops that are not aligned: a model of aligned crops
    # knows only a quarter of such faces again, against nine tenths with "strong" (`benchmarks/data.py`).
    "published": Augmentation(
        zoom=Draw(1.0, 0.8, 1.2),
        shear=Draw(1.0, -0.2, 0.2),
        rotation=Draw(1.0, -math.radians(20), math.radians(20)),
        flip=0.5,
        shift=Draw(1.0, -0.2, 0.2),
        border="replicate",
    ),
}

_ABOUT_ZERO = ("rotation", "shift", "shear", "hue")
_ABOUT_ONE = ("zoom", "brightness", "contrast", "gamma", "saturation")


def augmentation(preset: str = "none", **changes: Setting) -> Augmentation:
    """A preset with some settings changed.

    Args:
        preset: One of `PRESETS`.
        changes: Settings of `Augmentation`. `[probability, low, high]`, or a number: the probability of flip
            and grey; for zoom and tone what is always drawn up to so much from 1, for rotation, shift, shear
            and hue from 0; 0 switches any setting off.

    Raises:
        SettingError: A name is unknown or a value out of range.

    >>> augmentation("flip", rotation=0.1, jpeg=[0.2, 40, 90]).rotation
    Draw(probability=1.0, low=-0.1, high=0.1)
    """
    if preset not in PRESETS:
        raise SettingError(f"There is no augmentation {preset!r}; there are {', '.join(PRESETS)}.")
    parsed: dict[str, Any] = {name: _parse(name, value) for name, value in changes.items()}
    return replace(PRESETS[preset], **parsed)


def _parse(name: str, value: Setting) -> Setting | Draw:
    if name == "border":
        return value
    if name not in LIMITS and name not in CHANCES:
        hint = nearest_known(name, (*LIMITS, *CHANCES, "border"))
        raise SettingError(f"There is no setting {name!r} of augmentation{hint}")
    if isinstance(value, int | float):
        return _from_number(name, float(value))
    try:
        if name in CHANCES or isinstance(value, str):
            raise TypeError  # noqa: TRY301  one sentence for all that is wrong
        return Draw(*(float(number) for number in value))
    except (TypeError, ValueError) as error:
        wanted = "a probability" if name in CHANCES else "[probability, low, high]"
        raise SettingError(f"augmentation {name} must be {wanted}, not {value!r}.") from error


def _from_number(name: str, value: float) -> float | Draw:
    if name in CHANCES:
        return value
    if value == 0:
        return Draw(0.0, 0.0, 0.0)
    if name in _ABOUT_ZERO:
        return Draw(1.0, -value, value)
    if name in _ABOUT_ONE:
        return Draw(1.0, 1 - value, 1 + value)
    raise SettingError(f"augmentation {name} must be [probability, low, high], not the one number {value:g}.")
