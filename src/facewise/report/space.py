"""The embedding space as charts and tables: angles, how well people part, groups found without names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.errors import FacewiseError
from facewise.gallery import cluster
from facewise.metrics.clustering import bcubed, nmi, pairwise_f
from facewise.metrics.space import embedding_space
from facewise.metrics.space_result import Angles, SpaceResult
from facewise.report.html import Html, Tile, note, number, plain_table, share, shown, tiles
from facewise.report.svg import Plot, linear
from facewise.types import FloatArray

MOST = 20_000
"""Photos measured at most: the time grows with photos times people."""

_WORST = 12
_BINS = 90


def space_body(
    name: str, vectors: FloatArray, people: Sequence[str], threshold: float | None
) -> tuple[list[Html], SpaceResult | None]:
    """Everything on one model's embeddings.

    Args:
        name: Of the model, for headings.
        vectors: (N, D) of unit length.
        people: (N,) who is on each.
        threshold: To group photos at; None leaves grouping out.

    Returns:
        Pieces of the page, and the figures; None with the reason in the pieces where there are none.
    """
    left_out: list[Html] = []
    if len(vectors) > MOST:
        kept = np.linspace(0, len(vectors) - 1, MOST).astype(int)
        left_out.append(note(f"Measured on {MOST:,} of {len(vectors):,} photos, evenly taken."))
        vectors, people = vectors[kept], [people[i] for i in kept]
    names, labels = np.unique(np.array(people, dtype=object).astype(str), return_inverse=True)
    try:
        found = embedding_space(vectors, labels, names.tolist())
    except FacewiseError as error:
        return [note(f"{name}: the embedding space cannot be measured. {error}")], None
    parts = [*left_out, tiles(_tiles(found, vectors, labels, threshold)), angle_chart(name, found)]
    parts.append(_worst(found))
    return parts, found


def _tiles(
    found: SpaceResult, vectors: FloatArray, labels: NDArray[np.int64], threshold: float | None
) -> list[Tile]:
    items = [
        Tile("Mean angle within a person", f"{math.degrees(found.intra.mean):.1f}°", "smaller is tighter"),
        Tile("Mean angle between people", f"{math.degrees(found.inter.mean):.1f}°", "90° is unrelated"),
        Tile("Silhouette", number(found.silhouette), "−1 to 1, higher is better"),
        Tile("Davies–Bouldin", number(found.davies_bouldin), "lower is better"),
        Tile("Fisher ratio", number(found.fisher_ratio), "between over within, higher is better"),
    ]
    if threshold is not None:
        grouped = cluster(vectors, min(threshold, 0.999))
        what = f"{len(np.unique(grouped)):,} groups of {found.people:,} people at {threshold:.3f}"
        items += [
            Tile("Grouping, BCubed F", share(bcubed(labels, grouped).f1), what),
            Tile("Grouping, pairwise F", share(pairwise_f(labels, grouped).f1), "1 is best"),
            Tile("Grouping, NMI", share(nmi(labels, grouped)), "1 is best"),
        ]
    return items


def angle_chart(name: str, found: SpaceResult) -> Html:
    """Histograms of the angles within and between people."""
    parts = [_shares(one) for one in (found.intra, found.inter)]
    used = np.flatnonzero(parts[0] + parts[1])
    last = min(_BINS, int(used.max(initial=0)) + 2)
    edges = np.linspace(0.0, 180.0, _BINS + 1)[: last + 1]
    top = float(max(part.max() for part in parts)) * 1.15 or 1.0
    plot = Plot(linear("angle in degrees", 0.0, float(edges[-1]), 6), linear("share of pairs", 0.0, top))
    plot.steps(edges, parts[1][:last], 1, f"two people, {found.inter.pairs:,} pairs")
    plot.steps(edges, parts[0][:last], 0, f"one person, {found.intra.pairs:,} pairs")
    rows = [
        [f"{share_:g}", *(f"{math.degrees(one.quantile(share_)):.1f}°" for one in (found.intra, found.inter))]
        for share_ in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    ]
    behind = plain_table(["share of pairs within", "one person", "two people"], rows, right=(1, 2))
    told = f"Angles between embeddings of {found.photos:,} photos of {found.people:,} people."
    return plot.figure(f"Angles, {name}", told, behind=behind)


def _shares(angles: Angles) -> NDArray[np.float64]:
    return np.asarray(angles.histogram(_BINS) / max(1, angles.pairs), np.float64)


def _worst(found: SpaceResult) -> Html:
    rows = [
        [
            shown(row.name),
            row.photos,
            number(row.silhouette),
            "–" if row.mean_angle is None else f"{math.degrees(row.mean_angle):.1f}°",
            shown(row.nearest),
            f"{math.degrees(row.nearest_angle):.1f}°",
        ]
        for row in found.worst(_WORST)
    ]
    if not rows:
        return note("Nobody has two photos, so there is nobody who parts badly.")
    columns = ["person", "photos", "silhouette", "mean angle within", "nearest other", "angle to them"]
    return plain_table(columns, rows, right=(1, 2, 3, 5), caption="People who part least from others")
