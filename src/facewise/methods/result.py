"""What a comparison of methods found: numbers, differences, and what they mean for a choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facewise.methods.intervals import METHOD, Accuracy
from facewise.methods.intervals import to_dict as accuracy_dict
from facewise.methods.names import FULL, METHODS, photos_a_person
from facewise.metrics.scores import Counts
from facewise.training.differences import Difference


@dataclass(frozen=True, slots=True)
class Cell:
    """One method with one number of photos a person.

    Attributes:
        method: Its name.
        shots: Photos a person, or `full`.
        photos: Learned from, the mean over seeds.
        accuracy: On the test photos.
        fit_s: Seconds from crops to what names people, the mean over seeds.
        predict_ms: Milliseconds from a crop to a name, the mean over seeds.
        keep_bytes: Of what must be kept to name people: beside the model, or all of a trained network.
        peak_bytes: Most memory a process of it held at once, over seeds, or None where it was not measured.
        facts: Of the first seed: what was chosen on the way.
    """

    method: str
    shots: str
    photos: float
    accuracy: Accuracy
    fit_s: float
    predict_ms: float
    keep_bytes: int
    peak_bytes: int | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """A method that failed with one number of photos and seed."""

    method: str
    shots: str
    seed: int
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class MethodsComparison:
    """Several methods on the same photos, by how many they learn from.

    Attributes:
        folder: Of everything.
        model: Name of the model it starts from.
        people: Names.
        test_photos: A seed, the mean over seeds.
        seeds: Of divisions, draws and training.
        methods: Names, in the order given.
        shots: Ascending.
        full: Mean photos a person that `full` stands for.
        cells: What was measured.
        differences: Of every two methods with the same number of photos.
        confusions: By method, at the largest number of photos it was measured with: (P, P) test photos of
            person i taken for j, over all seeds.
        failures: What was not.
        verdicts: By number of photos, what to choose, in plain words.
        notes: What to know when reading the numbers.
    """

    folder: Path
    model: str
    people: tuple[str, ...]
    test_photos: float
    seeds: Sequence[int]
    methods: Sequence[str]
    shots: Sequence[str]
    full: float
    cells: Sequence[Cell]
    differences: Sequence[Difference]
    confusions: Mapping[str, Counts]
    failures: Sequence[Failure]
    verdicts: Mapping[str, str]
    notes: Sequence[str]

    def cell(self, method: str, shots: str) -> Cell | None:
        """One of `cells`; None where it was not measured."""
        return next((one for one in self.cells if (one.method, one.shots) == (method, shots)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "folder": str(self.folder),
            "model": self.model,
            "people": list(self.people),
            "test_photos": self.test_photos,
            "seeds": list(self.seeds),
            "methods": list(self.methods),
            "shots": list(self.shots),
            "full": self.full,
            "table": [_cell_dict(cell) for cell in self.cells],
            "differences": [
                asdict(one) | {"beyond_noise": one.beyond_noise, "words": one.words}
                for one in self.differences
            ],
            "failures": [asdict(one) for one in self.failures],
            "verdicts": dict(self.verdicts),
            "method": METHOD,
            "notes": list(self.notes),
        }

    def confusions_dict(self) -> dict[str, Any]:
        """The confusion matrices for JSON: cells that are not empty, as [true, predicted, photos]."""
        found = {
            name: [[int(i), int(j), int(matrix[i, j])] for i, j in np.argwhere(matrix)]
            for name, matrix in self.confusions.items()
        }
        return {"people": list(self.people), "shots": self.confusions_shots, "cells": found}

    @property
    def confusions_shots(self) -> dict[str, str]:
        """By method, the number of photos its confusion matrix is of."""
        return {cell.method: cell.shots for cell in self.cells}

    def accuracy_rows(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows of accuracies: a row a method, a column a number of photos."""
        return self._by_shots(_accuracy)

    def _by_shots(self, text: Callable[[Cell | None], str]) -> tuple[list[str], list[list[str]]]:
        heads = ["method", *(f"all ({self.full:.3g})" if k == FULL else k for k in self.shots)]
        return heads, [[m, *(text(self.cell(m, k)) for k in self.shots)] for m in self.methods]

    def cost_rows(self) -> tuple[list[str], list[list[str]]]:
        """What each method costs at the largest number of photos it was measured with."""
        heads = ["method", "photos", "learning", "naming a photo", "peak memory", "to keep"]
        rows = []
        for method in self.methods:
            mine = [cell for cell in self.cells if cell.method == method]
            if mine:
                one = mine[-1]
                rows.append(
                    [
                        method,
                        f"{one.photos:.0f}",
                        duration(one.fit_s),
                        f"{one.predict_ms:.3g} ms",
                        "–" if one.peak_bytes is None else size(one.peak_bytes),
                        size(one.keep_bytes),
                    ]
                )
        return heads, rows

    def markdown(self) -> str:
        """The report."""
        lines = ["# Methods compared", "", self.about, ""]
        lines += ["## Accuracy by photos a person", "", *_table(*self.accuracy_rows()), ""]
        lines += ["Mean over seeds (95% interval).", "", "![Accuracy by photos a person](shots.png)", ""]
        lines += ["## What to choose", "", *(f"- {text}" for text in self.verdicts.values()), ""]
        lines += ["## What each costs", "", *_table(*self.cost_rows()), "", COSTS, ""]
        lines += ["Learning, by photos a person:", "", *_table(*self._by_shots(_learning)), ""]
        lines += ["## By seed", "", *_table(*self._seed_rows()), ""]
        lines += ["## Differences", ""]
        for shots in dict.fromkeys(one.metric for one in self.differences):
            lines += [f"{photos_a_person(shots.partition('@')[2]).capitalize()}:", ""]
            lines += [f"- {one.words}" for one in self.differences if one.metric == shots] + [""]
        lines += [METHOD, "", "## Methods", ""]
        lines += [f"- {name}: {describe(name)}." for name in self.methods] + [""]
        told = [
            f"{f.method}, {photos_a_person(f.shots)}, seed {f.seed}, failed: {f.error}" for f in self.failures
        ]
        told += list(self.notes)
        if told:
            lines += ["## Notes", "", *(f"- {text}" for text in told), ""]
        return "\n".join(lines)

    @property
    def about(self) -> str:
        """What was compared, in a sentence."""
        return (
            f"{len(self.people)} people, {self.test_photos:.0f} test photos a seed, model {self.model}, "
            f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}."
        )

    def _seed_rows(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [cell.method, cell.shots, *(_value(cell.accuracy.by_seed.get(seed)) for seed in self.seeds)]
            for cell in self.cells
        ]
        return ["method", "photos a person", *(f"seed {seed}" for seed in self.seeds)], rows


COSTS = (
    "Learning goes from aligned crops to what names people: embedding the photos and fitting, or training; "
    "naming goes from one aligned crop to a name. Finding and aligning faces comes before and is the same "
    "for all. Peak memory is the most that a process which did nothing else held at once, with Python, the "
    "libraries it uses and files mapped into it. To keep is what naming people needs: beside the model, or "
    "all of a trained network."
)


def describe(method: str) -> str:
    """What a method does."""
    if method in METHODS:
        return METHODS[method]
    times = method.removeprefix("scratch-").removesuffix("x")
    return f"{METHODS['scratch']}, for {times} times the epochs"


def duration(seconds: float) -> str:
    """`0.012 s`, `34 s`, `5.2 min`."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """`12 kB`, `3.9 MB`."""
    if count < 1_000_000:
        return f"{count / 1000:.3g} kB"
    return f"{count / 1e6:.3g} MB" if count < 1_000_000_000 else f"{count / 1e9:.3g} GB"


def _cell_dict(cell: Cell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "shots": cell.shots,
        "photos": cell.photos,
        "accuracy": accuracy_dict(cell.accuracy),
        "fit_s": cell.fit_s,
        "predict_ms": cell.predict_ms,
        "keep_bytes": cell.keep_bytes,
        "peak_bytes": cell.peak_bytes,
        "facts": dict(cell.facts),
    }


def _accuracy(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    one = cell.accuracy
    return f"{one.mean:.3f} ({one.low:.3f}–{one.high:.3f})"


def _learning(cell: Cell | None) -> str:
    return "–" if cell is None else duration(cell.fit_s)


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
