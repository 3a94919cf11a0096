"""What commands print: tables and JSON to stdout, progress and complaints to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import typer

from facewise.errors import DamagedPhotoError, FacewiseError
from facewise.filenames import escaped

if TYPE_CHECKING:
    from rich.console import Console

    from facewise.types import Face, Liveness

_Item = TypeVar("_Item")

_UNFOLDED = 100_000
"""Columns of a terminal that is none: a program that reads a table wants its lines whole."""


def print_json(data: Any) -> None:
    """One JSON document to stdout; NaN and infinity are refused, as JSON has none."""
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal that is not UTF-8, or a path that is no text in any encoding
        text = json.dumps(data, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def count(number: int, what: str, several: str = "") -> str:
    """`1 photo`, `2 photos`; `several` where it is no plain plural."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def named(names: Sequence[str], *, most: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def told_changes(added: int, replaced: int, gone: int) -> str:
    """A sentence such as `Photos changed since the last run: 3 added, 1 replaced, 2 gone.`."""
    counts = ((added, "added"), (replaced, "replaced"), (gone, "gone"))
    found = [f"{number} {what}" for number, what in counts if number]
    return f"Photos changed since the last run: {', '.join(found)}."


def say(text: str) -> None:
    """A line for people on stdout."""
    _line(sys.stdout, text)


def tell(text: str) -> None:
    """A line for people on stderr: progress, warnings, complaints."""
    _line(sys.stderr, text)


def _line(stream: TextIO, text: str) -> None:
    stream.write(escaped(text) + "\n")
    stream.flush()


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()
) -> None:
    """A table on stdout.

    Args:
        title: Over it, may be empty.
        columns: Headings.
        rows: Cells, shown by `str`; what would break the terminal is escaped.
        right: Indices of columns set flush right.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=escape(title) or None, title_justify="left")
    for i, name in enumerate(columns):
        grid.add_column(escape(name), justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(escaped(str(cell))) for cell in row))
    console = Console(highlight=False)
    if not (console.is_terminal or "COLUMNS" in os.environ):
        console.width = _UNFOLDED
    # Rich has its own way with a reader who has left; the command line's is another.
    with console.capture() as drawn:
        console.print(grid)
    sys.stdout.write(drawn.get())
    sys.stdout.flush()


@cache
def stderr_console() -> Console:
    """Rich's console on stderr, for bars and spinners."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Any]:
    """A progress bar on stderr, where that is a terminal; yields a function told how much more is done.

    Its second argument is the total, where that is known only now.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = stderr_console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(label, total=total)

        def done(count: int = 1, total: int | None = None) -> None:
            bar.update(task, advance=count, total=total)

        yield done


def with_progress(label: str, items: Iterable[_Item], total: int) -> Iterator[_Item]:
    """The items, with a progress bar on stderr."""
    with progress_bar(label, total) as done:
        for item in items:
            yield item
            done()


class BadItems:
    """Collects what went wrong with single items of a batch; tells each at once, and ends with code 3.

    Attributes:
        what: The name of an item.
        items: What went wrong, with which.
        left_out: How many files of the folders are none, by ending: see `facewise.photos.Found`.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.items: list[dict[str, str]] = []
        self.left_out: dict[str, int] = {}
        self._damaged = False

    def leave_out(self, left_out: dict[str, int]) -> None:
        """Files in the folders that are no such item, by ending; one line tells them all."""
        from facewise.photos import told_endings

        self.left_out = left_out
        if left_out:
            others = count(sum(left_out.values()), "other file")
            tell(f"{others} in the folders left out: {told_endings(left_out)}.")

    @property
    def told(self) -> dict[str, Any]:
        """For JSON: `bad`, the items that went wrong, and `left_out`."""
        return {"bad": self.items, "left_out": self.left_out}

    def add(self, name: str, error: object) -> None:
        """One bad item."""
        self._damaged = self._damaged or isinstance(error, DamagedPhotoError)
        text = " ".join(str(error).split())
        self.items.append({"item": name, "error": text})
        tell(f"facewise: {text}")

    def finish(self, good: int) -> None:
        """Ends the command with code 3 if any item was bad.

        Args:
            good: How many items were done.
        """
        if not self.items:
            return
        if self._damaged:
            tell("What is left of damaged photos is used with --damaged use.")
        named = f"{count(len(self.items), f'bad {self.what}')}, named above"
        if good:
            tell(f"facewise: {named}; the good ones are done.")
        elif len(self.items) > 1:
            tell(f"facewise: {named}, and no good one.")
        raise typer.Exit(3)


def usage_error(text: str) -> NoReturn:
    """Ends the command with code 2: the options make no sense together."""
    tell(f"facewise: {text}")
    raise typer.Exit(2)


def check_output_folder(folder: Path) -> None:
    """Refuses, before any work is done for it, a folder that cannot be made or written to.

    Raises:
        FacewiseError: It is a file, or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FacewiseError(f"{folder} is a file, not a folder: name another folder.") from None
    except OSError as error:
        raise FacewiseError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FacewiseError(f"The folder {folder} cannot be written to: change its permissions.")


def check_output_file(path: Path) -> None:
    """Refuses, before any work is done for it, a file that cannot be written.

    Raises:
        FacewiseError: It is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise FacewiseError(f"{path} is a folder: name a file.")
    check_output_folder(path.parent)


def face_dict(face: Face) -> dict[str, Any]:
    """A face as plain Python for JSON, without its embedding and mesh."""
    data: dict[str, Any] = {
        "box": [round(float(v), 3) for v in face.box],
        "score": round(face.score, 6),
        "landmarks": [[round(float(v), 3) for v in point] for point in face.landmarks],
    }
    if face.quality is not None:
        quality = face.quality
        data["quality"] = {
            "eye_distance_px": round(quality.size, 3),
            "sharpness": round(quality.sharpness, 3),
            "yaw": round(quality.yaw, 4),
            "pitch": round(quality.pitch, 4),
            "roll": round(quality.roll, 4),
            "value": None if quality.value is None else round(quality.value, 4),
            "reasons": list(quality.reasons),
            **({"remarks": list(quality.remarks)} if face.mesh is not None else {}),
        }
    if face.liveness is not None:
        data["liveness"] = liveness_dict(face.liveness)
    return data


def liveness_dict(liveness: Liveness) -> dict[str, Any]:
    """A liveness as plain Python for JSON."""
    return {"score": round(liveness.score, 4), "live": liveness.live, "note": liveness.note}
