"""Sections on people a run has learned: figures, who is taken for whom, one run against another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from facewise.metrics import Interval
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import bootstrap_interval
from facewise.metrics.classification_result import ClassificationResult
from facewise.metrics.paired import mcnemar
from facewise.report.closed_set import ClosedSet
from facewise.report.confusion import confused_faces, matrix_chart, worst_part
from facewise.report.differences import chance
from facewise.report.figure import whisker
from facewise.report.html import (
    Html,
    Tile,
    grid,
    heading,
    note,
    number,
    plain_table,
    share,
    shown,
    signed,
    span,
    table,
    text,
    tiles,
)
from facewise.report.page import Section
from facewise.report.run_data import RunData, RunPhotos

_CLASSES = 15


def result_interval(result: ClassificationResult) -> Interval:
    """The exact interval of the accuracy."""
    return binomial_interval(int((result.ranks == 1).sum()), result.photos)


def closed_section(
    run: RunData, closed: ClosedSet | str, photos: RunPhotos | None, *, several: bool
) -> Section:
    """The closed-set test of one run, or why there is none."""
    of = f", {run.name}" if several else ""
    section = Section(f"Known people{of}", f"known-{anchor(run.name)}")
    if isinstance(closed, str):
        section.body.append(note(f"There is no closed-set test. {closed}"))
        return section
    result = closed.result
    section.lead = (
        f"The closed-set test: {result.photos:,} photos held out from {len(result.names):,} people the run "
        "has learned, each given the name that fits best."
    )
    section.body += [_closed_tiles(closed), _averages(result)]
    if closed.missing:
        absent = "Test loss and top-5 accuracy are" if closed.loss is None else "Top-5 accuracy is"
        section.body.append(note(f"{absent} not shown. {closed.missing}"))
    section.body += [grid([matrix_chart(result)]), worst_part(result)]
    held = run.held_out
    if held is not None and held.known is not None:
        if photos is None and result.top1 < 1:
            section.body.append(note("Photos were left out on request (`--no-photos`)."))
        section.body += confused_faces(result, held.known, photos)
    section.body += [heading("Problem classes"), _worst_classes(result)]
    return section


def known_difference(runs: Sequence[RunData], closed: Sequence[ClosedSet | str]) -> Section | None:
    """Whether one run names known people better than the first, on the same photos; None for one run."""
    having = [
        (run, one.result)
        for run, one in zip(runs, closed, strict=True)
        if isinstance(one, ClosedSet) and run.held_out is not None and run.held_out.known is not None
    ]
    if len(having) < 2:
        return None
    section = Section("Known people: differences", "known-differences")
    first, base = having[0]
    section.lead = (
        f"Accuracy less that of {first.name} on the same photos: the interval resamples photos, and "
        "McNemar's exact test asks whether the photos only one of the two gets right could be a coin's."
    )
    rows = []
    for run, result in having[1:]:
        if _keys(run) != _keys(first) or not np.array_equal(result.labels, base.labels):
            section.body.append(
                note(f"{run.name} held out other photos than {first.name}: nothing is paired.")
            )
            continue
        right, before = result.ranks == 1, base.ranks == 1
        gain = right.astype(np.float64) - before
        interval = _paired_interval(gain)
        only, other = int((right & ~before).sum()), int((before & ~right).sum())
        rows.append(
            [
                text(run.name),
                text(signed(interval.estimate)),
                whisker(interval.low, interval.estimate, interval.high),
                text(f"{signed(interval.low)} … {signed(interval.high)}"),
                text(f"{only:,} and {other:,}"),
                text(chance(mcnemar(only, other).p_value).removeprefix("= ")),
            ]
        )
    if rows:
        columns = ["run", "difference", "", "95% interval", f"only it, only {first.name} right", "p"]
        section.body.append(table([text(column) for column in columns], rows, right=(1, 4, 5)))
    return section


def _paired_interval(gain: np.ndarray[Any, np.dtype[np.float64]]) -> Interval:
    """(N,) what each photo gains, to the mean and its bootstrap over photos."""
    return bootstrap_interval(lambda counts: counts @ gain / len(gain), len(gain))


def _keys(run: RunData) -> tuple[str, ...]:
    return () if run.held_out is None or run.held_out.known is None else run.held_out.known.keys


def _closed_tiles(closed: ClosedSet) -> Html:
    result = closed.result
    items = [Tile("Accuracy (top-1)", share(result.top1), span(result_interval(result)))]
    if closed.scored:
        intervals = result.intervals()
        items += [
            Tile("Accuracy (top-5)", share(result.top5), span(intervals["top5"])),
            Tile("Test loss", number(result.loss), f"cross-entropy, scale {closed.scale:g}, no margin"),
        ]
    if closed.loss is not None and not closed.scored:
        items.append(Tile("Test loss", number(closed.loss), "cross-entropy, as the run measured it"))
    elif closed.measured is not None:
        items.append(Tile("Loss with its margin", number(closed.measured), "as the run measured it"))
    return tiles([*items, Tile("Macro F1", share(result.macro.f1), "people weigh alike")])


def _averages(result: ClassificationResult) -> Html:
    rows = [
        [name, share(one.precision), share(one.recall), share(one.f1)]
        for name, one in (
            ("macro: people weigh alike", result.macro),
            ("weighted: photos do", result.weighted),
        )
    ]
    return plain_table(["mean", "precision", "recall", "F1"], rows, right=(1, 2, 3))


def _worst_classes(result: ClassificationResult) -> Html:
    rows = [
        [
            shown(one.name),
            one.support,
            share(one.precision),
            share(one.recall),
            span(one.recall_interval()),
            share(one.f1),
        ]
        for one in result.worst(_CLASSES)
    ]
    columns = ["person", "photos", "precision", "recall", "interval of the recall", "F1"]
    told = f"The {len(rows)} people of the lowest F1, of {len(result.names):,}"
    return plain_table(columns, rows, right=range(1, 6), caption=told)


def anchor(name: str) -> str:
    """A run's name as part of an anchor; different names have different ones."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"
