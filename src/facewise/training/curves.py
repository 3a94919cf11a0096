"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facewise.files import atomic_write
from facewise.training.log import read_metrics

_PANELS = (
    ("loss", "loss", "loss"),
    ("accuracy", "accuracy", "accuracy"),
    ("verification on unknown people", "AUC", "auc"),
)
"""Title, label and the value in `metrics.jsonl`."""

Log = list[dict[str, Any]]


def draw_curves(runs: Sequence[Path], out: Path, names: Sequence[str] | None = None) -> None:
    """Draw loss, accuracy and verification by epoch; held-out values solid, training values dashed.

    Args:
        runs: Folders of runs.
        out: The PNG to write.
        names: What to call each run; by default its folder's name.
    """
    logs = [read_metrics(run) for run in runs]

    def draw(axes: Any, key: str) -> None:
        for number, (log, run) in enumerate(zip(logs, runs, strict=True)):
            _draw(axes, log, key, names[number] if names else run.name, f"C{number % 10}")

    _draw_panels(_PANELS, logs, draw, out)


def _draw(axes: Any, log: Log, key: str, name: str, color: str) -> None:
    for kind, style, what in (("train", "--", "training"), ("validation", "-", "held out")):
        points = [(line["epoch"], line[key]) for line in log if line["kind"] == kind and key in line]
        if points:
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, style, color=color, label=f"{name}, {what}", **_line(len(epochs)))


def draw_bands(groups: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Draw held-out accuracy and verification by epoch, a line and a band for each group of runs.

    The line is the mean over the group's runs, the band goes from the least to the most, as far as all of
    them went; dashed is the mean training accuracy. Losses are left out: they are not on one scale.

    Args:
        groups: Name to folders of runs.
        out: The PNG to write.
    """
    logs = {name: [read_metrics(run) for run in runs] for name, runs in groups.items()}

    def draw(axes: Any, key: str) -> None:
        for number, (name, runs) in enumerate(logs.items()):
            _draw_band(axes, runs, key, name, f"C{number % 10}")

    _draw_panels(_PANELS[1:], [log for runs in logs.values() for log in runs], draw, out)


def _draw_band(axes: Any, logs: Sequence[Log], key: str, name: str, color: str) -> None:
    for kind, style, what in (("train", "--", "training"), ("validation", "-", "held out")):
        runs = [
            {line["epoch"]: line[key] for line in log if line["kind"] == kind and key in line} for log in logs
        ]
        epochs = sorted(set.intersection(*map(set, runs))) if runs else []
        if not epochs:
            continue
        values = np.array([[run[epoch] for epoch in epochs] for run in runs])
        mean, label = values.mean(axis=0), f"{name}, {what}"
        axes.plot(epochs, mean, style, color=color, label=label, **_line(len(epochs)))
        if kind == "validation" and len(runs) > 1:
            axes.fill_between(
                epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0
            )


def _draw_panels(
    panels: Sequence[tuple[str, str, str]], logs: Sequence[Log], draw: Callable[[Any, str], None], out: Path
) -> None:
    # Not pyplot: it keeps state and wants a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    measured = {key for log in logs for line in log for key in line}
    drawn = [panel for panel in panels if panel[2] in measured]
    figure = Figure(figsize=(5.2 * max(1, len(drawn)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, label, key) in enumerate(drawn, start=1):
        axes = figure.add_subplot(1, len(drawn), place)
        draw(axes, key)
        axes.set(title=title, xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=130)


def _line(points: int) -> dict[str, Any]:
    """One epoch is a point, which a line alone would not show."""
    return {"linewidth": 1.4, "marker": "o" if points == 1 else None, "markersize": 4}
