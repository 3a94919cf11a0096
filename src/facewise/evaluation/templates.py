"""Templates: many photos of a person pooled into one vector, and pairs of templates compared.

As in the published evaluation of IJB-B and IJB-C, InsightFace's `recognition/_evaluation_/ijb/ijb_11.py`
(Deng et al. 2019, "ArcFace"), after Cao et al. 2018, "VGGFace2": photos are averaged within a medium, so that
a video of a thousand frames counts as one photo, media are added up, and the sum is brought to unit length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.types import FloatArray

_ROWS = 4096
"""Photos pooled at once, in float64."""

_CELLS = 2**23
"""Similarities computed at once: 32 MB."""

_PRODUCT_GAIN = 64
"""How many similarities of a matrix product cost as much as one pair on its own, on the safe side: 140 were
measured on one core with 512 numbers a template (benchmarks/ijb.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """One vector a template.

    Attributes:
        features: (T, D) float32 of unit length; zeros where there is none.
        there: (T,) bool, False for a template without a usable photo.
    """

    features: FloatArray
    there: NDArray[np.bool_]


def pool_templates(
    features: ArrayLike,
    templates: ArrayLike,
    media: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    count: int | None = None,
) -> Templates:
    """Sum over media of the mean over a medium's photos, to unit length.

    A photo's weight multiplies its features before the mean, which still divides by the number of photos:
    so the published evaluation uses the detector score, and the length of the features where they have one.

    Args:
        features: (N, D) one row a photo; unusable photos are left out by the caller.
        templates: (N,) integers from 0, the template of each photo.
        media: (N,) integers, the medium of each; the same number in another template is another medium.
        weights: (N,) 0 or more, or None for 1 each.
        count: Number of templates T; None is the largest of `templates` plus 1.

    Raises:
        DatasetError: Shapes that do not match, numbers that are not finite, or a template out of range.
    """
    rows = np.asarray(features)
    place, medium = np.asarray(templates, np.int64), np.asarray(media, np.int64)
    factor = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    if rows.ndim != 2 or not place.shape == medium.shape == factor.shape == (len(rows),):
        raise DatasetError("Pooling needs one template, one medium and one weight for each row of features.")
    total = (int(place.max()) + 1 if len(place) else 0) if count is None else count
    if len(place) and not 0 <= place.min() <= place.max() < total:
        raise DatasetError(f"A photo belongs to a template outside 0 to {total - 1}.")
    if not (np.isfinite(rows).all() and np.isfinite(factor).all() and bool((factor >= 0).all())):
        raise DatasetError("Features and weights must be finite, and weights 0 or more.")
    order = np.lexsort((medium, place))
    share = factor[order] / _frames(place[order], medium[order])
    sums = np.zeros((total, rows.shape[1]))
    for start in range(0, len(order), _ROWS):
        chosen = order[start : start + _ROWS]
        weighted = rows[chosen].astype(np.float64) * share[start : start + _ROWS, np.newaxis]
        mine = place[chosen]
        begins = np.flatnonzero(np.diff(mine, prepend=-1))
        sums[mine[begins]] += np.add.reduceat(weighted, begins, axis=0)
    return _unit(sums)


def _frames(templates: NDArray[np.int64], media: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many photos each one's medium has in its template; sorted by template, then medium."""
    if not len(templates):
        return np.zeros(0, np.int64)
    new = np.append(True, (np.diff(templates) != 0) | (np.diff(media) != 0))
    group = np.cumsum(new) - 1
    counts: NDArray[np.int64] = np.bincount(group)[group]
    return counts


def _unit(sums: NDArray[np.float64]) -> Templates:
    lengths = np.linalg.norm(sums, axis=1)
    there = lengths > 1e-12
    features = np.divide(sums, lengths[:, np.newaxis], out=np.zeros_like(sums), where=there[:, np.newaxis])
    return Templates(features.astype(np.float32), there)


def pair_similarities(
    templates: Templates, first: NDArray[np.integer], second: NDArray[np.integer]
) -> FloatArray:
    """Cosine similarity of pairs of templates, millions of them.

    Protocols pair each of some templates with most of some others, so pairs that share their first template
    are read off a matrix product wherever that is cheaper than one product a pair.

    Args:
        templates: T templates.
        first: (P,) integers in 0 … T - 1.
        second: (P,) likewise.

    Returns:
        (P,) float32 in [-1, 1]; `NO_FACE_SIMILARITY` where a template has no vector.

    Raises:
        DatasetError: Shapes that do not match, or a template out of range.
    """
    total = len(templates.there)
    if first.ndim != 1 or first.shape != second.shape:
        raise DatasetError(
            f"Pairs need as many first as second templates, not {first.shape}, {second.shape}."
        )
    for side in (first, second):
        if len(side) and not 0 <= side.min() <= side.max() < total:
            raise DatasetError(f"A pair names a template outside 0 to {total - 1}.")
    scores = np.empty(len(first), np.float32)
    # The published lists are in this order already; sorting them would cost more than all else here.
    order = None if (first[1:] >= first[:-1]).all() else np.argsort(first, kind="stable")
    ranked = first if order is None else first[order]
    step = max(1, _CELLS // max(1, total))
    for low in range(0, total, step):
        start, end = np.searchsorted(ranked, [low, low + step])
        part = slice(start, end) if order is None else order[start:end]
        if end > start:
            scores[part] = _block_similarities(templates.features, ranked[start:end], second[part])
    np.clip(scores, -1.0, 1.0, out=scores)
    if not templates.there.all():
        scores[~(templates.there[first] & templates.there[second])] = NO_FACE_SIMILARITY
    return scores


def _block_similarities(
    features: FloatArray, first: NDArray[np.integer], second: NDArray[np.integer]
) -> FloatArray:
    rows, row = _used(first, len(features))
    columns, column = _used(second, len(features))
    if len(rows) * len(columns) <= _PRODUCT_GAIN * len(first):
        product = features[rows] @ features[columns].T
        chosen: FloatArray = product[row, column]
        return chosen
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), _ROWS):
        part = slice(start, start + _ROWS)
        scores[part] = np.einsum("nd,nd->n", features[first[part]], features[second[part]])
    return scores


def _used(places: NDArray[np.integer], total: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The different places, rising, and where each one given stands among them; no sorting."""
    marked = np.zeros(total, np.bool_)
    marked[places] = True
    number = np.cumsum(marked, dtype=np.int32) - 1
    return np.flatnonzero(marked), number[places]
