"""`facewise demo`: the whole story in one command, ending in a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from facewise.cli.options import Json, Threads, given_path, reads_photos
from facewise.cli.output import print_json, progress_bar, say, table, tell
from facewise.filenames import escaped

if TYPE_CHECKING:
    from facewise.demo.blocks import Section

_SAID_EVERY = 10.0
"""Seconds between lines on what is left, where there is no terminal to show it on."""


@reads_photos
def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Real photos: a folder per person, or LFW. (default: people drawn for it)",
            parser=given_path,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for what the demo makes.", parser=given_path)
    ] = Path("facewise-demo"),
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=30, max=86_400, help="About how long it may take; sizes follow from it."
        ),
    ] = 120,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Draw people, train on them, verify, enrol, identify, group, and write a report. Needs no data."""
    from facewise.demo.report import REPORT, own_photos
    from facewise.demo.run import run

    story = run(data, out, seconds=seconds, threads=threads, teller=_Quiet() if json else _Terminal())
    report = (out / REPORT).absolute()
    if json:
        sections = [
            {"title": s.title, "model": s.model, "seconds": round(s.seconds, 3), **s.numbers}
            for s in story.sections
        ]
        print_json({"report": str(report), "folder": str(out), "sections": sections})
        return
    say(f"\nThe report, with all pictures: {report}")
    commands = own_photos()
    if commands is not None:
        say("\nNow with your own photos:")
        for line in commands.lines:
            say(f"  {line}")


class _Quiet:
    """Tells only what went wrong; see `facewise.demo.teller.Teller`."""

    def begin(self, number: int, title: str, left: Callable[[], float | None]) -> None:
        pass

    def note(self, text: str) -> None:
        tell(text)

    def bar(self, label: str, total: int) -> AbstractContextManager[Callable[..., None]]:
        return progress_bar(f"  {label}", total)

    def end(self, section: Section) -> None:
        pass

    def training(self) -> Any:
        from facewise.training.display import Quiet

        return Quiet()


class _Terminal(_Quiet):
    """Tells steps, words and tables as they come, and what is left meanwhile; pictures are for the report."""

    def __init__(self) -> None:
        self._countdown: _Countdown | None = None
        self._said = set[str]()

    def begin(self, number: int, title: str, left: Callable[[], float | None]) -> None:
        seconds = left()
        say(f"\n{number}. {title}" + ("" if seconds is None else f" ({_spoken(seconds)})"))
        self._countdown = _Countdown(left)

    def note(self, text: str) -> None:
        if self._countdown is None:
            tell(text)
        else:
            self._countdown.say(text)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[..., None]]:
        if self._countdown is None:
            yield lambda *_: None
        else:
            self._countdown.count(label, total)
            yield self._countdown.advance

    def end(self, section: Section) -> None:
        from facewise.demo.blocks import Commands, Picture, Table

        if self._countdown is not None:
            self._countdown.stop()
            self._countdown = None
        if section.model:
            say(f"   {section.model}")
        for block in section.blocks:
            if isinstance(block, str):
                say(f"   {block}")
            elif isinstance(block, Table):
                table("", block.columns, block.rows, right=block.right)
            elif isinstance(block, Picture) and block.path is not None:
                say(f"   Look at it: {block.path.absolute()}")
            elif isinstance(block, Commands):
                for line in block.lines:
                    say(f"     {line}")

    def training(self) -> Any:
        return super().training() if self._countdown is None else _Training(self._countdown, self._said)


class _Countdown:
    """One line on stderr that says, while a step goes on, what is done of it and what is left of all.

    Where stderr is no terminal it is a line of its own from time to time.
    """

    def __init__(self, left: Callable[[], float | None]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text

        class Left(ProgressColumn):
            def render(self, task: Task) -> Text:  # noqa: ARG002  of all of the demo, not of one task
                seconds = left()
                return Text("" if seconds is None else _spoken(seconds))

        self._left, self._told = left, time.monotonic()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._line = Progress(
            TextColumn("   {task.description}"),
            BarColumn(bar_width=30),
            Left(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._line.add_task("", total=None)
        self._label, self._done, self._total = "", 0, 0
        self._line.start()

    def count(self, label: str, total: int) -> None:
        """Something countable begins."""
        self._label, self._done, self._total = label, 0, total
        self._line.update(self._task, description=label, total=total, completed=0)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        self._line.update(self._task, advance=count)
        if not self._console.is_terminal and time.monotonic() - self._told >= _SAID_EVERY:
            seconds = self._left()
            left = "" if seconds is None else f"; {_spoken(seconds)}"
            self.say(f"   {self._label}: {self._done} of {self._total}{left}")

    def say(self, text: str) -> None:
        """A line above it."""
        self._told = time.monotonic()
        self._console.print(escaped(text), markup=False)

    def stop(self) -> None:
        """Takes it away."""
        self._line.stop()


class _Training:
    """Shows a training in the countdown's line; see `facewise.training.display.Display`.

    Both trainings say the same of the same photos: `said` is what has been said already.
    """

    def __init__(self, countdown: _Countdown, said: set[str]) -> None:
        self._countdown, self._said = countdown, said

    def begin(self, steps: int, done: int) -> None:
        self._countdown.count("Training", steps)
        self._countdown.advance(done)

    def step(self, values: Mapping[str, float]) -> None:  # noqa: ARG002  epochs are told
        self._countdown.advance()

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._countdown.say(f"   {text}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _spoken(seconds: float) -> str:
    return f"about {seconds:.0f} s left" if seconds >= 1 else "nearly done"
