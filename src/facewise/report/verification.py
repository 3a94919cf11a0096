"""Sections on telling same from different: figures, curves, differences between models, groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facewise.evaluation.pair_protocol import PairsResult
from facewise.metrics import Interval, roc
from facewise.report.html import (
    Html,
    Tile,
    grid,
    note,
    plain_table,
    share,
    span,
    table,
    text,
    tiles,
)
from facewise.report.page import Section
from facewise.report.svg import Plot, dash, deviate, linear, logarithmic

_CALLED = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "eer": "EER",
    "decided_accuracy": "Accuracy at the stored threshold",
    "fmr": "FMR at the stored threshold",
    "fnmr": "FNMR at the stored threshold",
}


def called(name: str) -> str:
    """What people call a figure."""
    return _CALLED.get(name, name.replace("tar@fmr=", "TAR at FMR "))


def figures(result: PairsResult) -> dict[str, tuple[float, Interval | None]]:
    """Headline figures with their intervals, by name, the most telling first."""
    metrics, intervals = result.metrics, result.metrics.intervals
    found: dict[str, tuple[float, Interval | None]] = {}
    if result.folded is not None:
        found["accuracy"] = result.folded.accuracy, intervals.get("accuracy")
    for point in metrics.operating_points[:-3:-1]:  # the two lowest rates, the lowest first
        name = f"tar@fmr={point.fmr_target!r}"
        found[name] = point.tar, intervals.get(name)
    found["auc"] = metrics.auc, intervals.get("auc")
    found["eer"] = metrics.eer, intervals.get("eer")
    if result.decided is not None:
        for name in ("fmr", "fnmr"):
            interval = result.decided.intervals[name]
            found[name] = interval.estimate, interval
    return found


def headline(names: Sequence[str], results: Sequence[PairsResult]) -> Html:
    """Tiles of one model; of several one table."""
    if len(results) == 1:
        return tiles(
            [
                Tile(called(name), share(value), span(one))
                for name, (value, one) in figures(results[0]).items()
            ]
        )
    return side_by_side(names, [figures(result) for result in results])


def side_by_side(names: Sequence[str], columns: Sequence[dict[str, tuple[float, Interval | None]]]) -> Html:
    """One row a figure, one column a model; what one of them does not have is a dash."""
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [[text(called(key)), *(_cell(column.get(key)) for column in columns)] for key in keys]
    return table(
        [text("95% intervals below"), *map(text, names)],
        rows,
        right=range(1, 1 + len(names)),
        caption="The headline figures side by side",
    )


def _cell(found: tuple[float, Interval | None] | None) -> Html:
    if found is None:
        return text("–")
    interval = f"<small>{text(span(found[1]))}</small>" if found[1] is not None else ""
    return Html(f"{text(share(found[0]))}{interval}")


def verification_section(names: Sequence[str], results: Sequence[PairsResult]) -> Section:
    """Operating points, ROC and DET."""
    first = results[0]
    section = Section(
        "Same or different",
        "verification",
        f"{first.metrics.genuine:,} pairs of one person and {first.metrics.impostors:,} of two, each model "
        "asked how alike they are. FMR is the share of pairs of two people taken for one, TAR the share of "
        "pairs of one person that are accepted, FNMR the share that is not. The intervals resample "
        f"{first.who.resampled}.",
    )
    if first.folded is None:
        section.body.append(note("There are too few people or photos for folds, so there is no accuracy."))
    else:
        section.body.append(note(f"Accuracy is at thresholds chosen on other folds: {first.folded.how}."))
    columns = ["model", "FMR asked for", "threshold", "FMR measured", "TAR", "95% interval", "FNMR"]
    rows = [
        [
            name,
            f"{point.fmr_target:g}",
            f"{point.threshold:.4f}",
            share(point.fmr),
            share(point.tar),
            span(result.metrics.intervals.get(f"tar@fmr={point.fmr_target!r}")),
            share(point.fnmr),
        ]
        for name, result in zip(names, results, strict=True)
        for point in result.metrics.operating_points
    ]
    section.body += [
        plain_table(columns, rows, right=range(1, 7), caption="Thresholds set by a false match rate"),
        grid([roc_chart(names, results), det_chart(names, results)]),
    ]
    return section


def roc_chart(names: Sequence[str], results: Sequence[PairsResult]) -> Html:
    """TAR by FMR, the latter on a logarithmic axis down to one impostor pair."""
    curves = [roc(result.scored.similarities, result.scored.same) for result in results]
    least = 1.0 / max(result.metrics.impostors for result in results)
    floor = min(float(curve.tar[curve.fmr <= max(1e-3, 2 * least)].max(initial=0.0)) for curve in curves)
    low = max(0.0, np.floor(floor * 10 - 0.5) / 10)
    plot = Plot(logarithmic("false match rate", least, 1.0), linear("true accept rate", low, 1.0))
    for i, (name, curve) in enumerate(zip(names, curves, strict=True)):
        plot.line(curve.fmr, curve.tar, i, dashes=dash(i), name=name, step=True)
    told = (
        "How many genuine pairs are accepted, by how many impostors are: higher and further left is better."
    )
    if low > 0:
        told += f" The upright axis begins at {low:g}."
    rows = [
        [name, f"{rate:g}", share(float(curve.tar[curve.fmr <= rate].max(initial=0.0)))]
        for name, curve in zip(names, curves, strict=True)
        for rate in (1e-4, 1e-3, 1e-2, 1e-1)
        if rate >= least
    ]
    behind = plain_table(["model", "FMR at most", "TAR"], rows, right=(1, 2))
    return plot.figure("ROC", told, behind=behind)


def det_chart(names: Sequence[str], results: Sequence[PairsResult]) -> Html:
    """FNMR by FMR, both on normal deviate axes."""
    curves = [roc(result.scored.similarities, result.scored.same) for result in results]
    low_x = max(1e-6, 0.5 / max(result.metrics.impostors for result in results))
    low_y = max(1e-6, 0.5 / max(result.metrics.genuine for result in results))
    plot = Plot(deviate("false match rate", low_x, 0.6), deviate("false non-match rate", low_y, 0.6))
    for i, (name, curve) in enumerate(zip(names, curves, strict=True)):
        seen = (curve.fmr <= 0.6) & (curve.fnmr <= 0.6)
        plot.line(curve.fmr[seen], curve.fnmr[seen], i, dashes=dash(i), name=name, step=True)
    told = (
        "Both errors on normal deviate axes: lower and further left is better, and scores that are normal "
        "make a straight line. A rate of 0 lies on the edge."
    )
    rows = [
        [name, f"{rate:g}", share(float(curve.fnmr[curve.fmr <= rate].min(initial=1.0)))]
        for name, curve in zip(names, curves, strict=True)
        for rate in (1e-4, 1e-3, 1e-2, 1e-1)
        if rate >= 2 * low_x
    ]
    behind = plain_table(["model", "FMR at most", "FNMR"], rows, right=(1, 2))
    return plot.figure("DET", told, behind=behind)
