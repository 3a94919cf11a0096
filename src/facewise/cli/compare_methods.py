"""`facewise compare --methods`: ways to put names to faces, by how many photos of a person there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from facewise.cli import STOPPED
from facewise.cli.options import load_pipeline
from facewise.cli.output import print_json, say, stderr_console, table, tell

if TYPE_CHECKING:
    from rich.progress import Progress

    from facewise.methods.result import MethodsComparison


def compare_by_method(
    data: Path,
    methods: Sequence[str],
    *,
    start: str | None,
    shots: Sequence[str],
    seeds: Sequence[int],
    recipe: str | None,
    settings: Mapping[str, Any],
    per_method: Mapping[str, Mapping[str, Any]],
    out: Path | None,
    detector: str | None,
    max_size: int | None,
    threads: int | None,
    device: str,
    json: bool,
) -> None:
    """Run it and print what it found; ends with code 3 if anything failed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from facewise.methods.compare import compare_methods, failed_sentence
    from facewise.training.engine import StoppedError

    console = stderr_console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
    ) as bar:
        try:
            found = compare_methods(
                data,
                methods,
                start=start,
                shots=shots,
                seeds=seeds,
                recipe=recipe,
                settings=settings,
                per_method=per_method,
                out=out,
                pipeline=lambda: load_pipeline(
                    detector=detector, max_size=max_size, embed=False, threads=threads
                ),
                device=device,
                threads=threads,
                say=(lambda _: None) if json else tell,
                progress=_shown_on(bar),
            )
        except StoppedError as stopped:
            tell(str(stopped))
            raise typer.Exit(STOPPED) from None
    if json:
        print_json(found.to_dict())
    else:
        _print(found)
    for failure in found.failures:
        tell(f"facewise: {failed_sentence(failure)}")
    if found.failures:
        raise typer.Exit(3)


def _shown_on(bar: Progress) -> Callable[[str, int, int], None]:
    task = bar.add_task("", total=None)

    def show(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)

    return show


def _print(found: MethodsComparison) -> None:
    from facewise.methods.result import COSTS

    say(found.about)
    heads, rows = found.accuracy_rows()
    table("Accuracy (95% interval) by photos a person", heads, rows, right=tuple(range(1, len(heads))))
    heads, rows = found.cost_rows()
    table("Cost", heads, rows, right=tuple(range(1, len(heads))))
    say(COSTS)
    for verdict in found.verdicts.values():
        say(verdict)
    for note in found.notes:
        say(f"Note: {note}")
    say(f"All of it is in {found.folder}: methods.md, methods.json, shots.png, confusion-….png.")
