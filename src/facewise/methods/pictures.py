"""Accuracy by photos a person, and who is taken for whom, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facewise.filenames import escaped
from facewise.files import atomic_write
from facewise.methods.names import FULL, photos_a_person
from facewise.methods.result import MethodsComparison
from facewise.metrics.scores import Counts

_TOP = 0.9
"""Where the second panel begins, for those who are nearly always right."""

_NAMED = 40
"""People up to whose number a confusion matrix has names."""

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#6f5f9c", "#7f7f7f")
"""Of Okabe and Ito, which everybody can tell apart."""

_MARKERS = "osD^vPX*"


def draw_shots(found: MethodsComparison, out: Path) -> None:
    """Accuracy against photos a person, a line and a band of its 95% interval for each method.

    Where some methods are nearly always right and others not, a second panel shows the former closer.
    """
    low = min(cell.accuracy.low for cell in found.cells)
    high = max(cell.accuracy.mean for cell in found.cells)
    panels = [low]
    tops = [cell.accuracy.low for cell in found.cells if cell.accuracy.mean > _TOP]
    if low < _TOP - 0.1 and high > _TOP + 0.03:
        panels.append(min(tops))
    figure = _figure((0.9 + 5.6 * len(panels), 4.8))
    places = _places(found)
    lines = []
    for number, bottom in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        drawn = [_line(axes, found, method, i, places) for i, method in enumerate(found.methods)]
        lines = [line for line in drawn if line is not None]
        _dress(axes, found, places, bottom)
        if number == 2:
            axes.set_title("the same, closer", fontsize=10)
    figure.legend(
        handles=lines, loc="outside lower center", ncols=min(len(lines), 5 if len(panels) > 1 else 3)
    )
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "one seed"
    figure.suptitle(
        f"{len(found.people)} people, {found.test_photos:.0f} test photos, {seeds}, {found.model}",
        fontsize=11,
    )
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=130)


def _places(found: MethodsComparison) -> dict[str, float]:
    """Where each number of photos is on the axis; `full` where its mean is, or a little after the others."""
    places = {k: float(k) for k in found.shots if k != FULL}
    if FULL in found.shots:
        places[FULL] = max(found.full, max(places.values(), default=0.0) * 1.3)
    return places


def _line(axes: Any, found: MethodsComparison, method: str, number: int, places: dict[str, float]) -> Any:
    cells = [cell for k in found.shots if (cell := found.cell(method, k)) is not None]
    if not cells:
        return None
    color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]
    # A little aside of each other, so that bands and marks of equals are all seen.
    aside = 1.0 + 0.022 * (number - (len(found.methods) - 1) / 2)
    x = [places[cell.shots] * aside for cell in cells]
    low, high = [cell.accuracy.low for cell in cells], [cell.accuracy.high for cell in cells]
    axes.fill_between(x, low, high, color=color, alpha=0.1, linewidth=0)
    axes.vlines(x, low, high, color=color, linewidth=1)  # bands of equals hide each other, these do not
    means = [cell.accuracy.mean for cell in cells]
    (line,) = axes.plot(x, means, color=color, marker=marker, markersize=5, linewidth=1.6, label=method)
    return line


def _dress(axes: Any, found: MethodsComparison, places: dict[str, float], bottom: float) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter  # noqa: PLC0415

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"all\n({found.full:.3g})" if k == FULL else k for k in places])
    axes.set_xlim(min(places.values()) * 0.88, max(places.values()) * 1.14)
    height = max(1.0 - bottom, 0.001)
    ticks = [
        tick
        for tick in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(bottom, 1.0)
        if bottom - 0.05 * height <= tick <= 1
    ]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_ylim(bottom - 0.05 * height, 1.0 + 0.03 * height)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if height > 0.05 else 1))
    axes.set(xlabel="photos a person to learn from", ylabel="test photos named rightly (95% interval)")
    axes.grid(alpha=0.3)


def draw_confusion(method: str, matrix: Counts, found: MethodsComparison, out: Path) -> None:
    """A confusion matrix: a row a person on the photos, a column a name given, shares of the row.

    Args:
        method: Whose.
        matrix: (P, P) photos over all seeds.
        found: The comparison.
        out: The PNG.
    """
    people = len(found.people)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    named = people <= _NAMED
    side = max(4.5, 0.32 * people + 2.6) if named else 7.5
    figure = _figure((side + 0.8, side))
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if named:
        axes.set_xticks(range(people), [_short(name) for name in found.people], rotation=60, ha="right")
        axes.set_yticks(range(people), [_short(name) for name in found.people])
        axes.tick_params(labelsize=8)
        for i, j in np.argwhere(matrix):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", fontsize=7, color=color)
    else:
        wrong = np.argwhere(matrix - np.diag(np.diag(matrix)))
        axes.scatter(wrong[:, 1], wrong[:, 0], s=9, color="#d55e00", label="taken for another")
        if len(wrong):
            axes.legend(loc="upper right", fontsize=8)
    axes.set(xlabel="name given", ylabel="person on the photo")
    right, total = int(np.trace(matrix)), int(matrix.sum())
    shots = photos_a_person(found.confusions_shots[method])
    axes.set_title(f"{method}, {shots} to learn from: {right} of {total} right", fontsize=10)
    figure.colorbar(picture, ax=axes, label="share of the person's photos", shrink=0.8)
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=130)


def _short(name: str) -> str:
    name = escaped(name.replace("_", " ").replace("\n", " "))
    shortened = name if len(name) <= 22 else name[:21] + "…"
    return shortened.replace("$", r"\$")  # what is between two is mathematics to Matplotlib


def _figure(inches: tuple[float, float]) -> Any:
    # Not pyplot: it keeps state and wants a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
