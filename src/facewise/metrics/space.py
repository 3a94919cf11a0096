"""The shape of an embedding space: how tight people are, how far apart, and who lies in another's way.

Angles are radians, 0 to pi, between embeddings on the unit sphere. Everything is counted in blocks: 15,000
embeddings make 112 million pairs, and no more than a block of them is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.metrics.checks import check_classes, check_names, check_numbers
from facewise.metrics.scores import Counts, Floats
from facewise.metrics.space_result import FINE, Angles, ClassSpace, SpaceResult

_BLOCK = 2_000_000  # angles or distances held at once: 16 MB, and a few temporaries of that size
_UNIT = 1e-2  # how far from 1 a length may be: float16 embeddings stay within it
_SAME = 1e-12  # cosine distances below are rounding: two embeddings at one place


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Embeddings ordered by person.

    Attributes:
        vectors: `(N, D)` float64 of length 1, a person's photos together.
        person: `(N,)` 0 to C - 1, rising.
        sizes: `(C,)` photos of each.
        ends: `(C,)` one past the last photo of each.
        sums: `(C, D)` sum of each person's vectors.
    """

    vectors: Floats
    person: NDArray[np.int64]
    sizes: Counts
    ends: Counts
    sums: Floats

    @property
    def means(self) -> Floats:
        """`(C, D)`."""
        return np.asarray(self.sums / self.sizes[:, np.newaxis], dtype=np.float64)


def embedding_space(vectors: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None) -> SpaceResult:
    """Angles within and between people, and how well the people part.

    The angles of all pairs take O(N² D) time, the rest O(N C D); memory is that of the vectors in float64 and
    of a few blocks.

    Args:
        vectors: `(N, D)` unit embeddings.
        labels: `(N,)` integers, the person of each, from 0.
        names: What the people are called, by label; None is their numbers. Who has no photo is left out.

    Raises:
        DatasetError: Malformed, not finite, not of unit length, labels or names that do not fit, fewer than
            two people, or nobody with two photos.
    """
    table = check_numbers(vectors, "embeddings", ndim=2).astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", table, table))
    if np.abs(lengths - 1.0).max() > _UNIT:
        worst = float(lengths[np.abs(lengths - 1.0).argmax()])
        raise DatasetError(f"The embeddings must have length 1, not {worst:.4g}; divide each by its length.")
    table /= lengths[:, np.newaxis]
    true = check_classes(labels, len(table), None if names is None else len(names))
    called = None if names is None else check_names(names, len(names))
    present, person = np.unique(true, return_inverse=True)
    if len(present) < 2:
        raise DatasetError("There is one person only; an embedding space needs photos of at least two.")
    if len(present) == len(table):
        raise DatasetError("Nobody has two photos; angles within a person need at least one who has.")
    chosen = [str(label) if called is None else called[label] for label in present.tolist()]
    return _measure(_ordered(table, person), chosen)


def _ordered(table: Floats, person: NDArray[np.intp]) -> _People:
    order = np.argsort(person, kind="stable")
    sizes = np.bincount(person).astype(np.int64)
    ends = np.cumsum(sizes)
    vectors = table[order]
    sums = np.add.reduceat(vectors, ends - sizes, axis=0)
    return _People(vectors, person[order].astype(np.int64), sizes, ends, sums)


def _measure(people: _People, names: list[str]) -> SpaceResult:
    intra, inter = _Tally(), _Tally()
    angle_sums, widest = _angles(people, intra, inter)
    silhouettes = _silhouettes(people)
    spreads, within = _spread(people)
    davies_bouldin, nearest, cosines = _centres(people, spreads)
    overall = people.sums.sum(axis=0) / len(people.vectors)
    between = float(people.sizes @ ((people.means - overall) ** 2).sum(axis=1))
    pairs = people.sizes * (people.sizes - 1) // 2
    by_person = np.bincount(people.person, silhouettes) / people.sizes
    rows = tuple(
        ClassSpace(
            name=names[place],
            photos=int(people.sizes[place]),
            mean_angle=float(angle_sums[place] / pairs[place]) if pairs[place] else None,
            widest_angle=float(widest[place]) if pairs[place] else None,
            nearest=names[nearest[place]],
            nearest_angle=float(np.arccos(np.clip(cosines[place], -1.0, 1.0))),
            silhouette=float(by_person[place]),
        )
        for place in range(len(names))
    )
    return SpaceResult(
        photos=len(people.vectors),
        people=len(names),
        intra=intra.result(),
        inter=inter.result(),
        silhouette=float(silhouettes.mean()),
        davies_bouldin=davies_bouldin,
        fisher_ratio=between / within if within > 0.0 else float("inf"),
        classes=rows,
    )


@dataclass(slots=True)
class _Tally:
    """Angles counted block by block."""

    pairs: int = 0
    total: float = 0.0
    least: float = np.inf
    greatest: float = -np.inf
    counts: Counts = field(default_factory=lambda: np.zeros(FINE, np.int64))

    def add(self, angles: Floats) -> None:
        if not len(angles):
            return
        self.pairs += len(angles)
        self.total += float(angles.sum())
        self.least = min(self.least, float(angles.min()))
        self.greatest = max(self.greatest, float(angles.max()))
        places = np.minimum((angles * (FINE / np.pi)).astype(np.int64), FINE - 1)
        self.counts += np.bincount(places, minlength=FINE)

    def result(self) -> Angles:
        return Angles(self.pairs, self.total / self.pairs, self.least, self.greatest, self.counts)


def _angles(people: _People, intra: _Tally, inter: _Tally) -> tuple[Floats, Floats]:
    """Count the angle of every pair once; `(C,)` sum and maximum of each person's own."""
    photos = len(people.vectors)
    sums, widest = np.zeros(len(people.sizes)), np.zeros(len(people.sizes))
    for rows in _blocks(photos, photos):
        columns = np.arange(rows.start, photos)
        angles = np.arccos(np.clip(people.vectors[rows] @ people.vectors[rows.start :].T, -1.0, 1.0))
        persons = people.person[rows]
        ends = people.ends[persons][:, np.newaxis]
        own = (columns > np.arange(rows.start, rows.start + len(persons))[:, np.newaxis]) & (columns < ends)
        intra.add(angles[own])
        inter.add(angles[columns >= ends])
        mine = np.where(own, angles, 0.0)
        sums += np.bincount(persons, mine.sum(axis=1), minlength=len(sums))
        np.maximum.at(widest, persons, mine.max(axis=1))
    return sums, widest


def _silhouettes(people: _People) -> Floats:
    """`(N,)` silhouettes by cosine distance, which sums over a person without going through pairs.

    The distances from x to a person's n photos sum to n - x · (sum of the photos), so the mean distances to
    all people are one matrix product.
    """
    found = np.zeros(len(people.vectors))
    for rows in _blocks(len(people.vectors), len(people.sizes)):
        persons = people.person[rows]
        here = np.arange(len(persons))
        totals = people.sizes - people.vectors[rows] @ people.sums.T
        others = people.sizes[persons] - 1
        own = _settled(totals[here, persons] / np.maximum(others, 1))
        means = totals / people.sizes
        means[here, persons] = np.inf
        nearest = _settled(means.min(axis=1))
        larger = np.maximum(own, nearest)
        parted = (others > 0) & (larger > 0.0)
        found[rows] = np.where(parted, (nearest - own) / np.where(larger > 0.0, larger, 1.0), 0.0)
    return found


def _settled(distances: Floats) -> Floats:
    return np.where(distances < _SAME, 0.0, distances)


def _spread(people: _People) -> tuple[Floats, float]:
    """`(C,)` mean euclidean distance of a person's photos from their mean; and the sum of all squares."""
    squares = np.empty(len(people.vectors))
    means = people.means
    for rows in _blocks(*people.vectors.shape):
        away = people.vectors[rows] - means[people.person[rows]]
        squares[rows] = np.einsum("nd,nd->n", away, away)
    spreads = np.bincount(people.person, np.sqrt(squares)) / people.sizes
    return np.asarray(spreads, dtype=np.float64), float(squares.sum())


def _centres(people: _People, spreads: Floats) -> tuple[float, NDArray[np.int64], Floats]:
    """Davies-Bouldin; `(C,)` the person of the nearest direction and the cosine to it.

    Centres at one place count as infinitely far apart, and spreads or distances that are all 0 give 0, as in
    scikit-learn.
    """
    means = people.means
    lengths = np.sqrt(np.einsum("cd,cd->c", means, means))
    worst = np.empty(len(means))
    nearest, cosines = np.empty(len(means), np.int64), np.empty(len(means))
    for rows in _blocks(len(means), len(means)):
        products = means[rows] @ means.T
        here = np.arange(len(products))
        self_places = np.arange(rows.start, rows.start + len(products))
        distances = np.sqrt(_squares(means, products, lengths, rows.start))
        distances[here, self_places] = np.inf
        distances[distances == 0.0] = np.inf
        worst[rows] = ((spreads[rows, np.newaxis] + spreads) / distances).max(axis=1)
        scale = lengths[rows, np.newaxis] * lengths
        directions = np.where(scale > _SAME, products / np.maximum(scale, _SAME), 0.0)
        directions[here, self_places] = -np.inf
        nearest[rows] = directions.argmax(axis=1)
        cosines[rows] = directions[here, nearest[rows]]
    return float(worst.mean()), nearest, cosines


def _squares(means: Floats, products: Floats, lengths: Floats, start: int) -> Floats:
    """Squared distances of some centres from all; those so small that rounding tells are taken anew."""
    mine = lengths[start : start + len(products), np.newaxis]
    squares = np.maximum(mine**2 + lengths**2 - 2.0 * products, 0.0)
    row, column = np.nonzero(squares < 1e-4)
    for part in np.array_split(np.arange(len(row)), 1 + len(row) * means.shape[1] // _BLOCK):
        away = means[start + row[part]] - means[column[part]]
        squares[row[part], column[part]] = np.einsum("nd,nd->n", away, away)
    return squares


def _blocks(rows: int, width: int) -> Iterator[slice]:
    size = max(1, _BLOCK // width)
    return (slice(start, start + size) for start in range(0, rows, size))
