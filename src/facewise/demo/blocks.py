"""What a step has to tell: words, tables and pictures, for the terminal and the report alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from facewise.drawing import AMBER, BLUE, GREEN, RED
from facewise.types import Image

COLOURS = {GREEN: "right", RED: "wrong", AMBER: "missed", BLUE: "plain"}
"""Colour of a frame → what it means, and what the report calls it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers.

    Attributes:
        columns: Headings.
        rows: Cells.
        right: Indices of columns set flush right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One large picture.

    Attributes:
        data: A PNG or JPEG file.
        alt: What it shows, for who cannot see it.
        caption: Under it.
        path: Where it lies as a file, for a terminal; None where it is in the report alone.
    """

    data: bytes
    alt: str
    caption: str
    path: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One small picture of a person.

    Attributes:
        image: (S, S, 3) RGB.
        caption: Up to two lines under it.
        alt: What it shows, for who cannot see it.
        colour: Of its frame, a key of `COLOURS`.
    """

    image: Image
    caption: str
    alt: str
    colour: tuple[int, int, int] = BLUE


@dataclass(frozen=True, slots=True)
class Faces:
    """A contact sheet: groups of small pictures, each under a heading."""

    groups: Sequence[tuple[str, Sequence[Face]]]


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines to type."""

    lines: Sequence[str]


Block: TypeAlias = "str | Table | Picture | Faces | Commands"
"""A plain text is a paragraph."""


@dataclass(slots=True)
class Section:
    """What a step did.

    Attributes:
        model: Which model did it, and why that one; empty where none did.
        blocks: What there is to say and show.
        numbers: The same for machines: JSON.
        short: What it came to in one sentence, for the top of the report; may be empty.
        title: A few words; whoever puts the steps in order sets it.
        seconds: It took; likewise.
    """

    model: str = ""
    blocks: list[Block] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    short: str = ""
    title: str = ""
    seconds: float = 0.0


def percent(part: int, whole: int) -> str:
    """`12 of 16 (75%)`; all but one of many is not called all of them."""
    if not whole:
        return f"{part} of {whole}"
    share = part / whole
    digits = 1 if 0 < share < 0.01 or 0.99 < share < 1 else 0
    return f"{part} of {whole} ({min(share, 1.0 if part == whole else 0.999):.{digits}%})"
