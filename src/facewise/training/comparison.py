"""What a comparison of training methods found: numbers, differences, and both as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facewise.training.differences import Difference

METRICS = ("accuracy", "auc", "tar@fmr=0.01", "seconds", "images/s")
"""What is tabled: accuracy on held-out photos of known people, verification on unknown ones, time."""

METHOD = (
    "Differences are paired: every method has the same seeds and the same held-out photos. Their variance is "
    "that over seeds and that over photos (accuracy) or people (AUC), the latter by bootstrap, added as by "
    "Obuchowski and Rockette 1995; 95% intervals and p by the weighted t of Cochran 1964, p corrected for "
    "all pairs of methods by Holm 1979."
)


@dataclass(frozen=True, slots=True)
class MethodRun:
    """One method trained with one seed.

    Attributes:
        method: A loss or a recipe.
        seed: Of the run.
        folder: Of the run.
        values: By the names of `METRICS`; empty if it failed.
        error: Why it failed, or None.
    """

    method: str
    seed: int
    folder: Path
    values: Mapping[str, float]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """One metric of one method over seeds.

    Attributes:
        mean: Over the runs that finished.
        deviation: Sample standard deviation over them; None of one run.
        low, high: The least and the most.
        runs: How many.
    """

    mean: float
    deviation: float | None
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several methods, each trained with several seeds on the same budget.

    Attributes:
        folder: Of everything.
        methods: Losses or recipes, with the settings that are theirs alone.
        seeds: Each method was trained with.
        runs: All of them.
        differences: Every two methods by accuracy and by AUC, where both have it.
        notes: What to know when reading the numbers.
    """

    folder: Path
    methods: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]
    runs: Sequence[MethodRun]
    differences: Sequence[Difference]
    notes: Sequence[str]

    @property
    def failed(self) -> list[MethodRun]:
        """Runs that did not end well."""
        return [run for run in self.runs if run.error is not None]

    @property
    def metrics(self) -> list[str]:
        """Those of `METRICS` that some run has."""
        return [name for name in METRICS if any(name in run.values for run in self.runs)]

    def spread(self, method: str, metric: str) -> Spread | None:
        """Over seeds; None if no run of the method has it."""
        found = [r.values[metric] for r in self.runs if r.method == method and metric in r.values]
        if not found:
            return None
        deviation = float(np.std(found, ddof=1)) if len(found) > 1 else None
        return Spread(float(np.mean(found)), deviation, min(found), max(found), len(found))

    def rows(self) -> list[list[str]]:
        """A row a method: its name, its runs, and each of `metrics`."""
        rows = []
        for method in self.methods:
            mine = [run for run in self.runs if run.method == method]
            done = sum(run.error is None for run in mine)
            counted = f"{done}" if done == len(mine) else f"{done} of {len(mine)}, others failed"
            cells = [_cell(self.spread(method, metric), metric) for metric in self.metrics]
            rows.append([method, counted, *cells])
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        spreads = {
            method: {metric: asdict(s) for metric in self.metrics if (s := self.spread(method, metric))}
            for method in self.methods
        }
        return {
            "folder": str(self.folder),
            "methods": {name: dict(settings) for name, settings in self.methods.items()},
            "seeds": list(self.seeds),
            "table": spreads,
            "runs": [asdict(run) | {"folder": str(run.folder)} for run in self.runs],
            "differences": [
                asdict(one) | {"beyond_noise": one.beyond_noise, "words": one.words}
                for one in self.differences
            ],
            "method": METHOD,
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """The report."""
        heads = ["method", "runs", *(_HEADS[name] for name in self.metrics)]
        lines = [
            "# Comparison",
            "",
            f"{', '.join(self.methods)}; seeds {', '.join(map(str, self.seeds))}.",
            "",
        ]
        lines += [_row(heads), _row(["---"] * len(heads)), *map(_row, self.rows())]
        lines += ["", "Mean ± standard deviation over seeds (least to most).", "", "## Differences", ""]
        for metric in dict.fromkeys(one.metric for one in self.differences):
            lines += [f"{_HEADS[metric]}:", ""]
            lines += [f"- {one.words}" for one in self.differences if one.metric == metric] + [""]
        lines += [METHOD if self.differences else "Nothing could be compared.", ""]
        lines += ["## Methods", ""]
        lines += [f"- {name}: {_settings(settings)}" for name, settings in self.methods.items()] + [""]
        told = [f"{r.method}, seed {r.seed}, failed: {r.error}" for r in self.failed] + list(self.notes)
        if told:
            lines += ["## Notes", "", *(f"- {text}" for text in told), ""]
        return "\n".join(lines)


_HEADS = {
    "accuracy": "accuracy, known people",
    "auc": "AUC, unknown people",
    "tar@fmr=0.01": "TAR at FMR 0.01, unknown people",
    "seconds": "training, s",
    "images/s": "images/s",
}


def heading(metric: str) -> str:
    """What a metric is called over a column."""
    return _HEADS[metric]


def _cell(spread: Spread | None, metric: str) -> str:
    if spread is None:
        return "–"
    digits = (
        4 if metric not in ("seconds", "images/s") else max(0, 2 - math.floor(math.log10(spread.mean or 1)))
    )
    mean, low, high = (f"{value:.{digits}f}" for value in (spread.mean, spread.low, spread.high))
    if spread.deviation is None:
        return mean
    return f"{mean} ± {spread.deviation:.{digits}f} ({low} to {high})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "defaults"
