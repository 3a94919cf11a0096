"""What to choose with so many photos, in a few plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from facewise.methods.names import FULL, photos_a_person
from facewise.methods.result import Cell, duration
from facewise.training.differences import Difference

ALIKE = 0.02
"""As good as the best is what it leads by no more than noise, and surely by no more than this."""


@dataclass(frozen=True, slots=True)
class _Behind:
    """A method and how far it is behind the best."""

    cell: Cell
    pair: Difference

    @property
    def words(self) -> str:
        return f"{self.pair.estimate:.3f} ± {(self.pair.high - self.pair.low) / 2:.3f}"


def verdicts(
    shots: Sequence[str], cells: Sequence[Cell], differences: Sequence[Difference]
) -> dict[str, str]:
    """For each number of photos, which method is best, and which is as good and takes less.

    Args:
        shots: In order.
        cells: What was measured.
        differences: Of every two methods with the same number of photos.
    """
    found = {}
    for k in shots:
        mine = [cell for cell in cells if cell.shots == k]
        pairs = {frozenset((d.first, d.second)): d for d in differences if d.metric == f"accuracy@{k}"}
        if len(mine) > 1:
            found[k] = _begin(k) + _verdict(mine, pairs)
    return found


def _begin(shots: str) -> str:
    if shots == FULL:
        return "With all photos to learn from, "
    return f"With {photos_a_person(shots)}, "


def _verdict(cells: Sequence[Cell], pairs: Mapping[frozenset[str], Difference]) -> str:
    # Of equally good ones the quicker.
    best = max(cells, key=lambda cell: (cell.accuracy.mean, -cell.fit_s))
    behind = [
        _Behind(cell, pair)
        for cell in cells
        if (pair := pairs.get(frozenset((best.method, cell.method)))) is not None
    ]
    worse = [one for one in behind if one.pair.beyond_noise]
    alike = [one for one in behind if not one.pair.beyond_noise and one.pair.high <= ALIKE]
    unsure = [one for one in behind if one not in worse and one not in alike]
    quickest = min(alike, key=lambda one: one.cell.fit_s, default=None)
    if quickest is not None and quickest.cell.fit_s < best.fit_s:
        text = (
            f"{quickest.cell.method} ({_mean(quickest.cell)}) is as good as {best.method} ({_mean(best)}; "
            f"difference {quickest.words}) and takes {_share(quickest.cell.fit_s, best.fit_s)} of the time."
        )
        alike = [one for one in alike if one is not quickest]
    elif alike:
        text = f"{best.method} ({_mean(best)}) is as good as any and the quickest, {duration(best.fit_s)}."
    else:
        text = (
            f"{best.method} ({_mean(best)}) is ahead{'' if unsure else ' of all others by more than noise'}."
        )
    if alike:
        text += f" As good: {_list(one.cell.method for one in alike)}."
    if unsure:
        named = _list(f"{one.cell.method} (behind by {one.words})" for one in unsure)
        text += f" Perhaps as good, which more seeds or photos would tell: {named}."
    if worse:
        named = _list(f"{one.cell.method} ({_mean(one.cell)})" for one in worse)
        text += f" Worse, by more than noise: {named}."
    return text


def _mean(cell: Cell) -> str:
    return f"{cell.accuracy.mean:.3f}"


def _share(part: float, whole: float) -> str:
    """`1/200`, rounded to two figures; `80%` where it is not much less."""
    ratio = whole / max(part, 1e-9)
    if ratio < 1.5:
        return f"{part / whole:.0%}"
    return f"1/{float(f'{ratio:.2g}'):.0f}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
