"""What people see of a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from facewise.filenames import escaped


class Display(Protocol):
    """Told of what happens; shows it or not."""

    def begin(self, steps: int, done: int) -> None:
        """A run of so many steps goes on after `done` of them."""
        ...

    def step(self, values: Mapping[str, float]) -> None:
        """A step is done."""
        ...

    def say(self, text: str) -> None:
        """One line: an epoch's results, where the run is saved."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Quiet:
    """Shows nothing."""

    def begin(self, steps: int, done: int) -> None:
        """See `Display`."""

    def step(self, values: Mapping[str, float]) -> None:
        """See `Display`."""

    def say(self, text: str) -> None:
        """See `Display`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Bar(Quiet):
    """A progress bar on stderr where that is a terminal, and a line an epoch in any case."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            speed_estimate_period=120,
            disable=not self.console.is_terminal,
        )

    def begin(self, steps: int, done: int) -> None:
        """See `Display`."""
        self._task = self._progress.add_task("", total=steps, completed=done, values="")

    def step(self, values: Mapping[str, float]) -> None:
        """See `Display`."""
        self._progress.update(self._task, advance=1, values=describe(values))

    def say(self, text: str) -> None:
        """See `Display`."""
        self.console.print(escape(escaped(text)))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def describe(values: Mapping[str, float]) -> str:
    """`loss 1.234, accuracy 0.931, 85 images/s`."""
    shown = []
    for name, value in values.items():
        if name == "images/s":
            shown.append(f"{value:.0f} images/s")
        elif name == "rate":
            shown.append(f"rate {value:.2g}")
        else:
            shown.append(f"{name} {value:.4f}")
    return ", ".join(shown)
