"""A demo while it goes on: its steps, each timed and told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from facewise.demo.blocks import Section
from facewise.demo.clock import Clock
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
        clock: Says what is left.
        sections: Steps done.
    """

    plan: Plan
    out: Path
    threads: int
    teller: Teller
    clock: Clock = field(default_factory=lambda: Clock(None))
    sections: list[Section] = field(default_factory=list)

    def step(self, title: str, work: Callable[[], Section], name: str = "") -> Section:
        """Do a step, time it and tell it.

        Args:
            title: A few words.
            work: Does it.
            name: Its name in the clock's forecast.
        """
        self.clock.start(name)
        self.teller.begin(len(self.sections) + 1, title, self.clock.left)
        began = time.monotonic()
        section = work()
        section.title = title
        section.seconds = time.monotonic() - began
        self.sections.append(section)
        self.teller.end(section)
        return section

    def skip(self, title: str, why: str) -> Section:
        """Tell why a step is left out."""
        self.teller.begin(len(self.sections) + 1, title, lambda: None)
        section = Section(blocks=[why], numbers={"left_out": why}, title=title, short=why)
        self.sections.append(section)
        self.teller.end(section)
        return section
