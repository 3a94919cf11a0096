"""`facewise demo`: the whole story in one command, ending in a report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import Json, Threads
from facewise.cli.output import print_json, progress_bar, say, table, tell

if TYPE_CHECKING:
    from facewise.demo.blocks import Section


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Real photos: a folder per person, or LFW. (default: people drawn for it)"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for what the demo makes.")] = Path(
        "facewise-demo"
    ),
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Draw people, train on them, verify, enrol, identify, group, and write a report. Needs no data."""
    from facewise.demo.report import REPORT
    from facewise.demo.run import run

    story = run(data, out, threads=threads, teller=_Quiet() if json else _Terminal())
    report = (out / REPORT).absolute()
    if json:
        sections = [
            {"title": s.title, "model": s.model, "seconds": round(s.seconds, 3), **s.numbers}
            for s in story.sections
        ]
        print_json({"report": str(report), "folder": str(out), "sections": sections})
    else:
        say(f"\nThe report, with all pictures: {report}")


class _Quiet:
    """Tells only what went wrong; see `facewise.demo.teller.Teller`."""

    def begin(self, number: int, title: str) -> None:
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
    """Tells steps, words and tables as they come; pictures are for the report."""

    def begin(self, number: int, title: str) -> None:
        say(f"\n{number}. {title}")

    def end(self, section: Section) -> None:
        from facewise.demo.blocks import Commands, Table

        if section.model:
            say(f"   {section.model}")
        for block in section.blocks:
            if isinstance(block, str):
                say(f"   {block}")
            elif isinstance(block, Table):
                table("", block.columns, block.rows, right=block.right)
            elif isinstance(block, Commands):
                for line in block.lines:
                    say(f"     {line}")

    def training(self) -> Any:
        from facewise.training.display import Bar

        return Bar()
