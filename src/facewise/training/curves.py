"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facewise.files import atomic_write
from facewise.training.log import read_metrics

_PANELS = (
    ("loss", "loss", ("loss",)),
    ("accuracy", "accuracy", ("accuracy",)),
    ("verification on unknown people", "AUC", ("auc",)),
)


def draw_curves(runs: Sequence[Path], out: Path, names: Sequence[str] | None = None) -> None:
    """Draw loss, accuracy and verification by epoch; held-out values solid, training values dashed.

    Args:
        runs: Folders of runs.
        out: The PNG to write.
        names: What to call each run; by default its folder's name.
    """
    # Not pyplot: it keeps state and wants a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    logs = [read_metrics(run) for run in runs]
    panels = [
        panel for panel in _PANELS if any(name in line for log in logs for line in log for name in panel[2])
    ]
    figure = Figure(figsize=(5.2 * max(1, len(panels)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, label, keys) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for number, (log, run) in enumerate(zip(logs, runs, strict=True)):
            name = names[number] if names else run.name
            _draw(axes, log, keys[0], name, f"C{number % 10}")
        axes.set(title=title, xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw(axes: Any, log: list[dict[str, Any]], key: str, name: str, color: str) -> None:
    for kind, style, what in (("train", "--", "training"), ("validation", "-", "held out")):
        points = [(line["epoch"], line[key]) for line in log if line["kind"] == kind and key in line]
        if points:
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, style, color=color, label=f"{name}, {what}", linewidth=1.4)
