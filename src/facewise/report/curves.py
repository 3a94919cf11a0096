"""Learning curves: what was learned from is dashed, what was held out is whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facewise.report.html import Html, grid, number, plain_table, share
from facewise.report.page import Section
from facewise.report.run_data import RunData
from facewise.report.svg import Plot, dash, linear

_CHARTS = (
    ("loss", "Loss", "loss", "Of the training loss, margin included; lower is better."),
    ("accuracy", "Accuracy on known people", "share named rightly", "Photos of the people learned."),
    ("auc", "Verification of unknown people", "area under the ROC", "Pairs of people never shown."),
    ("eer", "Error rate on unknown people", "equal error rate", "The same pairs; lower is better."),
    ("agreement", "Agreement with the teacher", "mean cosine", "On held-out photos; 1 is the same."),
    ("rate", "Learning rate", "learning rate", "At the end of each epoch."),
)
"""Key in `metrics.jsonl`, title, label and what it is."""


def curves_section(runs: Sequence[RunData]) -> Section:
    """One chart a value, all runs in each."""
    charts = [
        _chart(runs, key, title, label, told)
        for key, title, label, told in _CHARTS
        if any(_points(run, kind, key) for run in runs for kind in ("train", "validation"))
    ]
    lead = "By epoch. Whole lines are photos held out, dashed ones photos learned from (fresh augmentation)."
    return Section("Learning curves", "curves", lead, [grid(charts)])


def _chart(runs: Sequence[RunData], key: str, title: str, label: str, told: str) -> Html:
    lines = [
        (i, run.name, kind, _points(run, kind, key))
        for i, run in enumerate(runs)
        for kind in ("train", "validation")
    ]
    lines = [line for line in lines if line[3]]
    values = [value for *_, points in lines for _, value in points]
    last = max(epoch for *_, points in lines for epoch, _ in points)
    low = 0.0 if key in {"loss", "eer", "rate"} else max(0.0, min(values) - 0.02)
    high = max(values) * 1.05 if key in {"loss", "eer", "rate"} else min(1.0, max(values) + 0.02)
    plot = Plot(linear("epoch", min(1, last - 1), last), linear(label, low, high))
    for i, name, kind, points in lines:
        held = kind == "validation"
        who = f"{name}, " if len(runs) > 1 else ""
        plot.line(
            [epoch for epoch, _ in points],
            [value for _, value in points],
            i,
            dashes=dash(i) if key == "rate" else "" if held else "4 4",
            name=who + ("held out" if kind == "validation" else "rate" if key == "rate" else "learned from"),
        )
    format_ = share if key not in {"loss", "rate"} else (lambda value: number(value, 5))
    columns = [f"{name}, {'held out' if kind == 'validation' else 'training'}" for _, name, kind, _ in lines]
    tables = [dict(points) for *_, points in lines]
    rows = [
        [epoch, *(format_(one[epoch]) if epoch in one else "–" for one in tables)]
        for epoch in sorted({epoch for one in tables for epoch in one})
    ]
    behind = plain_table(["epoch", *columns], rows, right=range(len(columns) + 1))
    return plot.figure(title, told, behind=behind)


def _points(run: RunData, kind: str, key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the run's log."""
    lines: list[dict[str, Any]] = [line for line in run.log if line.get("kind") == kind and "epoch" in line]
    return [
        (int(line["epoch"]), float(line[key])) for line in lines if isinstance(line.get(key), int | float)
    ]
