"""What the outputs of a model of attributes say: words, temperatures, limits below which it is not sure.

Temperatures are those of Guo et al. 2017, "On Calibration of Modern Neural Networks" (1706.04599), section
4.2; the age's interval is of conformal factors on its spread by band of the age told (Romano et al. 2020,
"With Malice Toward None", 1908.05428).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.types import FloatArray

GENDERS = ("female", "male")
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
RACES = ("white", "black", "asian", "indian", "other")
WORDS: Mapping[str, tuple[str, ...]] = {"gender": GENDERS, "emotion": EMOTIONS, "race": RACES}
"""Attribute → the words it is told in, in the order of a network's outputs."""

ATTRIBUTES = ("age", *WORDS)

MOST_YEARS = 100
"""The last year a network tells apart: 0, 1, …, 100 years are 101 outputs."""


@dataclass(frozen=True, slots=True)
class AgeRule:
    """How a distribution over years becomes an age and its interval of 90%.

    Attributes:
        bands: Years of the mean from which each band begins, rising from 0.
        low, high: For each band, how many standard deviations of the distribution the interval reaches below
            and above the mean; negative ones do not reach the mean.
    """

    bands: tuple[float, ...] = (0.0,)
    low: tuple[float, ...] = (1.645,)
    high: tuple[float, ...] = (1.645,)

    def of(self, probabilities: FloatArray) -> NDArray[np.float64]:
        """(N, 3) mean, low and high in years of (N, 101) probabilities of years; low ≤ mean ≤ high."""
        years = np.arange(probabilities.shape[1], dtype=np.float64)
        mean = probabilities @ years
        spread = np.sqrt(np.maximum(probabilities @ years**2 - mean**2, 0.0))
        band = np.searchsorted(self.bands, mean, side="right") - 1
        low = np.minimum(mean - np.asarray(self.low)[band] * spread, mean)
        high = np.maximum(mean + np.asarray(self.high)[band] * spread, mean)
        return np.stack([mean, np.maximum(low, 0.0), high], axis=1)


@dataclass(frozen=True, slots=True)
class WordRule:
    """How an output becomes probabilities of words.

    Attributes:
        words: In the order of the output.
        temperature: The output is divided by it before the softmax.
        least: Probability of the most probable word below which the answer is not sure.
    """

    words: tuple[str, ...]
    temperature: float = 1.0
    least: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class AttributeRule:
    """What a network's outputs are.

    Attributes:
        outputs: Attribute of each output, in the network's order.
        words: Of each output but age.
        age: Of the output age, or None.
        flip: Whether answers are the mean of a crop's and its mirror image's.
        measured: What was measured, with data and intervals, for people and machines: plain JSON.
    """

    outputs: tuple[str, ...]
    words: Mapping[str, WordRule]
    age: AgeRule | None = None
    flip: bool = False
    measured: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form kept in model files."""
        age = self.age
        return {
            "outputs": list(self.outputs),
            "words": {
                name: {"words": list(rule.words), "temperature": rule.temperature, "least": rule.least}
                for name, rule in self.words.items()
            },
            "age": None
            if age is None
            else {"bands": list(age.bands), "low": list(age.low), "high": list(age.high)},
            "flip": self.flip,
            "measured": dict(self.measured),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AttributeRule:
        """Read the JSON form.

        Raises:
            ModelError: A field is missing or not what it must be.
        """
        try:
            age = data["age"]
            rule = cls(
                outputs=tuple(str(name) for name in data["outputs"]),
                words={
                    str(name): WordRule(
                        tuple(str(word) for word in one["words"]),
                        float(one["temperature"]),
                        float(one["least"]),
                    )
                    for name, one in data["words"].items()
                },
                age=None
                if age is None
                else AgeRule(*(tuple(float(v) for v in age[key]) for key in ("bands", "low", "high"))),
                flip=bool(data["flip"]),
                measured=dict(data.get("measured") or {}),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(f"The model file's attributes are incomplete or malformed ({error}).") from error
        if not rule._makes_sense():
            raise ModelError("The model file's attributes hold a value that makes no sense.")
        return rule

    def _makes_sense(self) -> bool:
        named = {*self.words, *(("age",) if self.age else ())}
        age = self.age
        return (
            bool(self.outputs)
            and set(self.outputs) == named
            and len(set(self.outputs)) == len(self.outputs)
            and all(
                set(rule.words) <= set(WORDS.get(name, ()))
                and len(set(rule.words)) == len(rule.words) > 1
                and np.isfinite(rule.temperature)
                and rule.temperature > 0
                and 0 <= rule.least <= 1
                for name, rule in self.words.items()
            )
            and (
                age is None
                or (
                    len(age.bands) == len(age.low) == len(age.high) > 0
                    and age.bands[0] == 0
                    and all(a < b for a, b in pairwise(age.bands))
                    and bool(np.isfinite([*age.bands, *age.low, *age.high]).all())
                )
            )
        )
