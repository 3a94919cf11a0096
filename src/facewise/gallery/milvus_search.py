"""Search on the Milvus server: its index chooses who can be among the best, and they are scored again here.

The similarities are those of a float64 loop over a person's samples, as everywhere in the gallery. With the
exact index (flat) so is the order, for everybody within the rounding error of the last place is asked for;
another index may miss somebody, which is its recall.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.milvus_content import Content
from facewise.gallery.milvus_index import search_settings
from facewise.gallery.milvus_rows import PersonRow
from facewise.gallery.results import Sample
from facewise.gallery.search import Scoring, check_asked
from facewise.gallery.searcher import Hit
from facewise.gallery.store import Change
from facewise.models.quality import QualityRule
from facewise.types import FloatArray

_T = TypeVar("_T")
_MOST = 16_384  # neighbours that Milvus gives a probe
_MOVING = {"remove", "rename", "merge", "groups", "forget"}  # changes during which rows are not what is shown


class Reading(Protocol):
    """Reads a gallery at one moment."""

    def __call__(self, use: Callable[[Content], _T]) -> _T:
        """What `use` makes of the gallery as it is now."""
        ...


class MilvusSearcher:
    """Searches a gallery on the server; any thread may use it.

    Args:
        read: Reads the gallery.
        index: Which index it has.
    """

    def __init__(self, read: Reading, index: str) -> None:
        self._read = read
        self._index = index

    def top(
        self,
        probes: FloatArray,
        k: int,
        scoring: Scoring = "best",
        groups: Collection[str] | None = None,
        rule: QualityRule | None = None,  # noqa: ARG002  templates are kept on the server, and weigh all alike
    ) -> list[list[Hit]]:
        """The k people most like each probe; see `facewise.gallery.searcher.Searcher.top`."""
        check_asked(k, scoring)
        return self._read(lambda content: self._top(content, probes, k, scoring, groups))

    def vectors(self, people: Sequence[int]) -> dict[int, FloatArray]:
        """The samples of a few people; see `facewise.gallery.searcher.Searcher.vectors`."""

        def read(content: Content) -> dict[int, FloatArray]:
            found: dict[int, list[FloatArray]] = {}
            for sample in content.samples(people, vectors=True):
                found.setdefault(sample.person, []).append(sample.vector)
            return {person: np.stack(rows) for person, rows in found.items()}

        return self._read(read)

    def count(self, scoring: Scoring = "best", groups: Collection[str] | None = None) -> int:
        """With how much each probe is compared: samples, or people with `"mean"`."""

        def counted(content: Content) -> int:
            head, tables = content.head, content.tables
            if head.space is None or (groups is not None and not groups):
                return 0
            if head.journal.get("op") in _MOVING:  # for this moment only
                shown = {p.id for p in content.people() if _within(p, groups)}
                return len(shown) if scoring == "mean" else sum(s.person in shown for s in content.samples())
            table, stop = (
                (tables.people, head.next_person) if scoring == "mean" else (tables.samples, head.next_sample)
            )
            return content.link.count(table, _filter(groups, stop))

        return self._read(counted)

    def people(self) -> Mapping[int, str]:
        """Everybody's name by number: all of them, read now."""
        return self._read(lambda content: {p.id: p.name for p in content.people()})

    def apply(
        self,
        change: Change,
        batches: Sequence[tuple[str, Sequence[Sample]]] = (),
        groups: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Nothing: what was stored is on the server already."""

    def close(self) -> None:
        """Nothing: the store ends the connection."""

    def _top(
        self,
        content: Content,
        probes: FloatArray,
        k: int,
        scoring: Scoring,
        groups: Collection[str] | None,
    ) -> list[list[Hit]]:
        space = content.head.space
        if not len(probes) or space is None or (groups is not None and not groups):
            return [[] for _ in probes]
        if probes.shape[1] != space.size:
            raise GalleryError(f"The gallery holds embeddings of {space.size} values, not {probes.shape[1]}.")
        candidates = self._candidates(content, probes, k, scoring, groups)
        wanted = sorted({person for one in candidates for person in one})
        shown = {p.id: p for p in content.people(wanted) if _within(p, groups)}
        scores: list[list[tuple[float, int]]] = [[] for _ in probes]
        for at in range(0, len(wanted), 500):
            rows: dict[int, list[FloatArray]] = {}
            for sample in content.samples(wanted[at : at + 500], vectors=True):
                rows.setdefault(sample.person, []).append(sample.vector)
            for probe, one, scored in zip(probes, candidates, scores, strict=True):
                scored += [(-_exact(probe, rows[p], scoring), p) for p in one if p in rows and p in shown]
        return [
            [Hit(p, shown[p].name, float(np.clip(-score, -1, 1))) for score, p in sorted(scored)[:k]]
            for scored in scores
        ]

    def _candidates(
        self,
        content: Content,
        probes: FloatArray,
        k: int,
        scoring: Scoring,
        groups: Collection[str] | None,
    ) -> list[set[int]]:
        """For each probe everybody who may be among its k best."""
        hunts = [_Hunt(k, probes.shape[1]) for _ in probes]
        table = content.tables.people if scoring == "mean" else content.tables.samples
        fields = [] if scoring == "mean" else ["person"]
        where, limit = _filter(groups, None), min(_MOST, max(64, 4 * k))
        asked = [(i, where) for i in range(len(probes))]
        while asked:
            for same in {where for _, where in asked}:
                these = [i for i, where in asked if where == same]
                found = content.link.search(
                    table, probes[these], limit, same, fields, search_settings(self._index, limit)
                )
                for i, hits in zip(these, found, strict=True):
                    hunts[i].saw(
                        [
                            (content.head.owner(int(row.get("person", number))), score)
                            for number, score, row in hits
                            if not _hidden(content, number, row)
                        ],
                        # The least score of all hits, of those that do not count as well.
                        hits[-1][1] if len(hits) == limit else None,
                    )
            limit = min(_MOST, 4 * limit)
            # Whoever was found needs not be found again: so many samples of one person hide nobody. Nor do
            # rows that do not count, of which there may be many while somebody enrols a million.
            field = "id" if scoring == "mean" else "person"
            head = content.head
            counts = _filter(groups, head.next_person if scoring == "mean" else head.next_sample)
            going = {head.journal["person"]} if head.journal.get("op") == "remove" else set()
            asked = [
                (i, f"{counts} and {field} not in {sorted(going | set(hunt.found)) or [-1]}")
                for i, hunt in enumerate(hunts)
                if not hunt.done
            ]
        return [hunt.best() for hunt in hunts]


class _Hunt:
    """Whom one probe has found so far, by the similarities that the index told."""

    def __init__(self, k: int, size: int) -> None:
        self.k = k
        # As in `search.Matrix`: what rounding can do to a float32 product of unit vectors and to a template.
        self._slack = (2 * size + 8) * float(np.finfo(np.float32).eps)
        self.found: dict[int, float] = {}
        self.done = False

    def saw(self, hits: Sequence[tuple[int, float]], least: float | None) -> None:
        """Takes in an answer; `least` is its last similarity, or None if there was no more to find."""
        for person, score in hits:
            self.found[person] = max(score, self.found.get(person, -np.inf))
        self.done = least is None or (len(self.found) >= self.k and least < self._bar())

    def _bar(self) -> float:
        scores = sorted(self.found.values(), reverse=True)
        return scores[min(self.k, len(scores)) - 1] - self._slack if scores else -np.inf

    def best(self) -> set[int]:
        bar = self._bar()
        return {person for person, score in self.found.items() if score >= bar}


def _hidden(content: Content, number: int, row: Mapping[str, int]) -> bool:
    if "person" in row:
        return content.head.hides_sample(number, int(row["person"]))
    return content.head.hides_person(number)


def _within(person: PersonRow, groups: Collection[str] | None) -> bool:
    return groups is None or not person.groups.isdisjoint(groups)


def _filter(groups: Collection[str] | None, stop: int | None) -> str:
    where = "id >= 0" if stop is None else f"id < {stop}"
    if groups is None:
        return where
    keys = ", ".join(f'"{group.encode().hex()}"' for group in sorted(set(groups)))
    return f"{where} and array_contains_any(groups, [{keys}])"


def _exact(probe: FloatArray, rows: Sequence[FloatArray], scoring: Scoring) -> float:
    """One person's score in float64, summed as `search.Matrix` does, so that both tell the same."""
    samples = np.stack(rows).astype(np.float64)
    if scoring == "best":
        return float(np.einsum("nd,d->n", samples, probe.astype(np.float64)).max())
    mean = samples.sum(axis=0)
    return float(mean @ probe / max(float(np.linalg.norm(mean)), float(np.finfo(np.float32).tiny)))
