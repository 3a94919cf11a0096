"""What the methods and the numbers of photos are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from facewise.errors import SettingError, nearest_known

Kind = Literal["template", "classifier", "finetune", "scratch"]

METHODS: dict[str, str] = {
    "one-shot": "the mean of a person's embeddings, nearest by cosine, as in a gallery; nothing is fitted",
    "knn": "the nearest of the people's embeddings",
    "svc": "a support vector classifier on the embeddings",
    "lda": "linear discriminant analysis of the embeddings",
    "logistic": "logistic regression on the embeddings",
    "finetune": "the model's own weights, trained on",
    "scratch": "a network like the model's, trained from random weights",
}
"""Every method and what it does; `scratch-10x` is scratch with ten times the epochs, any number likewise."""

DEFAULT = ("one-shot", "knn", "svc", "finetune", "scratch")
SHOTS = ("1", "2", "5", "10", "20", "full")
FULL = "full"
"""Stands for a number of photos: all that a person has to learn from."""

_TEMPLATE, _CLASSIFIERS = "one-shot", ("knn", "svc", "lda", "logistic")
_LONGER = re.compile(r"scratch-([1-9]\d{0,3})x")


@dataclass(frozen=True, slots=True)
class Method:
    """One of what is compared.

    Attributes:
        name: One of `METHODS`, or `scratch-10x` and the like.
        settings: What it alone is given.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """How it works, which says what runs it."""
        if self.name == _TEMPLATE:
            return "template"
        if self.name in _CLASSIFIERS:
            return "classifier"
        return "finetune" if self.name == "finetune" else "scratch"

    @property
    def trains(self) -> bool:
        """Whether it trains a network; the others only use one."""
        return self.kind in ("finetune", "scratch")

    @property
    def factor(self) -> int:
        """How many times the epochs of its recipe it is given."""
        longer = _LONGER.fullmatch(self.name)
        return 1 if longer is None else int(longer[1])


def methods_of(names: Sequence[str], own: Mapping[str, Mapping[str, Any]]) -> list[Method]:
    """The methods named.

    Args:
        names: Of `METHODS`.
        own: Settings of single methods.

    Raises:
        SettingError: A name is unknown, or there are settings for a method that is not compared.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in METHODS and not _LONGER.fullmatch(name):
            raise SettingError(f"There is no method {name!r}{nearest_known(name, METHODS)}")
    if not names:
        raise SettingError(f"Name a method, or several to compare: {', '.join(METHODS)}.")
    for name in own:
        if name not in names:
            raise SettingError(
                f"There are settings for {name}, which is not compared; there are {', '.join(names)}."
            )
    return [Method(name, dict(own.get(name, {}))) for name in names]


def shots_of(texts: Sequence[str]) -> list[str]:
    """Numbers of photos a person, the smallest first, `full` last.

    Raises:
        SettingError: One is no whole number above 0 and not `full`.
    """
    for text in texts:
        if text != FULL and not (text.isascii() and text.isdecimal() and int(text) > 0):
            raise SettingError(
                f"Shots are photos a person to learn from, 1 or more, or full for all, such as 1,2,5,full; "
                f"not {text!r}."
            )
    if not texts:
        raise SettingError("Name at least one number of photos a person, such as 5, or full for all.")
    numbers = sorted({int(text) for text in texts if text != FULL})
    return [*map(str, numbers), *([FULL] if FULL in texts else [])]


def photos_a_person(shots: str) -> str:
    """`5 photos a person`, for sentences."""
    if shots == FULL:
        return "all photos"
    return f"{shots} photo{'' if shots == '1' else 's'} a person"
