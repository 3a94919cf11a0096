"""What `facewise eval folder` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facewise.cli.evaluate_pair_tables import tar_name
from facewise.cli.evaluate_tables import interval_text, named
from facewise.cli.output import count, say, table

if TYPE_CHECKING:
    from facewise.evaluation.folder_protocol import FolderResult
    from facewise.evaluation.shots import Spread


def print_folder(results: Sequence[FolderResult], names: Sequence[str]) -> None:
    """All pairs, then identification: a row a model each."""
    first = results[0].verification.metrics
    rows = []
    for name, result in zip(names, results, strict=True):
        found, inside = result.verification, result.verification.intervals
        for point, mean in zip(found.metrics.operating_points, found.tar_by_person, strict=True):
            interval = inside.get(f"tar@fmr={point.fmr_target!r}")
            rows.append(
                (
                    name,
                    tar_name(point),
                    f"{point.tar:.4f}",
                    "" if interval is None else interval_text(interval),
                    f"{mean:.4f}",
                    f"{point.threshold:.4f}",
                )
            )
        rows.append((name, "EER", f"{found.metrics.eer:.4f}", "", "", f"{found.metrics.eer_threshold:.4f}"))
        auc = "" if "auc" not in inside else interval_text(inside["auc"])
        rows.append((name, "AUC", f"{found.metrics.auc:.5f}", auc, "", ""))
    say(f"All pairs: {first.genuine} of one person, {first.impostors} of two.")
    columns = ("model", "metric", "value", "95% interval", "mean over people", "threshold")
    table("", columns, rows, right=(2, 3, 4, 5))
    if results[0].verification.intervals:
        say("The intervals resample people with all their pairs; thresholds and impostors stay.")
    _print_shots(results, names)
    for name, result in zip(names, results, strict=True):
        hardest = result.verification.hardest[:5]
        if hardest:
            at = result.verification.metrics.operating_points[-1].fmr_target
            told = ", ".join(f"{p.name} ({p.missed} of {p.pairs} pairs)" for p in hardest)
            say(f"Missed most by {name} at FMR {at:g}: {told}.")
    _print_missing(results[0])


def _print_missing(result: FolderResult) -> None:
    """What became of photos of no use."""
    if result.unreadable:
        say(f"{count(len(result.unreadable), 'photo')} unreadable: left out.")
    if not result.without_face:
        return
    pairs = result.verification
    genuine, impostors = pairs.two_faces
    wrongly, rightly = pairs.metrics.genuine - genuine, pairs.metrics.impostors - impostors
    say(
        f"{count(len(result.without_face), 'photo')} without a face: their pairs count as different people, "
        f"{wrongly} of them wrongly and {rightly} rightly: {named(result.without_face)}."
    )
    rates = [f"{rate:.3g} at the threshold of FMR {at}" for at, rate in pairs.fmr_of_two_faces().items()]
    if rates:
        say(f"FMR of the pairs with two faces: {', '.join(rates)}.")


def _print_shots(results: Sequence[FolderResult], names: Sequence[str]) -> None:
    if not results[0].identification:
        return
    one = results[0].identification[0].results
    open_set = [point.fpir_target for point in one[0].open_set]
    say(
        f"Identification in {count(len(one), 'random gallery', 'random galleries')} of {one[0].gallery} "
        f"people, {one[0].mated} probes of them, {one[0].strangers} of strangers in the first: mean ± "
        "standard deviation, least to greatest."
    )
    rows = [
        (name, shots.shots, *(_spread(spread) for spread in shots.figures.values()))
        for name, result in zip(names, results, strict=True)
        for shots in result.identification
    ]
    columns = ("model", "photos a person", "rank-1", "rank-5", *(f"DIR at FPIR {f:g}" for f in open_set))
    table("", columns, rows, right=range(1, len(columns)))
    if not open_set:
        say("No strangers: nobody has too few photos to be enrolled; --strangers 0.3 sets people aside.")


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.4f} ± {spread.deviation:.4f} ({spread.low:.4f} to {spread.high:.4f})"
