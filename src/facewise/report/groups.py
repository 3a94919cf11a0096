"""Error rates by group of people: who is served worse."""

from __future__ import annotations

from collections.abc import Sequence

from facewise.evaluation.pair_protocol import PairsResult, RatesBy
from facewise.metrics.groups import Rate
from facewise.report.html import (
    note,
    plain_table,
    share,
    span,
)
from facewise.report.page import Section


def groups_section(names: Sequence[str], results: Sequence[PairsResult]) -> Section | None:
    """Error rates by group, where groups were given."""
    if not results[0].groups:
        return None
    section = Section(
        "Groups",
        "groups",
        "Who is served worse? Error rates of the pairs within each group, all at one threshold. The "
        "intervals are exact, taking pairs as independent.",
    )
    for name, result in zip(names, results, strict=True):
        for part in result.groups:
            rows = [
                [
                    row.group,
                    f"{row.genuine:,}",
                    share(row.fnmr.estimate) if row.fnmr else "–",
                    span(row.fnmr),
                    f"{row.impostors:,}",
                    share(row.fmr.estimate) if row.fmr else "–",
                    span(row.fmr),
                ]
                for row in part.rates.rows
            ]
            columns = ["group", "genuine", "FNMR", "interval", "impostors", "FMR", "interval"]
            title = f"{name}, by {part.groups.by}, at {part.threshold.value:.4f} ({part.threshold.source})"
            section.body.append(plain_table(columns, rows, right=range(1, 7), caption=title))
            section.body.append(note(" ".join(_ratios(part)) + _outside(part)))
    return section


def _ratios(part: RatesBy) -> list[str]:
    told = []
    rates: tuple[tuple[Rate, str], ...] = (("fnmr", "false non-match"), ("fmr", "false match"))
    for rate, what in rates:
        found = part.rates.worst_ratio(rate)
        if found is None:
            told.append(f"Fewer than two groups have pairs for a {what} rate.")
            continue
        times = (
            "cannot be divided, as the best made no error" if found.ratio is None else f"is {found.ratio:.2f}"
        )
        told.append(
            f"The worst {what} rate ({found.worst}) over the best ({found.best}) {times}; it is at least "
            f"{found.at_least:.2f} at 95%."
        )
    return told


def _outside(part: RatesBy) -> str:
    groups = part.groups
    return f" Left out here: {groups.across:,} pairs of two groups, {groups.unknown:,} of unknown group."
