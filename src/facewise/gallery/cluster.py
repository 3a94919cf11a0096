"""Faces grouped into people with no names given: Chinese whispers on a cleaned cosine graph.

Biemann 2006, "Chinese Whispers - an efficient graph clustering algorithm" (TextGraphs): every face starts as
a person of its own and repeatedly joins the person its neighbours are most of, by edge weight.

A threshold at a false match rate holds for one comparison, but N faces make N - 1 comparisons each: at FMR
1e-3, each of LFW's 13,233 faces has 13 false neighbours on average, and who has one photo has no others.
So an edge must be supported: the neighbourhoods of its two ends, with weights similarity - threshold, must
overlap (weighted Jaccard; the idea of Jarvis and Patrick 1973, weighted as by Zhong et al. 2017, 1701.08398,
equation 10). Photos of one person share their neighbours; two strangers that happen to look alike do not.

Measured on all of LFW (5,749 people; mobilefacenet-foamliu, flip), pairwise F and BCubed F:

| threshold at FMR | edges as they are | weighted by similarity - threshold | and supported (this file) |
|---|---|---|---|
| 1e-3 (0.340) | 0.02, 0.35 | 0.69, 0.70 | 0.979, 0.983 |
| 1e-4 (0.414) | 0.82, 0.86 | 0.92, 0.90 | 0.994, 0.987 |
| 1e-5 (0.497) | 0.98, 0.98 | 0.995, 0.985 | 0.992, 0.974 |

The constants below were chosen on the same data, so these figures flatter them a little. Each face keeps its
64 nearest neighbours only, so the graph of N faces has at most 64 N edges. Keeping only mutual neighbours was
tried and lost: people with more photos than that break apart (0.90 of the same-person pairs stay together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError
from facewise.gallery.search import checked_embeddings
from facewise.models.calibration import Calibration
from facewise.models.decisions import rule_of, thresholds_for
from facewise.types import Decision, FloatArray, Quality

Method: TypeAlias = Literal["chinese-whispers"]

NEIGHBOURS = 64
"""Neighbours kept of each face, the nearest."""

SUPPORT = 0.15
"""Least overlap of two faces' neighbourhoods for an edge; chosen on LFW, where 0.1 to 0.2 are close."""

_DECIMALS = 5
"""Of the similarities that the nearest are chosen by."""

_BLOCK = 1 << 24  # similarities at a time (64 MiB of float32)
_ROUNDS = 100  # LFW needs under 10
_GROUPS = 16


def cluster_faces(
    embeddings: ArrayLike,
    qualities: Sequence[Quality | None],
    decision: Decision,
    calibration: Calibration | None,
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Groups faces by person where their photos allow it.

    Args:
        embeddings: `(N, D)` unit vectors.
        qualities: What was measured of each face, where it was.
        decision: Of one comparison.
        calibration: Of the model: where it knows of quality, two poor faces must be more alike, and those too
            poor for any decision are each left alone.

    Returns:
        Labels as of `cluster`; and why faces are left alone, in words, by their index.
    """
    rule = rule_of(decision, calibration)
    if rule is None or not len(qualities):
        return cluster(embeddings, decision.threshold), {}
    rows = checked_embeddings(embeddings)
    reasons = rule.reasons(rows, qualities)
    poor = {i: " and ".join(why) for i, why in enumerate(reasons) if why}
    good = np.array([i for i in range(len(rows)) if i not in poor], np.int64)
    labels = len(rows) + np.arange(len(rows))
    if len(good):
        labels[good] = cluster(rows[good], thresholds_for(rule.of(rows[good]), decision, calibration))
    return _by_size(labels), poor


def cluster(
    embeddings: ArrayLike,
    threshold: float | NDArray[np.float64],
    *,
    method: Method = "chinese-whispers",
    seed: int = 0,
) -> NDArray[np.int64]:
    """Groups faces by person.

    Two faces alone in the world are one person from `threshold + 0.15 (1 - threshold)`: see support above.

    Args:
        embeddings: `(N, D)` unit vectors.
        threshold: Least cosine similarity of neighbours, of one comparison: the model's at FMR 1e-3 or less.
            Or `(N,)`, what each face needs beside one of its own quality, perhaps infinite: two faces are
            neighbours from the lower of their two on.
        method: The only one so far.
        seed: Of the order in which faces are asked. The same seed gives the same groups.

    Returns:
        `(N,)` labels 0 to K - 1, the largest group first; groups of one size by their first face. A face
        without near neighbours is a group of its own.

    Raises:
        GalleryError: These are no unit vectors.
        SettingError: An unknown method, or a least threshold outside [-1, 1).
    """
    if method not in get_args(Method):
        raise SettingError(f"The clustering method is 'chinese-whispers', not {method!r}.")
    needed = np.asarray(threshold, np.float64)
    least = float(needed.min()) if needed.size else 0.0
    if not -1 <= least < 1 and not (needed.ndim and least == np.inf):
        raise SettingError(f"A clustering threshold lies from -1 to below 1, not at {least}.")
    if np.asarray(embeddings).shape[:1] == (0,):
        return np.empty(0, dtype=np.int64)
    rows = checked_embeddings(embeddings)
    near = _neighbours(rows, np.broadcast_to(needed, len(rows)))
    own = 1 - min(least, 1.0)
    return _by_size(_whisper(_supported(near, own), len(rows), np.random.default_rng(seed)))


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """Each face's nearest neighbours at or above the threshold, padded with itself at weight 0.

    Attributes:
        index: `(N, k)` which faces.
        weight: `(N, k)` float32 similarity - threshold, positive for neighbours.
        count: `(N,)` how many of the k are neighbours.
    """

    index: NDArray[np.int64]
    weight: FloatArray
    count: NDArray[np.int64]


def _neighbours(rows: FloatArray, needed: NDArray[np.float64]) -> _Near:
    """Exact nearest neighbours, a block of similarities at a time: never an `(N, N)` matrix."""
    least = float(needed.min())
    n = len(rows)
    k = min(NEIGHBOURS, n)
    index = np.repeat(np.arange(n)[:, None], k, axis=1)
    weight = np.zeros((n, k), dtype=np.float32)
    count = np.zeros(n, dtype=np.int64)
    step = max(1, _BLOCK // n)
    for at in range(0, n, step):
        similarity = rows[at : at + step] @ rows.T
        own = np.arange(len(similarity))
        similarity[own, at + own] = -np.inf
        for i in np.flatnonzero(needed[at : at + step] > least):
            similarity[i, similarity[i] < np.minimum(needed, needed[at + i])] = -np.inf
        for i in np.flatnonzero((similarity >= least).sum(axis=1) > k):
            # Of copies of one photo the last bits differ by how the product was divided over threads; rounded
            # they are equal, and all copies keep the same neighbours.
            farther = np.argpartition(np.round(similarity[i], _DECIMALS), n - k)[: n - k]
            similarity[i, farther] = -np.inf
        face, neighbour = np.nonzero(similarity >= least)
        count[at : at + step] = found = np.bincount(face, minlength=len(similarity))
        place = np.arange(len(face)) - np.repeat(np.cumsum(found) - found, found)
        index[at + face, place] = neighbour
        # An edge exactly at the threshold still weighs something.
        edge = np.minimum(needed[at + face], needed[neighbour])
        weight[at + face, place] = np.maximum(similarity[face, neighbour] - edge, 1e-6)
    return _Near(index, weight, count)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Directed edges, each with its reverse: `(E,)` from, to and weight."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    weight: FloatArray


def _supported(near: _Near, own: float) -> _Edges:
    """The edges whose ends share enough of their neighbourhoods.

    A neighbourhood is a vector over all faces: the weights of the neighbours, and `own` for the face itself,
    as if of similarity 1. Overlap is the sum of minima by the sum of maxima.

    Args:
        near: The neighbours of each face.
        own: Weight of a face in its own neighbourhood.
    """
    n = len(near.index)
    total = near.weight.sum(axis=1, dtype=np.float64) + own
    mark = np.zeros(n, dtype=np.float32)  # one face's neighbours, written out
    a, b, weight = [], [], []
    for i in np.flatnonzero(near.count).tolist():
        mine, theirs = near.index[i, : near.count[i]], near.weight[i, : near.count[i]]
        mark[mine] = theirs
        index, other = near.index[mine], near.weight[mine]  # (neighbours, k): their lists
        seen = np.where(other > 0, mark[index], 0)
        shared = np.minimum(seen, other).sum(axis=1) + 2 * np.minimum(theirs, own)
        either = total[i] + total[mine] + np.where((index == i).any(axis=1), 0, theirs) - shared
        good = shared + _doubt(near, i, seen) >= SUPPORT * either
        a.append(np.full(int(good.sum()), i))
        b.append(mine[good])
        weight.append(theirs[good])
        mark[mine] = 0
    if not a:
        return _Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    return _both_ways(np.concatenate(a), np.concatenate(b), np.concatenate(weight), n)


def _doubt(near: _Near, i: int, seen: FloatArray) -> FloatArray:
    """What full lists may leave out of the overlap of face i with each of its neighbours.

    The photos of a person with far more than a list holds (a photo library's owner) have lists that hardly
    meet. Where both are full, a face missing from one is taken to weigh half the smallest weight in either.
    Between people that is next to nothing: a stranger's list is full of weights just above the threshold.

    Args:
        near: The neighbours of each face.
        i: A face.
        seen: `(neighbours, k)` for each entry of each neighbour's list, its weight in i's list or 0.
    """
    mine, theirs = near.index[i, : near.count[i]], near.weight[i, : near.count[i]]
    least = np.minimum(near.weight[mine].min(axis=1), near.weight[i].min())  # 0 where either list is not full
    if not least.any():
        return np.zeros(len(mine), dtype=np.float32)
    bound = least[:, None] / 2
    known = (seen > 0) | (near.index[mine] == i)
    not_in_i = np.where(known, 0, np.minimum(near.weight[mine], bound)).sum(axis=1)
    in_i_only = np.minimum(theirs, bound).sum(axis=1) - np.minimum(seen, bound).sum(axis=1)
    return np.asarray(not_in_i + in_i_only - np.minimum(theirs, bound[:, 0]), dtype=np.float32)


def _both_ways(a: NDArray[np.int64], b: NDArray[np.int64], weight: FloatArray, n: int) -> _Edges:
    """Each edge once in each direction, if it was there in one."""
    a, b, weight = np.concatenate([a, b]), np.concatenate([b, a]), np.concatenate([weight, weight])
    _, first = np.unique(a * n + b, return_index=True)
    return _Edges(a[first], b[first], weight[first])


def _whisper(edges: _Edges, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`(N,)` labels after rounds in which every face takes its neighbours' heaviest label.

    Faces are asked in random groups, anew each round: within a group all at once, which numpy is fast at; the
    groups one after the other, which keeps neighbours from swapping labels for ever.
    """
    label = rng.permutation(n)
    for _ in range(_ROUNDS):
        group = rng.integers(0, _GROUPS, n)[edges.a]
        order = np.argsort(group, kind="stable")
        changed = 0
        for some in np.split(order, np.searchsorted(group[order], np.arange(1, _GROUPS))):
            if len(some):
                changed += _ask(edges, some, label, n)
        if not changed:
            break
    return label


def _ask(edges: _Edges, some: NDArray[np.int64], label: NDArray[np.int64], n: int) -> int:
    """Gives the faces that these edges leave their heaviest label; says how many changed."""
    votes, inverse = np.unique(edges.a[some] * n + label[edges.b[some]], return_inverse=True)
    weight = np.bincount(inverse, weights=edges.weight[some])
    face, vote = votes // n, votes % n
    order = np.lexsort((vote == label[face], weight, face))  # of equal weights, the label a face has
    last = np.append(np.diff(face[order]) != 0, True)
    face, vote = face[order[last]], vote[order[last]]
    changed = int(np.count_nonzero(label[face] != vote))
    label[face] = vote
    return changed


def _by_size(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels 0 to K - 1, the largest group first, then the one whose first face comes first."""
    _, first, inverse, size = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(first))
    return rank[inverse]
