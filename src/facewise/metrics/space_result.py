"""What an embedding space looks like: angles, figures, and the people that do not part, by name."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facewise.errors import SettingError
from facewise.metrics.scores import Counts

FINE = 36_000
"""Bins of the angle histogram: pi / 36,000 wide, 1/200 of a degree."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""What `Angles.to_dict` gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """The angles of many pairs, in radians.

    Attributes:
        pairs: How many.
        mean: Their mean.
        least: The smallest.
        greatest: The largest.
        counts: `(36000,)` how many lie in each 1/200 of a degree, from 0 to pi.
    """

    pairs: int
    mean: float
    least: float
    greatest: float
    counts: Counts

    def quantile(self, share: float) -> float:
        """The least angle that `share` of the pairs do not exceed, to half a bin (4.4e-5).

        Raises:
            SettingError: The share is not in [0, 1].
        """
        if not 0.0 <= share <= 1.0:
            raise SettingError(f"A quantile's share must lie between 0 and 1, not {share}.")
        wanted = max(1, math.ceil(share * self.pairs - 1e-9))
        place = int(np.searchsorted(np.cumsum(self.counts), wanted))
        return min(self.greatest, max(self.least, (place + 0.5) * math.pi / FINE))

    def histogram(self, bins: int = 180) -> Counts:
        """`(bins,)` counts from 0 to pi.

        Raises:
            SettingError: 36,000 is not a multiple of the bins.
        """
        if bins < 1 or FINE % bins:
            raise SettingError(f"The number of bins must divide {FINE:,}, unlike {bins}.")
        return np.asarray(self.counts.reshape(bins, -1).sum(axis=1), dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON; the histogram in degrees."""
        return {
            "pairs": self.pairs,
            "mean": self.mean,
            "least": self.least,
            "greatest": self.greatest,
            "quantiles": {str(share): self.quantile(share) for share in QUANTILES},
            "histogram": self.histogram().tolist(),
        }


@dataclass(frozen=True, slots=True)
class ClassSpace:
    """One person in the space.

    Attributes:
        name: What they are called.
        photos: How many embeddings.
        mean_angle: Mean angle between two of them, in radians; None with one photo.
        widest_angle: The largest; None with one photo.
        nearest: The person whose mean direction is nearest.
        nearest_angle: The angle between the two mean directions, in radians.
        silhouette: Mean of their photos' silhouettes: below 0 the photos lie nearer to another person's.
    """

    name: str
    photos: int
    mean_angle: float | None
    widest_angle: float | None
    nearest: str
    nearest_angle: float
    silhouette: float


@dataclass(frozen=True, slots=True, eq=False)
class SpaceResult:
    """How tight people are and how far apart.

    Attributes:
        photos: Embeddings.
        people: People with at least one.
        intra: Angles between two embeddings of one person.
        inter: Angles between embeddings of two people.
        silhouette: Mean over photos, with cosine distance (Rousseeuw 1987), in [-1, 1], higher is better; a
            person's only photo counts 0, as in scikit-learn.
        davies_bouldin: Mean over people of the worst (spread + spread) / distance of centres, euclidean
            (Davies and Bouldin 1979); lower is better.
        fisher_ratio: Scatter of the people's means over scatter of the photos around them, traces of the
            between- and within-class scatter (Fukunaga 1990, section 10.2); higher is better; inf where
            nobody's photos differ. The Calinski-Harabasz index is it times (N - C) / (C - 1).
        classes: One a person, in the order of the labels.
    """

    photos: int
    people: int
    intra: Angles
    inter: Angles
    silhouette: float
    davies_bouldin: float
    fisher_ratio: float
    classes: tuple[ClassSpace, ...]

    def worst(self, n: int = 10) -> list[ClassSpace]:
        """The n people with two photos or more who part least: by silhouette, then by how near another is."""
        rows = [row for row in self.classes if row.photos > 1]
        return sorted(rows, key=lambda row: (row.silhouette, row.nearest_angle, row.name))[: max(0, n)]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON; an infinite Fisher ratio is None."""
        return {
            "photos": self.photos,
            "people": self.people,
            "intra": self.intra.to_dict(),
            "inter": self.inter.to_dict(),
            "silhouette": self.silhouette,
            "davies_bouldin": self.davies_bouldin,
            "fisher_ratio": self.fisher_ratio if math.isfinite(self.fisher_ratio) else None,
            "classes": [asdict(row) for row in self.classes],
        }
