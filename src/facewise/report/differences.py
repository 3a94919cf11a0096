"""What one model does better or worse than another on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence

from facewise.evaluation.pair_intervals import Difference
from facewise.report.figure import whisker
from facewise.report.html import (
    note,
    share,
    signed,
    table,
    text,
)
from facewise.report.page import Section
from facewise.report.verification import called

_LOWER_IS_BETTER = {"eer", "fmr", "fnmr"}


def differences_section(compared: Sequence[Difference]) -> Section | None:
    """What each other model does better or worse than the first; None for one model."""
    if not compared:
        return None
    section = Section(
        "Differences",
        "differences",
        f"Each model less {compared[0].first}, on the same pairs and the same resamples; "
        f"an interval that does not hold 0 is a difference that is there. Resampled were "
        f"{compared[0].resampled}.",
    )
    for one in compared:
        figures = one.comparison.differences
        rows = [
            [
                text(called(name)),
                text(share(d.b)),
                text(share(d.a)),
                text(signed(d.difference)),
                whisker(d.low, d.difference, d.high),
                text(f"{signed(d.low)} … {signed(d.high)}"),
                text(chance(d.p_value).removeprefix("= ")),
                text(_verdict(name, d.low, d.high)),
            ]
            for name, d in figures.items()
        ]
        section.body.append(
            table(
                [
                    text(part)
                    for part in ("figure", one.first, one.model, "difference", "", "95% interval", "p", "")
                ],
                rows,
                right=(1, 2, 3, 6),
                caption=f"{one.model} less {one.first}; each bar is on a scale of its own, 0 in the middle",
            )
        )
        test = one.comparison.mcnemar
        if test is not None:
            section.body.append(
                note(
                    f"McNemar's test of the decisions: {test.only_a:,} pairs only {one.model} gets right, "
                    f"{test.only_b:,} only {one.first}; p {chance(test.p_value)}, taking pairs as "
                    "independent."
                )
            )
    return section


def chance(p: float) -> str:
    """A p-value after its name: `= 0.012`."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def _verdict(name: str, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "not told apart"
    better = (high < 0) if name in _LOWER_IS_BETTER else (low > 0)
    return "better" if better else "worse"
