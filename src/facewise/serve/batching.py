"""Workers that are threads: photos of all requests side by side, their crops and probes in common batches.

A worker that comes free takes what there is in this order: a search, if none is running (so probes that come
meanwhile are searched as one batch); crops, if there are as many as the network likes at once, or no photo is
left to detect, or the oldest has waited long enough; a photo. Nobody ever waits for a batch to fill while
there is a worker with nothing to do, so batches cost no time where there is little work and form by
themselves where there is much.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.pipeline import PhotoFaces, Steps
from facewise.serve.admission import Ticket
from facewise.serve.engine import Engine, thread
from facewise.serve.jobs import Note, Photo, Probes, begin, drop, take_alike

_LOG = logging.getLogger(__name__)

MOST_WAIT = 0.02
"""Seconds after which crops are embedded although photos wait and the batch is not full."""


@dataclass(eq=False, slots=True)
class _Crops:
    found: PhotoFaces
    crops: NDArray[np.uint8]
    asked: Hashable | None
    ticket: Ticket
    future: Future[Any]
    note: Note | None
    since: float = field(default_factory=time.monotonic)


class ThreadEngine(Engine):
    """Threads that look at photos and search; arguments as of `Engine`."""

    def _start(self) -> None:
        self._crops: deque[_Crops] = deque()
        self._looking: Counter[Hashable] = Counter()  # photos that are looked at, by client
        self._searching = False
        self._threads = [thread(self._work, f"facewise-worker-{i}") for i in range(self.workers)]

    def close(self) -> None:
        """Finishes what was put in, and ends the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for worker in self._threads:
            worker.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException:  # a bug here must not cost a worker  # noqa: BLE001
                _LOG.exception("A worker failed.")

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while True:
                if self._probes and not self._searching:
                    self._searching = True
                    probes = take_alike(self._probes)
                    return lambda: self._answer_alone(probes)
                if self._crops and self._crops_due():
                    crops = self._take_crops()
                    return lambda: self._embed(crops)
                if taken := self._photos.take(1, self._may_be_looked_at):
                    self._looking[taken[0].ticket.client] += 1
                    return lambda: self._look(taken[0])
                if self._closed and not self._searching:
                    self._wake.notify_all()
                    return None
                self._wake.wait()

    def _crops_due(self) -> bool:
        if not self._photos or time.monotonic() - self._crops[0].since > MOST_WAIT:
            return True
        return sum(len(item.crops) for item in self._crops) >= self._batch

    def _take_crops(self) -> list[_Crops]:
        taken = [self._crops.popleft()]
        count = len(taken[0].crops)
        while self._crops and count + len(self._crops[0].crops) <= self._batch:
            taken.append(self._crops.popleft())
            count += len(taken[-1].crops)
        return taken

    def _may_be_looked_at(self, client: Hashable) -> bool:
        most = self._photos.most(client, self.workers)
        return most is None or self._looking[client] < most

    def _look(self, photo: Photo) -> None:
        """Decodes, detects and cuts; the crops then wait for others."""
        begun = time.monotonic()
        wanted = begin(photo.ticket, photo.future)
        try:
            if wanted:
                self._look_at(photo)
        finally:
            with self._wake:
                if wanted:
                    self._photos.took([photo], time.monotonic() - begun)
                self._looking[photo.ticket.client] -= 1
                self._looking += Counter()  # forgets who has none
                self._wake.notify_all()

    def _look_at(self, photo: Photo) -> None:
        steps = Steps(
            embed=False,
            keep_crops=photo.embed,
            main_only=photo.main_only,
            attributes=photo.attributes,
            mesh=photo.mesh,
        )
        try:
            found = self.pipeline.read_bytes(
                photo.upload, steps, name=photo.upload.name, max_pixels=self._limits.max_pixels,
                max_faces=self._limits.max_faces,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  told to whoever sent the photo
            photo.future.set_exception(error)
            return
        # Whoever put something in looks for work next, so nobody need be woken for it. And it is put in even
        # while the engine closes: what was accepted is finished.
        if found.crops is not None and found.faces:
            crops = _Crops(found, found.crops, photo.asked, photo.ticket, photo.future, photo.note)
            with self._wake:
                self._crops.append(crops)
        elif photo.asked is None:
            photo.future.set_result(replace(found, crops=None))
        else:
            rows = np.empty((0, self.pipeline.embedder.embedding_size), dtype=np.float32)
            self._ask(
                Probes(replace(found, crops=None), rows, photo.asked, photo.ticket, photo.future, photo.note)
            )

    def _ask(self, probes: Probes) -> None:
        with self._wake:
            self._probes.append(probes)

    def _embed(self, items: list[_Crops]) -> None:
        items = [item for item in items if item.ticket.wanted or drop(item.future)]
        if not items:
            return
        crops = np.concatenate([item.crops for item in items]) if len(items) > 1 else items[0].crops
        try:
            rows = self.pipeline.embedder.embed(crops, threads=1)
        except Exception as error:  # noqa: BLE001  told to whoever sent the photo
            if len(items) == 1:
                items[0].future.set_exception(error)
                return
            for item in items:  # one bad crop is nobody else's concern
                self._embed([item])
            return
        self._observe("embed", len(crops))
        start = 0
        for item in items:
            own = rows[start : start + len(item.crops)]
            start += len(own)
            faces = self.pipeline.with_embeddings(item.found.faces, own)
            found = replace(item.found, faces=faces, crops=None)
            if item.asked is None:
                item.future.set_result(found)
            else:
                self._ask(Probes(found, own, item.asked, item.ticket, item.future, item.note))

    def _answer_alone(self, items: list[Probes]) -> None:
        """Searches, while no other thread does."""
        try:
            self._answer(items)
        finally:
            with self._wake:
                self._searching = False
