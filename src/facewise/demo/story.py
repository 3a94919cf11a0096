"""A demo while it goes on: its steps, each timed and told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from facewise.demo.blocks import Section
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller


@dataclass(slots=True)
class Story:
    """A demo while it goes on.

    Attributes:
        plan: How much is done.
        out: Its folder.
        threads: CPU threads.
        teller: Told of everything.
        sections: Steps done.
    """

    plan: Plan
    out: Path
    threads: int
    teller: Teller
    sections: list[Section] = field(default_factory=list)

    def step(self, title: str, work: Callable[[], Section]) -> Section:
        """Do a step, time it and tell it."""
        self.teller.begin(len(self.sections) + 1, title)
        began = time.monotonic()
        section = work()
        section.title = title
        section.seconds = time.monotonic() - began
        self.sections.append(section)
        self.teller.end(section)
        return section

    def skip(self, title: str, why: str) -> Section:
        """Tell why a step is left out."""
        self.teller.begin(len(self.sections) + 1, title)
        section = Section(blocks=[why], numbers={"left_out": why}, title=title, short=why)
        self.sections.append(section)
        self.teller.end(section)
        return section
