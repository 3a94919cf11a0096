"""What a gallery needs of a search, whichever machine or database does it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from facewise.gallery.results import Sample
from facewise.gallery.search import Scoring
from facewise.gallery.store import Change
from facewise.models.quality import QualityRule
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True)
class Hit:
    """One person and how alike a probe is to them.

    Attributes:
        person: Their number in the gallery.
        name: Their name.
        similarity: Cosine similarity in [-1, 1], computed in float64.
    """

    person: int
    name: str
    similarity: float


class Searcher(Protocol):
    """A search over all samples of a store; any thread may call."""

    def top(
        self,
        probes: FloatArray,
        k: int,
        scoring: Scoring = "best",
        groups: Collection[str] | None = None,
        rule: QualityRule | None = None,
    ) -> list[list[Hit]]:
        """The best people of each probe, distinct, best first, and by number where they tie.

        Args:
            probes: `(P, D)` unit vectors.
            k: At most so many each, at least 1.
            scoring: By a person's `"best"` sample, or by the `"mean"` of all.
            groups: Only people in any of these; None is everybody.
            rule: By whose qualities the mean weighs samples, where the search is in memory; None weighs all
                alike.

        Raises:
            GalleryError: The probes have another size than the gallery's embeddings, or the store fails.
            SettingError: A scoring or count out of range.
        """
        ...

    def vectors(self, people: Sequence[int]) -> dict[int, FloatArray]:
        """The samples of a few people, (n, D) each; those who are gone are left out."""
        ...

    def count(self, scoring: Scoring = "best", groups: Collection[str] | None = None) -> int:
        """With how much a probe is compared: samples, or by their mean one template a person."""
        ...

    def apply(
        self,
        change: Change,
        batches: Sequence[tuple[str, Sequence[Sample]]] = (),
        groups: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Takes in this process's own change at once; other processes' are found by `Store.version`."""
        ...

    def close(self) -> None:
        """Ends the use of what the search holds open."""
        ...
