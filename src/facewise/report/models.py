"""The report of models on data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import Progress
from facewise.evaluation.groups_file import PairGroups, given_groups
from facewise.evaluation.pair_run import folds_of
from facewise.evaluation.pairs import MOST_UNREADABLE, photos_of
from facewise.evaluation.side_by_side import Model
from facewise.files import write_bytes
from facewise.report.by_quality import quality_section
from facewise.report.dataset import DataSet
from facewise.report.differences import differences_section
from facewise.report.groups import groups_section
from facewise.report.hardest import hardest_section
from facewise.report.html import Html, heading, note
from facewise.report.leaks import leak_notes, leak_warnings, leaks_of
from facewise.report.maps import Maps, chosen
from facewise.report.measured import Measured, Measurements, measure
from facewise.report.page import Page, Section
from facewise.report.provenance import measured_section
from facewise.report.scores import probability_section, scores_section
from facewise.report.space import space_body
from facewise.report.verification import (
    figures,
    headline,
    verification_section,
)

FACES = (
    "This page shows faces of people, which are biometric data: mind who you give it to. "
    "`--no-photos` leaves the photos out."
)
NO_FACES = "Photos were left out on request; names of people and of files are still in this page."

_MOST_MAPS = 3
"""Models drawn as maps: each takes a screen."""


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written.

    Attributes:
        path: The file.
        size: Bytes.
        headline: Its headline numbers, plain Python for JSON.
        unreadable: Photos that could not be read and were left out, with the reason.
    """

    path: Path
    size: int
    headline: dict[str, Any]
    unreadable: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {"report": str(self.path), "bytes": self.size, **self.headline}


def report_models(
    data: DataSet,
    models: Sequence[Model],
    names: Sequence[str],
    out: Path,
    cache: FaceCache,
    *,
    groups: Sequence[PairGroups] = (),
    photos: bool = True,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> Written:
    """Measure models and write the report.

    Args:
        data: What to measure on.
        models: At least one.
        names: What to call them.
        out: The HTML file.
        cache: Where faces are found and kept.
        groups: Of the pairs, besides those of the data itself.
        photos: Whether to show photos.
        progress: Told as photos are done; there are `photos_to_do`.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos or pairs that may be unreadable and left out.

    Raises:
        DatasetError: The data make no pairs of each kind, or too many photos cannot be read.
        FacewiseError: The file cannot be written.
    """
    begun = time.perf_counter()
    own = [] if data.file.groups is None else [given_groups(data.file.groups)]
    measured = measure(
        data,
        models,
        names,
        cache,
        groups=[*own, *groups],
        progress=progress,
        processes=processes,
        most_unreadable=most_unreadable,
    )
    kept = data.file.only(measured.models[0].result.scored.places.tolist())
    leaks = leaks_of(measured)
    maps = Maps(photos)
    results = [one.result for one in measured.models]
    page = Page(
        f"{_all(names)} on {data.title}",
        "Verification report",
        [f"{data.protocol}; {results[0].scored.photos:,} different photos are in them.", *data.limits],
        warnings=[*leak_warnings(leaks), FACES if photos else NO_FACES],
        top=headline(names, results),
    )
    parts = [
        verification_section(names, results),
        differences_section(measured.differences),
        scores_section(names, results),
        probability_section(
            names, results, [one.embedder.calibration for one in measured.models], folds_of(kept)
        ),
        hardest_section(names, results, data.people(), measured.crops, photos=photos),
        quality_section(measured.models),
        groups_section(names, results),
        _space_section(measured),
        _map_section(measured, maps),
        measured_section(measured, leak_notes(leaks), time.perf_counter() - begun),
    ]
    page.sections = [part for part in parts if part is not None]
    page.data = maps.json()
    numbers: dict[str, Any] = {"data": data.title, "data_hash": results[0].scored.data_hash}
    told = [
        {**_numbers(one), "photos_trained_on": len(leak.photos) if leak.photos_checked else None}
        for one, leak in zip(measured.models, leaks, strict=True)
    ]
    unreadable = results[0].scored.unreadable
    numbers["unreadable"] = [{"photo": photo, "error": error} for photo, error in unreadable]
    return replace(write_page(page, out, {**numbers, "models": told}), unreadable=unreadable)


def photos_to_do(data: DataSet, models: Sequence[Model]) -> int:
    """How many times progress will be told of a photo."""
    return len(photos_of(data.file.pairs)) * len(models)


def write_page(page: Page, out: Path, numbers: dict[str, Any]) -> Written:
    """Write the file, whole or not at all."""
    content = page.html().encode("utf-8")
    write_bytes(out, content)
    return Written(out, len(content), numbers)


def _numbers(one: Measured) -> dict[str, Any]:
    found = figures(one.result)
    return {
        "model": one.name,
        "fingerprint": one.embedder.fingerprint,
        **{name: value for name, (value, _) in found.items()},
        "intervals": {
            name: [interval.low, interval.high] for name, (_, interval) in found.items() if interval
        },
    }


def _all(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"


def _space_section(measured: Measurements) -> Section:
    section = Section(
        "Embedding space",
        "space",
        "A face is a direction. The photos of one person should lie close together and far from everybody "
        "else's.",
    )
    people = measured.data.people()
    if not people:
        section.body.append(note("The pairs name nobody (identity_a, identity_b), so there are no people."))
        return section
    for one in measured.models:
        photos, vectors = one.vectors(sorted(people))
        threshold = one.result.metrics.operating_points[-1].threshold
        body, _ = space_body(one.name, vectors, [people[photo] for photo in photos], threshold)
        section.body += ([heading(one.name)] if len(measured.models) > 1 else []) + body
    return section


def _map_section(measured: Measurements, maps: Maps) -> Section:
    section = Section(
        "Embedding map",
        "map",
        "The photos of the people with most of them, laid out in two dimensions. It shows little of what is "
        "in the space: look at neighbours, not at distances.",
    )
    people = measured.data.people()
    if not people:
        section.body.append(note("The pairs name nobody, so no colours can be given to people."))
        return section
    for one in measured.models[:_MOST_MAPS]:
        section.body.append(_map(one, measured, people, maps))
    if len(measured.models) > _MOST_MAPS:
        section.body.append(note(f"Maps are drawn of the first {_MOST_MAPS} models."))
    return section


def _map(one: Measured, measured: Measurements, people: Any, maps: Maps) -> Html:
    photos, vectors = one.vectors(sorted(people))
    shown = chosen([people[photo] for photo in photos])
    if len(shown) < 3:
        return note(f"{one.name}: nobody has two photos with a face, so there is no map.")
    keys = [photos[i] for i in shown]
    crops = measured.crops(keys) if maps.photos else {}
    try:
        return maps.add(one.name, vectors[shown], [people[key] for key in keys], keys, crops)
    except ImportError as error:
        return note(
            f"There is no map: it needs {error.name}, which comes with `pip install facewise[train]`."
        )
