"""What a face looks like, as plain data for machines and in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facewise.types import Age, Attributes, Guess

NOT_SURE = "not sure"


def attributes_dict(told: Attributes, asked: Sequence[str]) -> dict[str, Any]:
    """Plain Python for JSON: what was asked for and a note.

    Args:
        told: Of one face.
        asked: Attributes to tell; null where nothing can be said, as the note explains.
    """
    return {**{name: _plain(getattr(told, name)) for name in asked}, "note": told.note}


def _plain(one: Age | Guess | None) -> dict[str, Any] | None:
    if one is None:
        return None
    if isinstance(one, Age):
        return {"mean": round(one.mean, 1), "low": round(one.low, 1), "high": round(one.high, 1)}
    return {
        "answer": one.answer,
        "probabilities": {word: round(p, 4) for word, p in one.probabilities.items()},
    }


def in_words(one: Age | Guess | None) -> str:
    """`34 (27–42)`, `happy 91%`, `not sure (happy 41%)`; empty for nothing."""
    if one is None:
        return ""
    if isinstance(one, Age):
        return f"{one.mean:.0f} ({one.low:.0f}–{one.high:.0f})"
    best = max(one.probabilities, key=lambda word: one.probabilities[word])
    sure = f"{best} {percent(one.probabilities[best])}"
    return sure if one.answer is not None else f"{NOT_SURE} ({sure})"


def in_one_line(told: Attributes) -> str:
    """What is sure of a face, for a label: `34 (27–42), female, happy`; the note where there is one."""
    guesses = [one.answer for one in (told.gender, told.emotion, told.race) if one is not None]
    parts = [in_words(told.age), *(answer for answer in guesses if answer is not None)]
    return told.note or ", ".join(part for part in parts if part) or NOT_SURE


def percent(probability: float) -> str:
    """A calibrated probability in whole percent, never as certain."""
    return f"{min(max(round(100 * probability), 1), 99)}%"
