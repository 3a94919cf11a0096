"""Drawn people as a folder: a sub-folder for each person, and a table of what is known of each photo."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facewise._version import __version__
from facewise.concurrency import in_processes
from facewise.data.synthetic.source import SyntheticSource
from facewise.data.synthetic.truth import flat
from facewise.errors import DatasetError
from facewise.files import atomic_write, write_bytes

TRUTH_CSV, TRUTH_JSONL, SETTINGS = "truth.csv", "truth.jsonl", "synthetic.json"

_MANY = 100
"""Photos from which starting processes pays: they take about a second to start, a photo 0.03 s."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_people` did.

    Attributes:
        folder: Where.
        people: How many.
        photos: How many in all.
        kept: Of these, how many were there already from an interrupted run.
    """

    folder: Path
    people: int
    photos: int
    kept: int


def write_people(
    folder: str | os.PathLike[str],
    people: int,
    photos: int,
    seed: int = 0,
    *,
    size: int = 250,
    difficulty: float = 0.4,
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> Written:
    """Draws people into a folder: `PERSON/PERSON_0001.jpg`, `truth.csv`, `truth.jsonl`, `synthetic.json`.

    A run that was stopped and is started again with the same settings ends in the same files.

    Args:
        folder: New, empty, or of a run with the same settings.
        people: How many.
        photos: How many of each.
        seed: Another one has other people.
        size: Side of a photo in pixels.
        difficulty: 0 to 1, see `View.draw`.
        workers: How many processes.
        done: Called after each photo.

    Raises:
        SettingError: A number out of range.
        DatasetError: The folder holds something else.
        FacewiseError: It cannot be written.
    """
    source = SyntheticSource(people, photos, seed, size=size, difficulty=difficulty)
    root = Path(folder)
    _claim(root, source)
    indices = range(len(source.keys))
    several = workers > 1 and len(indices) >= _MANY
    job = (source, root)
    # A person is made once by the process that draws all of their photos.
    chunk = min(photos, 64)
    if several:
        results = in_processes(_write, job, indices, workers, chunk=chunk)
    else:
        results = (_write(job, i) for i in indices)
    rows, kept = [], 0
    for row, was_there in results:
        rows.append(row)
        kept += was_there
        done()
    _write_truth(root, rows)
    return Written(root, people, len(rows), kept)


def _claim(root: Path, source: SyntheticSource) -> None:
    """Marks the folder as this dataset's, and refuses one that is anything else."""
    settings = {
        "facewise": __version__, "people": source.people, "photos": source.photos, "seed": source.seed,
        "size": source.size, "difficulty": source.difficulty,
    }  # fmt: skip
    marker = root / SETTINGS
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise DatasetError(
                f"{root} holds drawn people of other settings: give those of {SETTINGS}, or another folder."
            )
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root} already holds something else: name a new or empty folder.")
    write_bytes(marker, (json.dumps(settings, indent=2) + "\n").encode())


def _write(job: tuple[SyntheticSource, Path], index: int) -> tuple[dict[str, Any], bool]:
    """One photo; its row of the table, and whether it was there already."""
    source, root = job
    data, rendered = source.jpeg(index)
    path = root / source.keys[index]
    # Drawn again in any case, as the row needs the truth; only what is missing or was changed is written.
    was_there = path.is_file() and path.read_bytes() == data
    if not was_there:
        write_bytes(path, data)
    return {"path": source.keys[index], **rendered.truth.as_dict()}, was_there


def _write_truth(root: Path, rows: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with atomic_write(root / TRUTH_JSONL) as temporary:
        temporary.write_text(lines, encoding="utf-8")
    tables = [flat(row) for row in rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(tables[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(tables)
    with atomic_write(root / TRUTH_CSV) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
