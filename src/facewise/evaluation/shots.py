"""Identification from k photos a person, closed and open set, over many random galleries.

For the closed set the cumulative match characteristic, for the open set the detection and identification rate
at a false positive identification rate (Phillips, Grother and Micheals 2005; see
`facewise.metrics.identification`). Galleries of all sizes k are of the same people and searched with the same
probes, so that what differs between them is k alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError, SettingError
from facewise.evaluation.identification import identify_probes
from facewise.metrics import IdentificationResult


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over random galleries.

    Attributes:
        mean: Of all.
        deviation: Standard deviation (n - 1); 0 of one.
        low: The least.
        high: The greatest.
    """

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one figure a gallery."""
        several = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return cls(float(np.mean(values)), several, float(min(values)), float(max(values)))


@dataclass(frozen=True, slots=True, eq=False)
class ShotsResult:
    """Identification with k photos a person in the gallery.

    Attributes:
        shots: k.
        results: One a random gallery, by seed.
        figures: `rank1`, `rank5` and `dir@fpir=…` over the galleries.
    """

    shots: int
    results: tuple[IdentificationResult, ...]
    figures: dict[str, Spread]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON; each gallery's own figures included."""
        return {
            "shots": self.shots,
            "figures": {name: asdict(spread) for name, spread in self.figures.items()},
            "galleries": [result.to_dict() for result in self.results],
        }


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is who in one random gallery.

    Attributes:
        enrolled: The photos of each enrolled person, in random order.
        strangers: Photos of people who are in no gallery.
    """

    enrolled: tuple[tuple[int, ...], ...]
    strangers: tuple[int, ...]


def cast_roles(labels: NDArray[np.int64], most_shots: int, strangers: float | None, seed: int) -> Roles:
    """Who is enrolled and who a stranger.

    Args:
        labels: (N,) the person of each photo.
        most_shots: Photos a gallery takes at most; whoever has more can be enrolled.
        strangers: Share of them who are set aside as strangers, and people with too few photos are left out;
            None makes those the strangers.
        seed: Of the choice.

    Raises:
        DatasetError: Nobody has enough photos, or too few do.
        SettingError: The share is not between 0 and 1.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    people = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    able = [person for person in people if len(person) > most_shots]
    if not able:
        raise DatasetError(
            f"Nobody has more than {most_shots} photos, so nobody can be found from {most_shots}; "
            f"the most anyone has is {max(map(len, people))}: ask for fewer --shots."
        )
    if strangers is None:
        aside = [person for person in people if len(person) <= most_shots]
    else:
        if not 0.0 < strangers < 1.0:
            raise SettingError(f"The share of strangers lies between 0 and 1, not at {strangers}.")
        chosen = rng.permutation(len(able))
        count = max(1, round(strangers * len(able)))
        if count >= len(able):
            raise DatasetError(
                f"{len(able)} people have more than {most_shots} photos, too few to set strangers aside."
            )
        aside, able = [able[i] for i in chosen[:count]], [able[i] for i in sorted(chosen[count:])]
    return Roles(
        enrolled=tuple(tuple(rng.permutation(person).tolist()) for person in able),
        strangers=tuple(int(photo) for person in aside for photo in person),
    )


def identify_by_shots(
    vectors: NDArray[np.float32],
    faceless: NDArray[np.bool_],
    labels: NDArray[np.int64],
    shots: Sequence[int],
    *,
    strangers: float | None = None,
    repeats: int = 10,
) -> tuple[ShotsResult, ...]:
    """Identify everybody from k photos, over random galleries.

    Args:
        vectors: (N, D) embeddings.
        faceless: (N,) where there is none.
        labels: (N,) the person of each.
        shots: Each k; probes are what is left of a person beyond the largest.
        strangers: See `cast_roles`.
        repeats: Random galleries, of seeds 0, 1 ….

    Raises:
        DatasetError: Too few people have enough photos.
        SettingError: A k or the repeats below 1, a k twice, or the share of strangers out of range.
    """
    check_roles(labels, shots, strangers)
    if repeats < 1:
        raise SettingError(f"There must be at least one random gallery, not {repeats}.")
    most = max(shots)
    results: dict[int, list[IdentificationResult]] = {k: [] for k in shots}
    for seed in range(repeats):
        roles = cast_roles(labels, most, strangers, seed)
        mated = [(photo, i) for i, person in enumerate(roles.enrolled) for photo in person[most:]]
        probes = [photo for photo, _ in mated] + list(roles.strangers)
        truth = [i for _, i in mated] + [-1] * len(roles.strangers)
        for k in shots:
            gallery = [person[:k] for person in roles.enrolled]
            results[k].append(identify_probes(vectors, faceless, gallery, probes, truth))
    return tuple(ShotsResult(k, tuple(found), _figures(found)) for k, found in results.items())


def check_roles(labels: NDArray[np.int64], shots: Sequence[int], strangers: float | None) -> None:
    """That there are people enough; to be asked before anything is embedded. No shots need nobody.

    Arguments and errors as `identify_by_shots`.
    """
    if any(k < 1 for k in shots) or len(set(shots)) < len(shots):
        raise SettingError("Shots are photos a person in the gallery, each 1 or more and named once: 1,2,5.")
    if shots:
        cast_roles(labels, max(shots), strangers, 0)


def _figures(results: Sequence[IdentificationResult]) -> dict[str, Spread]:
    figures = {
        "rank1": Spread.of([result.rank1 for result in results]),
        "rank5": Spread.of([float(result.cmc[4]) for result in results]),
    }
    for points in zip(*(result.open_set for result in results), strict=True):
        figures[f"dir@fpir={points[0].fpir_target!r}"] = Spread.of([point.dir for point in points])
    return figures
