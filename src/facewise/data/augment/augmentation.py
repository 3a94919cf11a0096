"""The settings of augmentation, checked, and how a crop is changed by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facewise.data.augment import pixels
from facewise.data.augment.warp import BORDERS, Border, Warp, warp
from facewise.errors import SettingError
from facewise.types import Image


class Draw(NamedTuple):
    """How a change is drawn: whether it happens, and how much, evenly from `low` to `high`."""

    probability: float
    low: float
    high: float


OFF = Draw(0.0, 0.0, 0.0)

LIMITS: dict[str, tuple[float, float]] = {
    "rotation": (-math.pi, math.pi),
    "shift": (-1.0, 1.0),
    "shear": (-1.2, 1.2),
    "zoom": (0.1, 10.0),
    "brightness": (0.0, 10.0),
    "contrast": (0.0, 10.0),
    "gamma": (0.1, 10.0),
    "saturation": (0.0, 10.0),
    "hue": (-math.pi, math.pi),
    "blur": (0.0, 20.0),
    "motion": (1.0, 56.0),
    "noise": (0.0, 128.0),
    "downscale": (0.02, 1.0),
    "jpeg": (1.0, 100.0),
    "erase": (0.0, 0.9),
}
"""The least and most each change may be set to."""

CHANCES = ("flip", "grey")
"""Changes that happen or do not, with no more or less to them."""

_PARTS = (*LIMITS, *CHANCES)
_NUMBERS = 4
"""Random numbers a change: whether, how much, and two more."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of a crop; nothing happens unless it is set. Call it with a crop and a random generator.

    The changes come in the order listed. All geometry is one warp. What is drawn for one change does not
    depend on whether another is set.

    Attributes:
        zoom: Factor; above 1 enlarges.
        shear: Radians.
        rotation: Radians; positive is anticlockwise.
        flip: Probability of mirroring left and right.
        shift: Fraction of the side, drawn for x and for y.
        border: What comes in from outside.
        brightness: Factor.
        contrast: Factor of the distance to the mean grey.
        gamma: Power of values in [0, 1].
        saturation: Factor; 0 is grey.
        hue: Radians about the grey axis.
        grey: Probability of taking all colour away.
        blur: Standard deviation of a Gaussian, in pixels of a crop of 112.
        motion: Length of the track, in pixels of a crop of 112; its direction is any.
        noise: Standard deviation, in grey levels.
        downscale: Fraction of the side that the crop is reduced to and enlarged from.
        jpeg: Quality, 1 to 100.
        erase: Fraction of the area that a rectangle of random pixels covers; its sides are up to 1 : 3.
    """

    zoom: Draw = OFF
    shear: Draw = OFF
    rotation: Draw = OFF
    flip: float = 0.0
    shift: Draw = OFF
    border: Border = "black"
    brightness: Draw = OFF
    contrast: Draw = OFF
    gamma: Draw = OFF
    saturation: Draw = OFF
    hue: Draw = OFF
    grey: float = 0.0
    blur: Draw = OFF
    motion: Draw = OFF
    noise: Draw = OFF
    downscale: Draw = OFF
    jpeg: Draw = OFF
    erase: Draw = OFF

    def __post_init__(self) -> None:
        """Check all settings.

        Raises:
            SettingError: One is out of range; it is named.
        """
        for name in CHANCES:
            _check_probability(name, getattr(self, name))
        for name, (least, most) in LIMITS.items():
            draw = getattr(self, name)
            if not isinstance(draw, Draw):
                raise SettingError(
                    f"augmentation {name} must be a Draw(probability, low, high), not {draw!r}."
                )
            _check_probability(name, draw.probability)
            if draw.probability > 0 and not least <= draw.low <= draw.high <= most:
                raise SettingError(
                    f"augmentation {name} must range within {least:.4g} to {most:.4g}, the lower end first, "
                    f"not from {draw.low:.4g} to {draw.high:.4g}."
                )
        if self.border not in BORDERS:
            raise SettingError(
                f"augmentation border must be one of {', '.join(BORDERS)}, not {self.border!r}."
            )

    def __call__(self, crop: Image, rng: np.random.Generator) -> Image:
        """A changed crop; the same for the same state of `rng`.

        Args:
            crop: (S, S, 3) RGB uint8; not changed.
            rng: Drawn from.

        Returns:
            (S, S, 3) RGB uint8, C-contiguous, not the crop given.

        Raises:
            SettingError: The crop is of another shape or type.
        """
        if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] != 3 or crop.dtype != np.uint8:
            raise SettingError(f"A crop is (S, S, 3) uint8, not {crop.shape} {crop.dtype}.")
        drawn = _Drawn(self, rng)
        changed = warp(crop, _warp_of(drawn), self.border)
        changed = _coloured(changed, drawn)
        changed = _worsened(changed, drawn, rng)
        return crop.copy() if changed is crop else np.ascontiguousarray(changed)


class _Drawn:
    """The random numbers of one crop: all drawn at once, as a call costs more than a number."""

    __slots__ = ("_numbers", "_settings")

    def __init__(self, settings: Augmentation, rng: np.random.Generator) -> None:
        rows = rng.random((len(_PARTS), _NUMBERS)).tolist()
        self._settings, self._numbers = settings, dict(zip(_PARTS, rows, strict=True))

    def happens(self, name: str) -> bool:
        return bool(self._numbers[name][0] < getattr(self._settings, name))

    def amount(self, name: str, *, other: bool = False) -> float | None:
        """How much, or another time how much; None if it does not happen."""
        probability, low, high = getattr(self._settings, name)
        numbers = self._numbers[name]
        return None if numbers[0] >= probability else low + (high - low) * numbers[2 if other else 1]

    def amount_or(self, name: str, neutral: float, *, other: bool = False) -> float:
        amount = self.amount(name, other=other)
        return neutral if amount is None else amount

    def more(self, name: str) -> tuple[float, float]:
        """Two more numbers from 0 to 1."""
        return self._numbers[name][2], self._numbers[name][3]


def _warp_of(drawn: _Drawn) -> Warp:
    return Warp(
        zoom=drawn.amount_or("zoom", 1.0),
        shear=drawn.amount_or("shear", 0.0),
        rotation=drawn.amount_or("rotation", 0.0),
        flip=drawn.happens("flip"),
        shift_x=drawn.amount_or("shift", 0.0),
        shift_y=drawn.amount_or("shift", 0.0, other=True),
    )


def _coloured(crop: Image, drawn: _Drawn) -> Image:
    levels = [drawn.amount_or(name, 1.0) for name in ("brightness", "contrast", "gamma")]
    if levels != [1.0, 1.0, 1.0]:
        crop = pixels.tone(crop, *levels)
    saturation = 0.0 if drawn.happens("grey") else drawn.amount_or("saturation", 1.0)
    hue = drawn.amount_or("hue", 0.0)
    return crop if (saturation, hue) == (1.0, 0.0) else pixels.colour(crop, saturation, hue)


def _worsened(crop: Image, drawn: _Drawn, rng: np.random.Generator) -> Image:
    """In the order in which a lens, a sensor and a file worsen a photo; what is erased stays clean."""
    if (sigma := drawn.amount("blur")) is not None:
        crop = pixels.blur(crop, sigma)
    if (length := drawn.amount("motion")) is not None:
        crop = pixels.motion(crop, length, math.pi * drawn.more("motion")[0])
    if (deviation := drawn.amount("noise")) is not None:
        crop = pixels.noise(crop, deviation, rng)
    if (factor := drawn.amount("downscale")) is not None:
        crop = pixels.downscale(crop, factor)
    if (quality := drawn.amount("jpeg")) is not None:
        crop = pixels.jpeg(crop, quality)
    if (area := drawn.amount("erase")) is not None:
        place = drawn.more("erase")
        # Evenly between a third and three in the logarithm, as upright as lying.
        crop = pixels.erase(crop, area, 3.0 ** rng.uniform(-1.0, 1.0), place, rng)
    return crop


def _check_probability(name: str, probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        raise SettingError(f"The probability of augmentation {name} must be from 0 to 1, not {probability}.")
