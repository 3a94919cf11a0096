"""What the tutorial tells its reader to type, and what it says will be printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"

_BLOCK = re.compile(r"(?:<!-- (?P<mark>[a-z ,]+) -->\n)?```console\n(?P<body>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        command: For bash.
        shown: The lines the page shows under it.
        slow: Whether it belongs to a block that takes long, or needs one that does.
        varies: Whether what it prints hangs on a training, which ends alike on one machine only.
        shared: Whether it needs the public checkpoints of the shared folder.
    """

    command: str
    shown: tuple[str, ...]
    slow: bool
    varies: bool
    shared: bool


def steps(text: str | None = None) -> list[Step]:
    """Every command of the page, in order."""
    found = []
    for block in _BLOCK.finditer(PAGE.read_text(encoding="utf-8") if text is None else text):
        marks = (block["mark"] or "").replace(",", " ").split()
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            kinds = ("slow" in marks, "varies" in marks, "shared" in marks)
            found.append(Step(command, tuple(shown), *kinds))
    return found


def same_but_for_numbers(line: str) -> str:
    """A line without what may differ elsewhere: numbers, times, and the room that tables give to them."""
    line = re.sub(r"[━─]+", "─", line)
    line = re.sub(r"\d[\d.,:TZe+-]*", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def framework(shown: tuple[str, ...]) -> tuple[str, ...]:
    """Of what a training's results hang on, the lines that are there whatever the results.

    Tables are not: how long a training took decides how wide a column is, and so where its heading is broken.
    """
    return tuple(
        line for line in shown if not re.match(r"[│┃┏┡└┗]|epoch|Missed|With |facewise: |- |  ", line)
    )


def first_not_printed(shown: tuple[str, ...], printed: str) -> str | None:
    """The first line of the page that the command did not print in its place; `…` stands for anything."""
    lines = iter([same_but_for_numbers(line) for line in printed.splitlines()])
    for wanted in shown:
        if wanted.strip() in {"", "…"}:
            continue
        plain = same_but_for_numbers(wanted)
        cut = plain.endswith("…")
        if not any(line.startswith(plain[:-1].rstrip()) if cut else line == plain for line in lines):
            return wanted
    return None
