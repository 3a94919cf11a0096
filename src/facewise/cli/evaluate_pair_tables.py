"""What `facewise eval pairs` and `bin` print for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facewise.cli.evaluate_tables import interval_text, print_missing, threshold_free
from facewise.cli.output import count, say, table

if TYPE_CHECKING:
    from facewise.evaluation.bin_file import BinResult
    from facewise.evaluation.pair_intervals import Difference
    from facewise.evaluation.pair_protocol import Decided, PairsResult, RatesBy
    from facewise.metrics import Interval, OperatingPoint

_DECIDED = {"balanced_accuracy": "balanced accuracy", "f1": "F1", "fmr": "FMR", "fnmr": "FNMR"}


def print_pairs(results: Sequence[PairsResult], names: Sequence[str]) -> None:
    """A file of pairs: one model in full, or a row a model."""
    if len(results) == 1:
        _print_one(results[0])
    else:
        _print_several(results, names)
    say(f"The intervals resample {results[0].who.resampled}.")
    for name, result in zip(names, results, strict=True):
        title = f" of {name}" if len(results) > 1 else ""
        if result.decided is not None:
            _print_decided(result.decided, title)
        for rates in result.groups:
            _print_groups(rates, title)
    print_missing(results[0].scored, results[0].metrics)


def _print_one(result: PairsResult) -> None:
    folded, inside, rows = result.folded, result.metrics.intervals, []
    if folded is None:
        say(
            "No accuracy: there are too few people or photos to choose a threshold on others, or all pairs "
            "to choose it on are equally alike."
        )
    else:
        value = f"{folded.accuracy:.4f}"
        if folded.kfold is not None:
            value += f" ± {folded.kfold.standard_error:.4f}"
        rows.append(("accuracy", value, interval_text(inside["accuracy"]), _span(folded.thresholds)))
        if folded.balanced is not None:
            rows.append(("balanced accuracy", f"{folded.balanced:.4f}", "", ""))
    rows += threshold_free(result.metrics)
    table("", ("metric", "value", "95% interval", "threshold"), rows, right=(1, 2, 3))
    if folded is not None:
        say(f"Folds: {folded.how}.")
        if folded.kfold is not None:
            say("accuracy by fold: " + " ".join(f"{a:.4f}" for a in folded.kfold.accuracies))


def _print_several(results: Sequence[PairsResult], names: Sequence[str]) -> None:
    points = results[0].metrics.operating_points
    columns = ["model", "accuracy", *map(tar_name, points), "EER", "AUC"]
    rows = []
    for name, result in zip(names, results, strict=True):
        metrics, inside = result.metrics, result.metrics.intervals
        accuracy = "none" if result.folded is None else _with(result.folded.accuracy, inside["accuracy"])
        rows.append(
            (
                name,
                accuracy,
                *(_with(p.tar, inside[f"tar@fmr={p.fmr_target!r}"]) for p in metrics.operating_points),
                _with(metrics.eer, inside["eer"]),
                _with(metrics.auc, inside["auc"]),
            )
        )
    table("", columns, rows, right=range(1, len(columns)))
    if results[0].folded is not None:
        say(f"Folds: {results[0].folded.how}.")


def _print_decided(decided: Decided, title: str) -> None:
    report, inside = decided.report, decided.intervals
    values = {
        "accuracy": report.accuracy,
        "balanced_accuracy": decided.balanced,
        "precision": report.precision,
        "recall": report.recall,
        "f1": report.f1,
        "fmr": inside["fmr"].estimate,
        "fnmr": inside["fnmr"].estimate,
    }
    rows = [
        (_DECIDED.get(name, name), f"{value:.4f}", interval_text(inside[name]))
        for name, value in values.items()
    ]
    say(f"Decisions{title} at {decided.chosen.value:.4f}, {decided.chosen.source}:")
    table("", ("metric", "value", "95% interval"), rows, right=(1, 2))
    say(
        f"{report.tp} of {report.tp + report.fn} same pairs and {report.tn} of {report.tn + report.fp} "
        "different pairs right. The intervals of accuracy, FMR and FNMR resample as above, the others pairs."
    )
    if decided.fmr_of_two_faces not in (None, inside["fmr"].estimate):
        say(f"FMR of the pairs with two faces: {decided.fmr_of_two_faces:.4f}.")


def _print_groups(rates: RatesBy, title: str) -> None:
    rows = [
        (row.group, row.genuine, _exact(row.fnmr), row.impostors, _exact(row.fmr)) for row in rates.rates.rows
    ]
    by = rates.groups.by.replace("+", " and ")
    say(
        f"By {by}{title}, pairs within one group, at {rates.threshold.value:.4f} "
        f"({rates.threshold.source}); left out: {count(rates.groups.across, 'pair')} of two groups, "
        f"{rates.groups.unknown} of unknown group."
    )
    table("", (by, "same pairs", "FNMR", "different pairs", "FMR"), rows, right=(1, 2, 3, 4))
    for rate in ("fnmr", "fmr"):
        worst = rates.rates.worst_ratio(rate)
        if worst is None:
            continue
        if worst.ratio is None:
            told = f"no error was seen in {worst.best}, so there is no ratio"
        else:
            told = f"that of {worst.worst} is {worst.ratio:.2f} times that of {worst.best}"
        sure = f"by the intervals some two differ by {worst.at_least:.2f} times or more"
        say(f"{rate.upper()}: {told}; {sure if worst.at_least > 1 else 'the intervals tell no two apart'}.")


def print_bins(rows: Sequence[tuple[str, BinResult]]) -> None:
    """One row a file and model."""
    if not rows:
        return
    cells = []
    for name, result in rows:
        metrics, inside, folded = result.pairs.metrics, result.pairs.metrics.intervals, result.pairs.folded
        kfold, accuracy, interval = metrics.kfold, "none: all alike", ""
        if folded is not None and kfold is not None:
            accuracy = f"{folded.accuracy:.4f} ± {kfold.standard_error:.4f}"
            interval = interval_text(inside["accuracy"])
        last = metrics.operating_points[-1]
        cells.append(
            (
                result.title,
                name,
                metrics.pairs,
                accuracy,
                interval,
                f"{result.insightface_accuracy:.4f}",
                f"{_with(last.tar, inside[f'tar@fmr={last.fmr_target!r}'])} at {last.fmr_target:g}",
                f"{metrics.eer:.4f}",
                f"{metrics.auc:.5f}",
            )
        )
    columns = (
        "data", "model", "pairs", "accuracy", "95% interval", "as InsightFace", "TAR at FMR", "EER", "AUC"
    )  # fmt: skip
    table("", columns, cells, right=range(2, len(columns)))
    say(
        "accuracy: mean of ten folds ± its standard error, at the best threshold there is on the other "
        "folds; as InsightFace: at the best of its grid."
    )
    say(f"The intervals resample {rows[0][1].pairs.who.resampled}.")


def print_differences(compared: Sequence[Difference], title: str = "") -> None:
    """A row for every model but the first."""
    if not compared:
        return
    of = f" on {title}" if title else ""
    say(f"Differences{of} to {compared[0].first} on the same pairs:")
    rows = [
        (one.model, _figure_name(name), f"{d.b:.4f}", f"{d.a:.4f}", f"{d.difference:+.4f}",
         f"{d.low:+.4f} to {d.high:+.4f}", _small(d.p_value))
        for one in compared
        for name, d in one.comparison.differences.items()
    ]  # fmt: skip
    columns = ("model", "figure", compared[0].first, "its own", "difference", "95% interval", "p")
    table("", columns, rows, right=range(2, 7))
    say(f"They resample {compared[0].resampled}; p is of no difference, for one figure alone.")


def tar_name(point: OperatingPoint) -> str:
    """Of a rate, and whether there are impostors enough for it."""
    return f"TAR at FMR {point.fmr_target:g}" + ("" if point.supported else " (too few impostors)")


def _with(value: float, interval: Interval) -> str:
    return f"{value:.4f} ({interval_text(interval)})"


def _figure_name(name: str) -> str:
    if name.startswith("tar@fmr="):
        return f"TAR at FMR {float(name.partition('=')[2]):g}"
    return {"accuracy": name, "decided_accuracy": "accuracy as decided"}.get(name, name.upper())


def _small(p: float) -> str:
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _exact(interval: Interval | None) -> str:
    if interval is None:
        return "no pairs"
    return f"{interval.estimate:.4f} ({interval_text(interval)})"


def _span(thresholds: tuple[float, float]) -> str:
    low, high = thresholds
    return f"{low:.4f}" if f"{low:.4f}" == f"{high:.4f}" else f"{low:.4f} to {high:.4f}"
