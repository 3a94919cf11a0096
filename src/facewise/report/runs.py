"""The report of runs of training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facewise.data.source import Source
from facewise.errors import SettingError
from facewise.metrics import Interval
from facewise.report.closed_set import ClosedSet, closed_set
from facewise.report.curves import curves_section
from facewise.report.html import (
    Html,
    Tile,
    heading,
    join,
    note,
    share,
    span,
    tiles,
)
from facewise.report.known import closed_section, known_difference, result_interval
from facewise.report.maps import Maps
from facewise.report.models import FACES, NO_FACES, Written, write_page
from facewise.report.page import Page
from facewise.report.run_data import RunData, RunPhotos, read_run
from facewise.report.run_sections import (
    map_section,
    missing_section,
    provenance_section,
    space_section,
    verification_sections,
)
from facewise.report.verification import (
    called,
    figures,
    side_by_side,
)

REPORT = "report.html"
"""The file in a run's folder."""

Figures = dict[str, tuple[float, Interval | None]]

_UNKNOWN = "unknown people: "


def write_run_report(
    folder: str | os.PathLike[str], *, photos: bool = True, source: Source | None = None
) -> Written:
    """Write `report.html` into a run's folder.

    Args:
        folder: Of the run.
        photos: Whether to show photos.
        source: Of the run's photos; None looks where `environment.json` says they were.

    Raises:
        DatasetError: It is no run, has no metrics yet, or is damaged.
        ModelError: Its model file cannot be read.
        FacewiseError: The file cannot be written.
    """
    return report_runs([Path(folder)], Path(folder) / REPORT, photos=photos, source=source)


def report_runs(
    folders: Sequence[Path], out: Path, *, photos: bool = True, source: Source | None = None
) -> Written:
    """Write the report of one run, or of several side by side.

    Args:
        folders: Of the runs, each once.
        out: The HTML file.
        photos: Whether to show photos.
        source: Of the photos of all; None looks where each run's `environment.json` says they were.

    Raises:
        SettingError: A run is named twice.
        DatasetError: See `write_run_report`.
        ModelError: Likewise.
        FacewiseError: The file cannot be written.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SettingError("A run is named twice; name each once.")
    plain = [folder.resolve().name for folder in folders]
    names = plain if len(set(plain)) == len(plain) else [str(folder) for folder in folders]
    runs = [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    given = [
        RunPhotos(source if source is not None else run.environment.get("data"), run.size) if photos else None
        for run in runs
    ]
    closed = [closed_set(run) for run in runs]
    headlines = [run_figures(run, one) for run, one in zip(runs, closed, strict=True)]
    maps = Maps(photos)
    page = Page(
        " against ".join(names) if len(names) < 4 else f"{len(names)} runs",
        "Training report",
        _lead(runs[0]) if len(runs) == 1 else [str(run.config.get("about") or run.name) for run in runs],
        warnings=[FACES if photos else NO_FACES],
        top=_top(runs, headlines),
    )
    page.sections = [
        part
        for part in (
            missing_section(runs),
            curves_section(runs),
            *(closed_section(*one, several=len(runs) > 1) for one in zip(runs, closed, given, strict=True)),
            known_difference(runs, closed),
            *verification_sections(runs, given),
            space_section(runs),
            map_section(runs, given, maps),
            *(
                provenance_section(run, photos_, several=len(runs) > 1)
                for run, photos_ in zip(runs, given, strict=True)
            ),
        )
        if part is not None
    ]
    page.data = maps.json()
    told = [{"run": run.name, **_plain(found)} for run, found in zip(runs, headlines, strict=True)]
    return write_page(page, out, {"runs": told})


def run_figures(run: RunData, closed: ClosedSet | str) -> Figures:
    """Headline figures of a run, by name."""
    found: Figures = {}
    if isinstance(closed, ClosedSet):
        result, intervals = closed.result, closed.result.intervals() if closed.scored else {}
        found["Accuracy (top-1)"] = result.top1, intervals.get("top1") or result_interval(result)
        if closed.scored:
            found["Accuracy (top-5)"] = result.top5, intervals["top5"]
            found["Test loss"] = result.loss, intervals["loss"]
        elif closed.loss is not None:
            found["Test loss"] = closed.loss, None
        found["Macro F1"] = result.macro.f1, None
    if run.verification is not None:
        own = figures(run.verification)
        found |= {f"{_UNKNOWN}{name}": value for name, value in own.items()}
    return found


def _plain(found: Figures) -> dict[str, Any]:
    """For JSON."""
    numbers = {name: value for name, (value, _) in found.items()}
    intervals = {name: [one.low, one.high] for name, (_, one) in found.items() if one is not None}
    return {"figures": numbers, "intervals": intervals}


def _lead(run: RunData) -> list[str]:
    config, loss = run.config, run.config.get("loss") or {}
    about = str(config.get("about") or "")
    training = {} if run.model is None else dict(run.model.card.training)
    learned = ""
    if "photos" in training and "people" in training:
        learned = f", {training['photos']:,} photos of {training['people']:,} people"
    what = f"{config['backbone'].get('name')} with {loss.get('name', 'no loss')}{learned}."
    return [about, what] if about else [what]


def _top(runs: Sequence[RunData], found: Sequence[Figures]) -> Html:
    if not any(found):
        return note("There are no headline numbers: nothing was held out, or the run is not finished.")
    if len(runs) > 1:
        return side_by_side([run.name for run in runs], [_called(one) for one in found])
    return join(
        join(
            [
                heading(title),
                tiles([Tile(called(key), share(value), span(one)) for key, (value, one) in part]),
            ]
        )
        for title, part in _parted(found[0])
        if part
    )


def _parted(found: Figures) -> list[tuple[str, list[tuple[str, tuple[float, Interval | None]]]]]:
    known = [(key, value) for key, value in found.items() if not key.startswith(_UNKNOWN)]
    others = [(key.removeprefix(_UNKNOWN), value) for key, value in found.items() if key.startswith(_UNKNOWN)]
    return [("People it has learned, on new photos", known), ("People it was never shown", others)]


def _called(found: Figures) -> Figures:
    return {
        f"{called(name.removeprefix(_UNKNOWN))}, unknown people" if name.startswith(_UNKNOWN) else name: value
        for name, value in found.items()
    }
