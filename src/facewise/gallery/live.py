"""The index, in step with its store: own changes taken in at once, others' made up for by sample ids."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from facewise.errors import FacewiseError, GalleryError, UnknownPersonError
from facewise.gallery import snapshot
from facewise.gallery.index import View, best_people, by_product
from facewise.gallery.results import Sample
from facewise.gallery.search import Scoring, check_asked
from facewise.gallery.searcher import Hit
from facewise.gallery.segment import EMPTY, Scale, Segment
from facewise.gallery.store import Change, Keys, Store
from facewise.gallery.templates import Templates, Weights
from facewise.models.quality import QualityRule
from facewise.types import FloatArray

_LOG = logging.getLogger(__name__)

SMALL = 20_000
"""Samples up to which one float32 product is as fast as the scan, without FAISS."""

_STALE = 0.1
"""Share of samples that changed since a snapshot was written, from which closing writes it anew."""


class LiveIndex:
    """Searches all samples of a store, as they are now; many threads may ask.

    A gallery of more than `SMALL` samples keeps a snapshot of the index beside its file (`GALLERY.index`),
    written when the index was built and when it is closed after many changes; never where it has a key.

    Args:
        store: Where the samples are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._seen: Hashable = None
        self._segments: list[Segment] = []
        self._on_disk: tuple[int, int] | None = None  # the snapshot's file, where the first segment is its
        self._scale = Scale(1.0, np.inf)
        self._names: dict[int, str] = {}
        self._groups: dict[int, frozenset[str]] = {}
        self._alive = self._changed = 0
        self._view: View | None = None
        self._templates: Templates | None = None
        self._weights: Weights | None = None
        self._chosen: dict[frozenset[str], tuple[NDArray[np.bool_], frozenset[int]]] = {}

    # -- searching

    def top(
        self,
        probes: FloatArray,
        k: int,
        scoring: Scoring = "best",
        groups: Collection[str] | None = None,
        rule: QualityRule | None = None,
    ) -> list[list[Hit]]:
        """The best people of each probe; see `Searcher.top`."""
        check_asked(k, scoring)
        with self._lock:
            view, people = self._current(groups)
            names, templates = self._names, self._mean_templates(rule) if scoring == "mean" else None
        k = min(k, people)
        if not k or not len(probes):
            return [[] for _ in probes]
        size = view.segments[0].rows.shape[1]
        if probes.shape[1] != size:
            raise GalleryError(f"The gallery holds embeddings of {size} values, not {probes.shape[1]}.")
        if templates is not None:
            found = templates.best(view, probes, k)
        else:
            found = (by_product if view.slots <= SMALL else best_people)(view, probes, k)
        # Whoever is removed while this runs is no longer anybody.
        return [[Hit(p, names[p], s) for p, s in best if p in names] for best in found]

    def vectors(self, people: Sequence[int]) -> dict[int, FloatArray]:
        """The samples of a few people; see `Searcher.vectors`."""
        with self._lock:
            view, _ = self._current(None)
        found: dict[int, list[FloatArray]] = {}
        for segment in view.segments:
            owners = segment.people[: segment.used]
            for slot in np.flatnonzero(np.isin(owners, np.array(people, np.int64))).tolist():
                found.setdefault(int(owners[slot]), []).append(segment.rows[slot])
        return {person: np.stack(rows) for person, rows in found.items() if person != EMPTY}

    def count(self, scoring: Scoring = "best", groups: Collection[str] | None = None) -> int:
        """With how much a probe is compared; see `Searcher.count`."""
        with self._lock:
            view, people = self._current(groups)
            if scoring == "mean":
                return people
            return self._alive if view.chosen is None else int(np.count_nonzero(view.chosen))

    # -- keeping in step

    def apply(
        self,
        change: Change,
        batches: Sequence[tuple[str, Sequence[Sample]]] = (),
        groups: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Takes in this process's own change, so that enrolling N people does not read N galleries."""
        with self._lock:
            if change.gone:
                self._erase(np.array(change.gone, dtype=np.int64))
            if self._seen is None or change.before != self._seen or not change.added:
                # Something else changed too, or names or groups: the next search compares ids with the store.
                self._forget()
                return
            if not all(len(added.samples) == len(added.stored) for added in change.added):
                self._forget()
                return
            if not self._segments and any(added.stored for added in change.added):
                self._forget()  # the first ones
                return
            for (name, samples), added in zip(batches, change.added, strict=True):
                if added.person is not None and added.stored:
                    rows = np.stack([samples[i].embedding for i in added.stored]).astype(np.float32)
                    ids = np.array(added.samples, dtype=np.int64)
                    self._append(rows, ids, np.full(len(rows), added.person, dtype=np.int64))
                    self._names[added.person] = name
                    if theirs := frozenset((groups or {}).get(name, ())):
                        self._groups[added.person] = self._groups.get(added.person, frozenset()) | theirs
            self._seen = change.after
            self._forget(keep_seen=True)

    def close(self) -> None:
        """Writes the snapshot where much has changed since; the store is closed by whoever opened it."""
        with self._lock:
            if self._seen is not None and self._changed > _STALE * max(1, self._alive):
                with suppress(FacewiseError):  # an index that cannot be kept is made again
                    self._current(None)
                    self._save()
            self._segments, self._view, self._seen = [], None, None

    def _forget(self, *, keep_seen: bool = False) -> None:
        self._view, self._templates, self._chosen = None, None, {}
        if not keep_seen:
            self._seen = None

    def _current(self, groups: Collection[str] | None) -> tuple[View, int]:
        """The samples now, and how many people take part."""
        if self._seen is None or self._store.version() != self._seen:
            self._catch_up()
        view = self._view
        if view is None:
            view = self._view = self._make_view()
        if groups is None:
            return view, len(self._names)
        wanted = frozenset(groups)
        if wanted not in self._chosen:
            people = frozenset(p for p, theirs in self._groups.items() if theirs & wanted)
            numbers = np.fromiter(people, np.int64, len(people))
            owners = np.concatenate([s.people[: s.used] for s in view.segments])
            if len(self._chosen) >= 64:  # a bit a sample each
                self._chosen.clear()
            self._chosen[wanted] = np.isin(owners, numbers), people
        chosen, people = self._chosen[wanted]
        return View(view.segments, view.scale, view.error, view.outliers, view.starts, chosen), len(people)

    def _make_view(self) -> View:
        segments = tuple(self._segments)
        starts = tuple(int(n) for n in np.cumsum([0, *(s.used for s in segments)])[:-1])
        errors = [segment.errors[: segment.used] for segment in segments]
        far = [e > self._scale.usual for e in errors]
        outliers = [start + np.flatnonzero(f) for start, f in zip(starts, far, strict=True)]
        error = max((float(e[~f].max(initial=0.0)) for e, f in zip(errors, far, strict=True)), default=0.0)
        none = np.empty(0, np.int64)
        return View(segments, self._scale, error, np.concatenate([none, *outliers]), starts)

    def _catch_up(self) -> None:
        for last in (False, False, False, False, True):
            keys = self._store.keys()
            self._forget()
            try:
                if not self._segments:
                    self._open(keys)
                if self._segments:
                    self._reconcile(keys)
            except UnknownPersonError:  # somebody was removed since the ids were read: read them again
                if last:
                    raise
            else:
                break
        self._names, self._groups = dict(keys.names), dict(keys.groups)
        self._alive, self._seen = len(keys.samples), keys.version

    def _open(self, keys: Keys) -> None:
        """The snapshot where it is of this content or of an earlier one; else everything, from the store."""
        if not len(keys.samples):
            return
        if self._keeps_snapshot(len(keys.samples)):
            path = snapshot.path_of(self._store.location)
            try:
                found = snapshot.read(path)
                if self._is_ours(found, keys):
                    self._segments, self._scale = [found.segment], found.scale
                    self._on_disk, self._changed = found.file if found.shared else None, 0
                    return
            except snapshot.MissingError:
                pass
            except snapshot.ForeignError as error:
                _LOG.warning("No index is kept: %s", error)
            except snapshot.UnusableError:
                _LOG.warning("The index %s is damaged or of another version: it is made anew.", path)
        loaded = self._store.load()
        self._scale, self._on_disk = Scale.of(loaded.rows), None
        self._segments = [Segment.of(loaded.rows, loaded.samples, loaded.people, self._scale)]
        self._changed, self._alive = 0, len(loaded.samples)
        if self._keeps_snapshot(len(loaded.samples)):
            with suppress(
                FacewiseError
            ):  # a full disk or a folder that cannot be written: slower to open, no more
                self._save()

    def _keeps_snapshot(self, samples: int) -> bool:
        """A gallery with a key writes none: vectors are only where they are sealed."""
        return samples > SMALL and self._store.cipher is None and self._store.state() is not None

    def _is_ours(self, found: snapshot.Snapshot, keys: Keys) -> bool:
        """Whether equal ids are equal samples, and some that are looked at are equal to the bit."""
        if found.segment.rows.shape[1] != keys.size or not self._store.descends_from(found.state):
            return False
        there = np.flatnonzero(np.isin(found.segment.samples, keys.samples))
        some = there[:: max(1, len(there) // 64)]
        rows = self._store.vectors(found.segment.samples[some])
        return bool(np.array_equal(rows, found.segment.rows[some]))

    def _reconcile(self, keys: Keys) -> None:
        """Brings the slots in step with the store: zeroes what went, moves what moved, reads what is new."""
        if len(self._segments) == 1 and self._segments[0].used == len(keys.samples):
            only = self._segments[0]
            if np.array_equal(only.samples[: only.used], keys.samples):
                if not np.array_equal(only.people[: only.used], keys.people):
                    only.people[: only.used] = keys.people
                return
        order = np.argsort(keys.samples)
        ids, owners = keys.samples[order], keys.people[order]
        known = np.zeros(len(ids), dtype=bool)
        gone = []
        for segment in self._segments:
            mine = segment.samples[: segment.used]
            at = np.minimum(np.searchsorted(ids, mine), max(0, len(ids) - 1))
            there = (ids[at] == mine) if len(ids) else np.zeros(len(mine), dtype=bool)
            gone.append(mine[~there & (mine != EMPTY)])
            known[at[there]] = True
            moved = np.flatnonzero(there)[segment.people[: segment.used][there] != owners[at[there]]]
            segment.people[moved] = owners[at[moved]]
            self._changed += len(moved)
        self._erase(np.concatenate(gone))
        if not known.all():
            self._append(self._store.vectors(ids[~known]), ids[~known], owners[~known])

    def _append(self, rows: FloatArray, samples: NDArray[np.int64], people: NDArray[np.int64]) -> None:
        if len(self._segments) < 2:  # a snapshot's arrays do not grow
            self._segments.append(Segment.empty(rows.shape[1]))
        self._segments[-1] = self._segments[-1].grown(rows, samples, people, self._scale)
        self._alive += len(rows)
        self._changed += len(rows)

    def _erase(self, samples: NDArray[np.int64]) -> None:
        """Zeros over samples that went, here and in the snapshot, whoever wrote it."""
        if not len(samples):
            return
        path = snapshot.path_of(self._store.location)
        mapped = bool(self._segments) and self._on_disk is not None and path.exists()
        for i, segment in enumerate(self._segments):
            slots = segment.slots_of(samples)
            self._alive -= len(slots)
            self._changed += len(slots)
            if i == 0 and mapped:
                with snapshot.locked_to_erase(path):
                    mapped = snapshot.identity(path) == self._on_disk
                    if mapped:
                        snapshot.clear(path, segment, slots)
            if i or not mapped:  # another process has written a new one since
                segment.clear(slots)
        if not mapped and self._store.state() is not None:
            snapshot.erase(path, samples)

    def _save(self) -> None:
        """Writes all samples to a new snapshot, and goes on with that."""
        state = self._store.state()
        if state is None or not self._keeps_snapshot(self._alive):
            return
        path = snapshot.path_of(self._store.location)
        together = self._together()
        with snapshot.locked(path):
            snapshot.write(path, together, self._scale, state)
            found = snapshot.read(path)
            # Who was removed by another process while this was written is still in it.
            left = self._store.keys().samples
            segment = found.segment
            snapshot.clear(path, segment, np.flatnonzero(~np.isin(segment.samples, left)))
        self._segments, self._on_disk, self._changed = [segment], found.file, 0
        self._forget(keep_seen=True)

    def _together(self) -> Segment:
        """All samples in one segment, by person, as a store has them; codes made by a scale for them all."""
        used = [(s, np.flatnonzero(s.people[: s.used] != EMPTY)) for s in self._segments]
        people = np.concatenate([s.people[at] for s, at in used])
        samples = np.concatenate([s.samples[at] for s, at in used])
        rows = np.concatenate([s.rows[at] for s, at in used])
        order = np.lexsort((samples, people))
        if not np.array_equal(order, np.arange(len(order))):
            rows = rows[order]
        self._scale = Scale.of(rows)
        return Segment.of(rows, samples[order], people[order], self._scale)

    def _mean_templates(self, rule: QualityRule | None) -> Templates:
        if self._templates is None or self._templates.rule is not rule:
            if self._view is None:
                self._view = self._make_view()
            if rule is not None and (self._weights is None or self._weights.rule is not rule):
                self._weights = Weights(rule)
            self._templates = Templates(self._view, None if rule is None else self._weights)
        return self._templates
