"""The pairs a model is most wrong about, with their photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from facewise.evaluation.pair_protocol import PairsResult
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.report.html import (
    Html,
    grid,
    heading,
    join,
    note,
    number,
    photo,
    shown,
    text,
)
from facewise.report.page import Section
from facewise.types import Image

SHOWN = 12
"""Pairs of each contact sheet."""


Crops = Callable[[Iterable[str]], Mapping[str, Image]]
"""Gives the crops of photos by their names; those it does not have are not in what it gives."""


def hardest_section(
    names: Sequence[str],
    results: Sequence[PairsResult],
    people: Mapping[str, str],
    crops_of: Crops,
    *,
    photos: bool,
) -> Section:
    """The genuine pairs found least alike and the impostors found most alike, with their photos.

    Args:
        names: Of the models.
        results: Of the same pairs.
        people: Photo → who is on it, as far as it is known.
        crops_of: See `Crops`.
        photos: Whether to show them.
    """
    section = Section(
        "Hardest pairs",
        "hardest",
        "One person's photos found least alike, and two people's found most alike. "
        "Wrong labels in a data set show up here first.",
    )
    if not photos:
        section.body.append(note("Photos were left out on request (`--no-photos`); the pairs are named."))
    worst = [_worst(result) for result in results]
    wanted = [photo for two in worst for pairs in two for _, a, b in pairs for photo in (a, b)]
    crops = crops_of(wanted) if photos else {}
    if photos and len(crops) < len(set(wanted)):
        section.body.append(note(f"{len(set(wanted)) - len(crops):,} of these photos could not be shown."))
    for name, (genuine, impostors) in zip(names, worst, strict=True):
        of = f", {name}" if len(names) > 1 else ""
        section.body += [
            heading(f"One person, found least alike{of}"),
            _sheet(genuine, crops, people, photos=photos),
            heading(f"Two people, found most alike{of}"),
            _sheet(impostors, crops, people, photos=photos),
        ]
    return section


Scored = tuple[float, str, str]
"""Similarity, and two photos."""


def _worst(result: PairsResult) -> tuple[list[Scored], list[Scored]]:
    scored = result.scored
    order = np.argsort(scored.similarities, kind="stable")
    genuine = [i for i in order if scored.pairs[i].same][:SHOWN]
    impostors = [i for i in order[::-1] if not scored.pairs[i].same][:SHOWN]

    def told(i: int) -> Scored:
        return float(scored.similarities[i]), scored.pairs[i].a, scored.pairs[i].b

    return [told(i) for i in genuine], [told(i) for i in impostors]


def _sheet(
    pairs: Sequence[Scored], crops: Mapping[str, Image], people: Mapping[str, str], *, photos: bool
) -> Html:
    def tile(pair: Scored) -> Html:
        similarity, a, b = pair
        who = list(dict.fromkeys(people.get(name, name) for name in (a, b)))
        two = join((photo(crops.get(name), f"Face in {name}") for name in (a, b)), "") if photos else ""
        value = number(similarity) if similarity > NO_FACE_SIMILARITY else "no face"
        names = "<br>".join(text(shown(name)) for name in who)
        return Html(
            f'<div class="pair" title="{text(a)} and {text(b)}">'
            f"{f'<div class=two>{two}</div>' if photos else ''}<b>{value}</b>"
            f'<span class="who">{names}</span></div>'
        )

    return grid([tile(pair) for pair in pairs], "pairs")
