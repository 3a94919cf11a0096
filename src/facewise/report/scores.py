"""Sections on the scores themselves: how they lie, what they mean as probabilities, the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.evaluation.folds import Folds
from facewise.evaluation.pair_protocol import PairsResult
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.metrics.probability import Reliability, brier, log_loss, reliability
from facewise.models import Calibration
from facewise.report.fold_map import probabilities_by_fold
from facewise.report.html import (
    Html,
    Tile,
    grid,
    note,
    plain_table,
    share,
    span,
    tiles,
)
from facewise.report.page import Section
from facewise.report.svg import Plot, linear

_BINS = 60


def scores_section(names: Sequence[str], results: Sequence[PairsResult]) -> Section:
    """A histogram a model."""
    section = Section(
        "Scores",
        "scores",
        "Where the similarities of genuine and of impostor pairs lie: the less they overlap, the better. "
        "Each kind is drawn as shares of its own pairs.",
    )
    section.body.append(grid([_histogram(*one) for one in zip(names, results, strict=True)]))
    for name, result in zip(names, results, strict=True):
        if result.scored.affected:
            section.body.append(
                note(
                    f"{name}: {result.scored.affected:,} pairs have a photo without a face; they count "
                    f"as the least alike ({NO_FACE_SIMILARITY:g}) and are not drawn."
                )
            )
    return section


def _histogram(name: str, result: PairsResult) -> Html:
    scores, same = result.scored.similarities, result.scored.same
    drawn = scores > NO_FACE_SIMILARITY
    low, high = float(scores[drawn].min(initial=1.0)), float(scores[drawn].max(initial=0.0))
    edges = np.linspace(low, max(high, low + 0.01), _BINS + 1)
    parts = [np.histogram(scores[kind & drawn], edges)[0] / max(1, int(kind.sum())) for kind in (same, ~same)]
    top = float(max(part.max() for part in parts)) * 1.25
    plot = Plot(linear("similarity", float(edges[0]), float(edges[-1])), linear("share of pairs", 0.0, top))
    plot.steps(edges, parts[1], 1, "two people")
    plot.steps(edges, parts[0], 0, "one person")
    point = result.metrics.operating_points[-1]
    plot.rule(point.threshold, f"FMR {point.fmr_target:g}: {point.threshold:.3f}")
    if result.decided is not None:
        chosen = result.decided.chosen
        plot.rule(chosen.value, f"stored: {chosen.value:.3f}", row=1)
    rows = [
        [f"{a:.3f} to {b:.3f}", share(float(g)), share(float(i))]
        for a, b, g, i in zip(edges[:-1], edges[1:], *parts, strict=True)
    ]
    behind = plain_table(["similarity", "of genuine", "of impostors"], rows, right=(1, 2))
    told = f"The line is the threshold these pairs give for a false match rate of {point.fmr_target:g}."
    return plot.figure(name, told, behind=behind)


def probability_section(
    names: Sequence[str],
    results: Sequence[PairsResult],
    calibrations: Sequence[Calibration | None],
    folds: Folds | None,
) -> Section:
    """A reliability diagram a model, of its stored map or of one fitted on other folds."""
    section = Section(
        "Probabilities",
        "probabilities",
        "A calibrated probability keeps its word: of the pairs said to be of one person with 0.8, "
        "eight in ten are. The bars around the points are exact 95% intervals.",
    )
    figures, told = [], []
    for name, result, calibration in zip(names, results, calibrations, strict=True):
        stated, source = stated_probabilities(result, calibration, folds)
        if stated is None:
            section.body.append(note(f"{name}: {source}"))
            continue
        same = result.scored.same
        found = reliability(stated, same, 10)
        figures.append(_diagram(name, source, found))
        if len(names) > 1:
            told.append(
                [name, share(found.expected_error), share(brier(stated, same)), share(log_loss(stated, same))]
            )
            continue
        section.body.append(
            tiles(
                [
                    Tile(f"Calibration error (ECE), {name}", share(found.expected_error), source),
                    Tile("Brier score", share(brier(stated, same)), "0 is best, 0.25 is a coin"),
                    Tile("Log loss", share(log_loss(stated, same)), "in nats; 0 is best, 0.693 is a coin"),
                ]
            )
        )
    if told:
        columns = ["model", "calibration error (ECE)", "Brier score", "log loss"]
        section.body.append(plain_table(columns, told, right=(1, 2, 3)))
    if figures:
        section.body.append(grid(figures))
    return section


def stated_probabilities(
    result: PairsResult, calibration: Calibration | None, folds: Folds | None
) -> tuple[NDArray[np.float64] | None, str]:
    """(P,) the probability of each pair to be of one person, and its source; or None and why."""
    scored = result.scored
    own = None if calibration is None else calibration.score_map
    here = calibration is not None and calibration.data_hash == scored.data_hash
    if own is not None and calibration is not None and not here:
        prior = float(scored.same.mean())
        told = f"the model's own map, fitted on {calibration.dataset}, at these pairs' share of genuine ones"
        return own.probabilities(scored.similarities, prior), told
    why = "the stored map was fitted on these very pairs" if own is not None else "the model file has no map"
    if folds is None:
        return None, f"No reliability can be shown: {why}, and there are too few people for folds."
    fitted = probabilities_by_fold(scored.similarities, scored.same, folds)
    if fitted is None:
        return None, f"No reliability can be shown: {why}, and a fold leaves one kind of pair to fit on."
    return fitted, f"{why}: a logistic map fitted on the other folds"


def _diagram(name: str, source: str, found: Reliability) -> Html:
    plot = Plot(linear("stated probability", 0.0, 1.0), linear("share that is of one person", 0.0, 1.0))
    plot.diagonal()
    bins = found.bins
    stated = [one.probability for one in bins]
    plot.points(
        stated,
        [one.frequency.estimate for one in bins],
        0,
        low=[one.frequency.low for one in bins],
        high=[one.frequency.high for one in bins],
    )
    rows = [
        [
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.pairs:,}",
            share(one.probability),
            share(one.frequency.estimate),
            span(one.frequency),
        ]
        for one in bins
    ]
    columns = ["stated", "pairs", "mean stated", "of one person", "interval"]
    behind = plain_table(columns, rows, right=range(1, 5))
    told = f"{source[0].upper()}{source[1:]}. On the diagonal a probability is what it says."
    return plot.figure(f"Reliability, {name}", told, behind=behind)
