"""Workers that are processes (see `facewise.serve.lookers`), each driven by a thread of the service.

A driver takes its share of the photos that wait, whose crops the process embeds together, and one share ahead
where that leaves no other idle. What was found is handed on while the process looks at the next: the driver
searches for the faces itself, if nobody is searching and its process has something to do. Else they wait for
the search that is running to end, and the thread that is there for it searches for all that came meanwhile as
one batch.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from facewise.gallery.identification import embedding_of
from facewise.pipeline import Pipeline
from facewise.serve.engine import Engine, Observe, thread
from facewise.serve.jobs import Photo, Probes, Search, begin, take_alike
from facewise.serve.lookers import Look, Looker, Seen
from facewise.serve.settings import Limits

_LOG = logging.getLogger(__name__)

_Looked: TypeAlias = list[tuple[Photo, Seen]]

_AHEAD = 1
"""Shares of photos that a process is given beside the one it looks at: it need not wait for its driver."""


class ProcessEngine(Engine):
    """Processes that look at photos; the search stays here. Arguments as of `Engine`.

    Raises:
        FacewiseError: A process does not start.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        search: Search,
        limits: Limits,
        *,
        workers: int,
        batch: int = 4,
        observe: Observe | None = None,
    ) -> None:
        super().__init__(pipeline, search, limits, workers=workers, batch=batch, observe=observe)
        self._found = threading.Condition(self._lock)
        self._searching = False
        self._idle = 0  # drivers that wait for a photo
        self._looked = False  # whether all photos have been looked at, at the end
        self._lookers = _started(pipeline, limits, workers)
        self._threads = [
            thread(partial(self._drive, looker), f"facewise-driver-{i}")
            for i, looker in enumerate(self._lookers)
        ]
        self._searcher = thread(self._search_rest, "facewise-searcher")

    def close(self) -> None:
        """Finishes what was put in, and ends the processes."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for driver in self._threads:
            driver.join()
        with self._wake:
            self._looked = True
            self._found.notify_all()
        self._searcher.join()
        for looker in self._lookers:
            looker.close()

    def _drive(self, looker: Looker) -> None:
        """Photos in, faces out, until the engine is closed and none is left."""
        inside: deque[list[Photo]] = deque()
        looked: _Looked = []
        while True:
            for _ in range(_AHEAD + 1 - len(inside)):
                photos = self._take(wait=not inside and not looked, ahead=bool(inside))
                if photos is None:
                    return
                photos = [photo for photo in photos if begin(photo.ticket, photo.future)]
                if photos:
                    looker.begin([Look(bytes(p.upload), p.upload.name, p.embed, p.main_only) for p in photos])
                    inside.append(photos)
            try:
                self._hand_on(looked, busy=bool(inside))
            except BaseException:  # a bug here must not cost a worker  # noqa: BLE001
                _LOG.exception("A worker failed.")
            looked = self._finish(looker, inside.popleft()) if inside else []

    def _take(self, *, wait: bool, ahead: bool) -> list[Photo] | None:
        """The oldest photos: as many as leave every worker its share, at most a batch.

        Args:
            wait: Whether to wait for one. None is returned then when none will come.
            ahead: Whether the process has something to do: then only what no idle one is about to take.
        """
        with self._wake:
            while len(self._photos) <= (self._idle if ahead else 0):
                if not wait:
                    return []
                if self._closed:
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1
            share = min(self._batch, -(-len(self._photos) // self.workers))
            return [self._photos.popleft() for _ in range(share)]

    def _finish(self, looker: Looker, photos: Sequence[Photo]) -> _Looked:
        try:
            seen, together = looker.finish()
        except Exception as error:  # noqa: BLE001  told to whoever sent the photos
            _LOG.exception("A worker failed.")
            seen, together = [error] * len(photos), 0
        if together:
            self._observe("embed", together)
        return list(zip(photos, seen, strict=True))

    def _hand_on(self, looked: _Looked, *, busy: bool) -> None:
        probes = []
        for photo, seen in looked:
            if isinstance(seen, Exception):
                photo.future.set_exception(seen)
            elif photo.asked is None:
                photo.future.set_result(seen)
            else:
                size = self.pipeline.embedder.embedding_size
                rows = np.zeros((len(seen.faces), size), dtype=np.float32)
                for row, face in zip(rows, seen.faces, strict=True):
                    row[:] = embedding_of(face)
                probes.append(Probes(seen, rows, photo.asked, photo.ticket, photo.future, photo.note))
        if probes:
            with self._wake:
                self._probes.extend(probes)
                if not busy:
                    self._found.notify()
            if busy:
                self._search_once()

    def _search_once(self) -> None:
        """One search, unless there is one under way: who does that looks again when it is done."""
        with self._wake:
            if self._searching or not self._probes:
                return
            self._searching = True
            probes = take_alike(self._probes)
        try:
            self._answer(probes)
        finally:
            with self._wake:
                self._searching = False
                if self._probes or self._looked:
                    self._found.notify()

    def _search_rest(self) -> None:
        """The thread that searches where no driver does."""
        while True:
            with self._wake:
                while not self._probes or self._searching:
                    if self._looked and not self._probes:
                        return
                    self._found.wait()
            try:
                self._search_once()
            except BaseException:  # as in `_drive`  # noqa: BLE001
                _LOG.exception("A search failed.")


def _started(pipeline: Pipeline, limits: Limits, count: int) -> list[Looker]:
    """Processes that have loaded their networks, side by side."""
    lookers = [Looker(pipeline, limits) for _ in range(count)]
    try:
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.wait_until_ready()
    except BaseException:
        for looker in lookers:
            looker.close()
        raise
    return lookers
