"""A model of attributes that reads drawn faces by rules anybody can check, and what it must say of each.

Of the four quarters of a drawn face the colour of the upper left one is the emotion, that of the upper right
one the gender, that of the lower left one the age and that of the lower right one the race.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from facewise.models import ModelCard, ModelFile, write_model
from facewise.models.attributes import ATTRIBUTES, MOST_YEARS, WORDS, AgeRule, AttributeRule, WordRule
from facewise.models.export import export_onnx
from facewise.preprocess import Preprocess
from tiny_models import COLOURS, person

EMOTIONS = dict(zip(COLOURS, ("angry", "disgust", "sad", "happy", "surprise", "fear"), strict=True))
RACES = dict(zip(COLOURS, ("white", "black", "asian", "indian", "other", "other"), strict=True))
YEARS = (10.0, 40.0, 20.0, 5.0)
"""Of an age: without any colour, and what red, green and blue add."""

SPREAD = 4.0
"""Standard deviation of the told distribution of ages, in years."""


def emotion(number: int) -> str:
    return EMOTIONS[person(number)[0]]


def gender(number: int) -> str:
    return "female" if person(number)[1][0] else "male"


def age(number: int) -> float:
    return YEARS[0] + sum(c / 255 * y for c, y in zip(person(number)[2], YEARS[1:], strict=True))


def race(number: int) -> str:
    return RACES[person(number)[3]]


def somebody(**wanted: object) -> int:
    """The first drawn person of whom this is said, such as `emotion="happy", gender="male"`.

    One with detail across: of others it is said that they are blurred.
    """
    rules = {"emotion": emotion, "gender": gender, "age": age, "race": race}
    return next(
        n for n in range(1296)
        if abs(_across(n)) > 130 and all(rules[name](n) == value for name, value in wanted.items())
    )  # fmt: skip


def blurred() -> int:
    """A drawn person without detail across."""
    return next(n for n in range(1296) if not _across(n) and len(set(person(n))) > 1)


def _across(number: int) -> int:
    """By how many grey levels the quarters on one diagonal are brighter than those on the other."""
    a, b, c, d = (round(0.299 * red + 0.587 * green + 0.114 * blue) for red, green, blue in person(number))
    return a + d - b - c


class PlainAttributes(nn.Module):
    """(N, 3, 112, 112) in [0, 1] → (N, 101), (N, 2), (N, 7), (N, 5)."""

    def __init__(self, sure: float) -> None:
        super().__init__()
        self.sure = sure
        nowhere = (-9.0, -9.0, -9.0)
        for name, places in (
            (
                "emotion",
                [next((c for c, w in EMOTIONS.items() if w == word), None) for word in WORDS["emotion"]],
            ),
            ("race", [next(c for c, w in RACES.items() if w == word) for word in WORDS["race"]]),
        ):
            rows = [nowhere if place is None else tuple(v / 255 for v in place) for place in places]
            self.register_buffer(name, torch.tensor(rows)[None])
        self.register_buffer("magenta", torch.tensor(COLOURS[5]) / 255)
        self.register_buffer("years", torch.arange(MOST_YEARS + 1.0))
        self.register_buffer("worth", torch.tensor(YEARS[1:]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        upper_left, upper_right, lower_left, lower_right = (
            x[:, :, row : row + 12, column : column + 12].mean(dim=(2, 3))
            for row in (32, 68)
            for column in (32, 68)
        )
        years = YEARS[0] + (lower_left * self.worth).sum(dim=1, keepdim=True)
        ages = -((self.years - years) ** 2) / (2 * SPREAD**2)
        red = self.sure * (2 * upper_right[:, :1] - 1)
        races = self._near(lower_right, self.race)
        magenta = -self.sure * ((lower_right - self.magenta) ** 2).sum(dim=1, keepdim=True)
        other = torch.maximum(races[:, 4:], magenta)
        return (
            ages,
            torch.cat([red, -red], 1),
            self._near(upper_left, self.emotion),
            torch.cat([races[:, :4], other], 1),
        )

    def _near(self, colour: Tensor, places: Tensor) -> Tensor:
        return -self.sure * ((colour[:, None] - places) ** 2).sum(dim=2)


def write_plain_attributes(
    path: Path, *, sure: float = 6.0, least: float = 0.6, only: tuple[str, ...] = ATTRIBUTES
) -> ModelFile:
    """The model file.

    Args:
        path: Where to.
        sure: How far apart its outputs are.
        least: Probability from which an answer is sure.
        only: The attributes that it tells.
    """

    class Some(PlainAttributes):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(v for name, v in zip(ATTRIBUTES, super().forward(x), strict=True) if name in only)

    rule = AttributeRule(
        only,
        {name: WordRule(words, 1.0, least) for name, words in WORDS.items() if name in only},
        AgeRule() if "age" in only else None,
    )
    onnx = export_onnx(Some(sure), torch.zeros(2, 3, 112, 112), dynamic={0: "batch"}, outputs=only)
    preprocess = Preprocess(112, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "RGB", "5-point")
    card = ModelCard("attributes", path.stem, "1", "MIT", "drawn in tests", preprocess, attributes=rule)
    return write_model(path, onnx, card)


def reach() -> float:
    """How far the told interval of an age reaches to each side, in years."""
    return 1.645 * math.sqrt(SPREAD**2)
