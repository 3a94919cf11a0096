"""What a model's decisions do at every quality: the better photo of a pair against the worse one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.models import Calibration
from facewise.models.quality import QualityRule
from facewise.report.html import Html, count, heading, join, note, share, text
from facewise.report.measured import Measured
from facewise.report.page import Section

BANDS = (0.0, 0.4, 0.6, 0.8, 0.9, 0.95)
"""Where each band of quality begins; the last ends at 1."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def quality_section(models: Sequence[Measured]) -> Section | None:
    """Heat maps of the models whose calibration knows of quality; None where none does."""
    parts: list[Html] = []
    for one in models:
        calibration = one.embedder.calibration
        rule = None if calibration is None else calibration.quality
        if calibration is not None and rule is not None:
            told = _of_model(one, calibration, rule)
            parts += [heading(one.name), *told] if len(models) > 1 else told
    if not parts:
        return None
    lead = (
        "Quality is that of a photo as the model sees it, from 0, which tells nothing of a face, to 1. Where "
        "both photos of a pair are poor, more is asked of their similarity, or nothing is decided. Light and "
        "size, which `facewise verify` looks at as well, are left out here."
    )
    return Section("By quality", "quality", lead, parts)


def _of_model(one: Measured, calibration: Calibration, rule: QualityRule) -> list[Html]:
    plain = calibration.threshold_at(rule.fmr)
    if plain is None:
        return [note(f"The model file has no threshold at FMR {rule.fmr:g}, where quality was calibrated.")]
    scored = one.result.scored.with_two_faces()
    photos, vectors = one.vectors(sorted({photo for pair in scored.pairs for photo in (pair.a, pair.b)}))
    values = dict(zip(photos, rule.of(vectors).astype(float), strict=True))
    both = np.array([[values[pair.a], values[pair.b]] for pair in scored.pairs], np.float64).reshape(-1, 2)
    better, worse = both.max(axis=1), both.min(axis=1)
    needed = rule.threshold(plain, rule.fmr, plain, better)
    refused = (worse < rule.least) | ~np.isfinite(needed)
    matched = ~refused & (scored.similarities >= needed)
    kinds = (
        ("pairs of two people", "taken for one person", ~scored.same, matched, 10.0 * rule.fmr),
        ("pairs of one person", "missed", scored.same, ~refused & ~matched, 1.0),
    )
    told = [
        note(
            f"Of the photos, {np.mean(np.array(list(values.values())) < rule.least):.1%} can decide nothing "
            f"(quality below {rule.least:.2f}); {refused.mean():.1%} of the pairs are without a decision."
        )
    ]
    for what, wrong, chosen, errors, worst in kinds:
        title = f"{one.name}: {what}, {wrong} at FMR {rule.fmr:g}"
        told.append(_map(title, wrong, better[chosen], worse[chosen], errors[chosen], refused[chosen], worst))
    return told


def _map(
    title: str, wrong: str, better: Floats, worse: Floats, errors: Bools, refused: Bools, worst: float
) -> Html:
    """A row for each band of the better photo, a column for each of the worse.

    Args:
        title: What is counted.
        wrong: What an error is called.
        better: (P,) qualities.
        worse: (P,), none above `better`.
        errors: (P,) which pairs are errors.
        refused: (P,) which are without a decision.
        worst: The share of errors that has the full colour.
    """
    rows, columns = _band(better), _band(worse)
    names = [f"{low:g} to {high:g}" for low, high in zip(BANDS, (*BANDS[1:], 1.0), strict=True)]
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    body = []
    for i, name in enumerate(names):
        cells = [
            _cell(f"better {name}, worse {names[j]}", wrong, errors[at], refused[at], worst)
            if (at := (rows == i) & (columns == j)).any()
            else Html("<td></td>")
            for j in range(len(names))
        ]
        body.append(Html(f'<tr><th scope="row">{text(name)}</th>{join(cells, "")}</tr>'))
    told = (
        f"{title}. Rows: quality of the better photo. Columns: of the worse. In each cell the share {wrong}, "
        "the share without a decision, and the pairs."
    )
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(title)}">'
        f'<table class="matrix"><caption>{text(told)}</caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>\n{join(body)}\n</tbody></table></div>"
    )


def _band(values: Floats) -> NDArray[np.int64]:
    return np.searchsorted(np.array(BANDS), values, side="right") - 1


def _cell(where: str, wrong: str, errors: Bools, refused: Bools, worst: float) -> Html:
    rate, pairs = float(errors.mean()), count(len(errors), "pair")
    told = f"{where}: {share(rate)} {wrong}, {refused.mean():.1%} without a decision, {pairs}"
    strength = 0.5 * min(1.0, rate / worst)
    return Html(
        f'<td title="{text(told)}" style="background:rgba(var(--miss), {strength:.2f})"><b>'
        f"{text(share(rate))}</b><small>{refused.mean():.0%} undecided</small>"
        f"<small>{text(pairs)}</small></td>"
    )
