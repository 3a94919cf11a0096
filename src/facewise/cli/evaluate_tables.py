"""What `facewise eval` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facewise.cli.output import count, say, table

if TYPE_CHECKING:
    from facewise.evaluation import LfwResult, OneShotResult, ScoredPairs, View1Result
    from facewise.metrics import Interval, KFold, VerificationResult
    from facewise.pipeline import Pipeline

MOST_NAMED = 20
"""Photos named in a line; JSON names all."""


def print_view_2(result: LfwResult, pipeline: Pipeline, seconds: float) -> None:
    """LFW View 2."""
    metrics = result.metrics
    fold, balanced = metrics.kfold, result.balanced
    if fold is None:
        raise RuntimeError("the protocol has folds")
    say(f"LFW {result.protocol}, {result.scored.photos} photos, {seconds:.1f} s")
    say(models_text(pipeline))
    inside = metrics.intervals
    folds = f"{len(fold.accuracies)} folds"
    rows = [
        (f"accuracy, {folds}", with_error(fold), interval_text(inside["accuracy"]), ""),
        (
            f"balanced accuracy, {folds}",
            "a fold lacks a kind" if balanced is None else with_error(balanced),
            "",
            "",
        ),
        *threshold_free(metrics),
    ]
    table("", ("metric", "value", "95% interval", "threshold"), rows, right=(1, 2, 3))
    say("accuracy by fold: " + " ".join(f"{a:.4f}" for a in fold.accuracies))
    say(f"The intervals resample {result.resampled}.")
    _say_faces(result.scored)
    print_missing(result.scored, result.metrics)


def print_view_1(result: View1Result, pipeline: Pipeline, seconds: float) -> None:
    """A threshold from some pairs, and how it does on others."""
    train, test, report, inside = result.train, result.test, result.report, result.intervals
    left_out = "" if result.left_out is None else f" ({result.left_out})"
    photos = train.photos + test.photos
    say(f"LFW {result.protocol}, {len(test.pairs)} pairs{left_out}, {photos} photos, {seconds:.1f} s")
    say(models_text(pipeline))
    say(
        f"Threshold {result.threshold:.4f}, the most accurate of {len(train.pairs)} other pairs "
        f"({result.train_accuracy:.4f} of them right)"
    )
    decided = {
        "accuracy": report.accuracy,
        "balanced accuracy": result.balanced_accuracy,
        "precision": report.precision,
        "recall": report.recall,
        "F1": report.f1,
    }
    rows = [
        (
            name,
            f"{value:.4f}",
            interval_text(inside[name.lower().replace(" ", "_")]),
            f"{result.threshold:.4f}",
        )
        for name, value in decided.items()
    ]
    rows += threshold_free(result.metrics)
    table("", ("metric", "value", "95% interval", "threshold"), rows, right=(1, 2, 3))
    say(
        f"{report.tp} of {result.metrics.genuine} same pairs and {report.tn} of {result.metrics.impostors} "
        f"different pairs right. The intervals resample {result.resampled}; those of balanced accuracy, "
        "precision, recall and F1 resample pairs."
    )
    _say_faces(train, test)
    for part, metrics in ((train, None), (test, result.metrics)):
        print_missing(part, metrics)


def threshold_free(metrics: VerificationResult) -> list[tuple[str, str, str, str]]:
    """Rows of what needs no threshold from other pairs."""
    inside, rows = metrics.intervals, []
    for point in metrics.operating_points:
        name = f"TAR at FMR {point.fmr_target:g}" + ("" if point.supported else " (too few impostors)")
        interval = interval_text(inside[f"tar@fmr={point.fmr_target!r}"])
        rows.append((name, f"{point.tar:.4f}", interval, f"{point.threshold:.4f}"))
    rows.append(("EER", f"{metrics.eer:.4f}", interval_text(inside["eer"]), f"{metrics.eer_threshold:.4f}"))
    rows.append(("AUC", f"{metrics.auc:.5f}", interval_text(inside["auc"]), ""))
    return rows


def _say_faces(*parts: ScoredPairs) -> None:
    if not any(part.affected or part.unreadable for part in parts):
        say("A face was found in every photo.")


def print_missing(scored: ScoredPairs, metrics: VerificationResult | None = None) -> None:
    """What became of photos of no use, and which FMR that leaves where it made the measured one lower."""
    if scored.unreadable:
        bad = count(len(scored.unreadable), "photo")
        say(f"{bad} unreadable: {count(scored.left_out, 'pair')} left out.")
    if not scored.affected:
        return
    faceless, same = scored.without_face, scored.same[~scored.two_faces]
    say(
        f"{count(len(faceless), 'photo')} without a face: {count(scored.affected, 'pair')} count as "
        f"different people, {int(same.sum())} wrongly and {int((~same).sum())} rightly: {named(faceless)}."
    )
    if metrics is None or same.all():
        return
    rates = [
        f"{rate:.3g} at the threshold of FMR {point.fmr_target:g}"
        for point in metrics.operating_points
        if (rate := scored.fmr_of_two_faces(point.threshold)) is not None
    ]
    if rates:
        say(f"FMR of the pairs with two faces: {', '.join(rates)}.")


def named(photos: Sequence[str]) -> str:
    """The first photos by name."""
    told = ", ".join(photos[:MOST_NAMED])
    more = len(photos) - MOST_NAMED
    return f"{told} and {more} more (--json names all)" if more > 0 else told


def models_text(pipeline: Pipeline) -> str:
    """Which models, and whether with flip averaging."""
    flip = "with" if pipeline.embedder.flip else "without"
    return f"{pipeline.detector.name} + {pipeline.embedder.name}, {flip} flip averaging"


def with_error(fold: KFold) -> str:
    """A mean of folds and its standard error."""
    return f"{fold.mean:.4f} ± {fold.standard_error:.4f}"


def print_one_shot(result: OneShotResult) -> None:
    """Identification from one photo a person."""
    metrics = result.metrics
    say(
        f"One-shot identification: {metrics.gallery} people with one photo each, "
        f"{metrics.mated} probes of them, "
        f"{metrics.strangers} photos of strangers"
    )
    rows = [("rank-1", f"{metrics.rank1:.4f}", ""), ("rank-5", f"{metrics.cmc[4]:.4f}", "")]
    rows += [
        (f"DIR at FPIR {p.fpir_target:g}", f"{p.dir:.4f}", f"{p.threshold:.4f}") for p in metrics.open_set
    ]
    table("", ("metric", "value", "threshold"), rows, right=(1, 2))
    known, strangers = result.faceless_probes
    if known or strangers:
        say(
            f"{count(known + strangers, 'probe')} without a face: {known} count as missed, {strangers} of "
            "strangers as rightly given no name."
        )


def interval_text(interval: Interval) -> str:
    """Its two ends."""
    return f"{interval.low:.4f} to {interval.high:.4f}"
