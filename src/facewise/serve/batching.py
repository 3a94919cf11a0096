"""The workers: photos of all requests side by side, their crops and their probes in common batches.

A worker that comes free takes what there is in this order: a search, if none is running (so probes that come
meanwhile are searched as one batch); crops, if there are as many as the network likes at once, or no photo is
left to detect, or the oldest has waited long enough; a photo. Nobody ever waits for a batch to fill while
there is a worker with nothing to do, so batches cost no time where there is little work and form by
themselves where there is much.

With processes (see `facewise.serve.lookers`) a thread drives each: it takes its share of the photos that
wait, whose crops the process embeds together, and one more thread searches.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.errors import FacewiseError
from facewise.gallery.identification import embedding_of
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.serve.admission import Ticket
from facewise.serve.lookers import Look, Looker
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload
from facewise.types import FloatArray

_LOG = logging.getLogger(__name__)

MOST_WAIT = 0.02
"""Seconds after which crops are embedded although photos wait and the batch is not full."""

MOST_PROBES = 64
"""Probes of one search."""

Search: TypeAlias = Callable[[FloatArray, Any], tuple[Any, Sequence[Any]]]
"""From (P, D) probes and what is asked of them to what holds for all, and an answer each."""

Found: TypeAlias = tuple[PhotoFaces, Any, list[Any]]
"""A photo's faces, what holds for the whole search, and the answer for each face."""


@dataclass(eq=False, slots=True)
class _Photo:
    upload: Upload
    embed: bool
    main_only: bool
    asked: Hashable | None
    ticket: Ticket
    future: Future[Any]


@dataclass(eq=False, slots=True)
class _Crops:
    found: PhotoFaces
    crops: NDArray[np.uint8]
    asked: Hashable | None
    ticket: Ticket
    future: Future[Any]
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False, slots=True)
class _Probes:
    found: PhotoFaces
    rows: FloatArray
    asked: Hashable
    ticket: Ticket
    future: Future[Found]


class Engine:
    """Threads that look at photos and search.

    Args:
        pipeline: Detects, aligns and embeds; each worker on one CPU thread.
        search: Searches a batch.
        limits: Of pixels and faces.
        workers: How many threads.
        batch: Crops embedded at once.
        observe: Told of each batch: `"embed"` or `"search"`, and its size.
        processes: Whether each worker has a process of its own.

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
        observe: Callable[[str, int], None] | None = None,
        processes: bool = False,
    ) -> None:
        self.pipeline, self.workers = pipeline, workers
        self._search, self._limits, self._batch = search, limits, batch
        self._observe = observe or (lambda _kind, _size: None)
        self._photos: deque[_Photo] = deque()
        self._crops: deque[_Crops] = deque()
        self._probes: deque[_Probes] = deque()
        self._searching = False
        self._closed = False
        lock = threading.RLock()
        self._wake = threading.Condition(lock)
        self._found = threading.Condition(lock)  # told of probes
        self._looked = False  # whether all photos have been looked at, at the end
        self._lookers = _started(pipeline, limits, workers) if processes else []
        if self._lookers:
            work: list[Callable[[], None]] = [partial(self._drive, looker) for looker in self._lookers]
        else:
            work = [self._work] * workers
        self._threads = [_thread(target, f"facewise-worker-{i}") for i, target in enumerate(work)]
        self._searcher = _thread(self._search_all, "facewise-searcher") if self._lookers else None

    @property
    def waiting(self) -> int:
        """Photos that no worker has looked at yet."""
        return len(self._photos)

    async def faces(
        self, upload: Upload, ticket: Ticket, *, embed: bool = True, main_only: bool = False
    ) -> PhotoFaces:
        """The faces of one photo.

        Raises:
            ImageError: The photo cannot be read.
            ModelError: A network failed on it.
        """
        future: Future[PhotoFaces] = Future()
        self._put(_Photo(upload, embed, main_only, None, ticket, future))
        return await asyncio.wrap_future(future)

    async def search(self, upload: Upload, asked: Hashable, ticket: Ticket) -> Found:
        """The faces of one photo, and what the search says of each.

        Args:
            upload: The photo.
            asked: What is asked of its faces; those of photos that ask the same share a search.
            ticket: Of the request.

        Raises:
            FacewiseError: As `faces`, and whatever the search raises.
        """
        future: Future[Found] = Future()
        self._put(_Photo(upload, True, False, asked, ticket, future))
        return await asyncio.wrap_future(future)

    async def many(
        self, uploads: Sequence[Upload], ticket: Ticket, *, embed: bool = True
    ) -> list[PhotoFaces]:
        """The faces of many photos, in order; an unreadable one has its `error`.

        Only a few at a time are handed to the workers, so that others' photos come in between.
        """
        turns = asyncio.Semaphore(self.workers)

        async def one(upload: Upload) -> PhotoFaces:
            async with turns:
                try:
                    return await self.faces(upload, ticket, embed=embed)
                except FacewiseError as error:
                    return PhotoFaces(upload.name, error=error)

        return list(await asyncio.gather(*(one(upload) for upload in uploads)))

    def close(self) -> None:
        """Finishes what was put in, and ends the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()
        with self._wake:
            self._looked = True
            self._found.notify_all()
        if self._searcher is not None:
            self._searcher.join()
        for looker in self._lookers:
            looker.close()

    def _put(self, photo: _Photo) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._photos.append(photo)
            self._wake.notify()

    def _drive(self, looker: Looker) -> None:
        """A thread of one process: photos in, faces out."""
        while (photos := self._take_photos()) is not None:
            photos = [photo for photo in photos if _begin(photo.ticket, photo.future)]
            if not photos:
                continue
            asked = [Look(bytes(p.upload), p.upload.name, p.embed, p.main_only) for p in photos]
            try:
                seen, together = looker.look(asked)
            except Exception as error:  # a bug here must not cost a worker  # noqa: BLE001
                _LOG.exception("A worker failed.")
                seen, together = [error] * len(photos), 0
            if together:
                self._observe("embed", together)
            for photo, one in zip(photos, seen, strict=True):
                self._hand_on(photo, one)

    def _take_photos(self) -> list[_Photo] | None:
        """The oldest photos: as many as leave every worker its share, at most a batch."""
        with self._wake:
            while not self._photos:
                if self._closed:
                    return None
                self._wake.wait()
            share = min(self._batch, -(-len(self._photos) // self.workers))
            return [self._photos.popleft() for _ in range(share)]

    def _hand_on(self, photo: _Photo, seen: PhotoFaces | Exception) -> None:
        if isinstance(seen, Exception):
            photo.future.set_exception(seen)
        elif photo.asked is None:
            photo.future.set_result(seen)
        else:
            size = self.pipeline.embedder.embedding_size
            rows = np.zeros((len(seen.faces), size), dtype=np.float32)
            for row, face in zip(rows, seen.faces, strict=True):
                row[:] = embedding_of(face)
            with self._wake:
                self._probes.append(_Probes(seen, rows, photo.asked, photo.ticket, photo.future))
                self._found.notify()

    def _search_all(self) -> None:
        """The thread that searches, where processes look at photos."""
        while True:
            with self._wake:
                while not self._probes:
                    if self._looked:
                        return
                    self._found.wait()
                probes = _take_alike(self._probes)
            try:
                self._answer(probes)
            except BaseException:  # as in `_work`  # noqa: BLE001
                _LOG.exception("A search failed.")

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
                    probes = _take_alike(self._probes)
                    return lambda: self._answer(probes)
                if self._crops and self._crops_due():
                    crops = self._take_crops()
                    return lambda: self._embed(crops)
                if self._photos:
                    photo = self._photos.popleft()
                    return lambda: self._look(photo)
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

    def _look(self, photo: _Photo) -> None:
        """Decodes, detects and cuts; the crops then wait for others."""
        if not _begin(photo.ticket, photo.future):
            return
        steps = Steps(embed=False, keep_crops=photo.embed, main_only=photo.main_only)
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
            crops = _Crops(found, found.crops, photo.asked, photo.ticket, photo.future)
            with self._wake:
                self._crops.append(crops)
        elif photo.asked is None:
            photo.future.set_result(replace(found, crops=None))
        else:
            rows = np.empty((0, self.pipeline.embedder.embedding_size), dtype=np.float32)
            self._ask(_Probes(replace(found, crops=None), rows, photo.asked, photo.ticket, photo.future))

    def _ask(self, probes: _Probes) -> None:
        with self._wake:
            self._probes.append(probes)

    def _embed(self, items: list[_Crops]) -> None:
        items = [item for item in items if item.ticket.wanted or _drop(item.future)]
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
            faces = tuple(
                replace(face, embedding=row) for face, row in zip(item.found.faces, own, strict=True)
            )
            found = replace(item.found, faces=faces, crops=None)
            if item.asked is None:
                item.future.set_result(found)
            else:
                self._ask(_Probes(found, own, item.asked, item.ticket, item.future))

    def _answer(self, items: list[_Probes]) -> None:
        items = [item for item in items if item.ticket.wanted or _drop(item.future)]
        try:
            if not items:
                return
            rows = np.concatenate([item.rows for item in items]) if len(items) > 1 else items[0].rows
            shared, found = self._search(rows, items[0].asked)
            answers = list(found)
        except Exception as error:  # noqa: BLE001  told to whoever asked
            for item in items:
                item.future.set_exception(error)
        else:
            self._observe("search", len(rows))
            start = 0
            for item in items:
                item.future.set_result((item.found, shared, answers[start : start + len(item.rows)]))
                start += len(item.rows)
        finally:
            with self._wake:
                self._searching = False


def _thread(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


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


def _take_alike(queue: deque[_Probes]) -> list[_Probes]:
    """The oldest and all that ask the same, up to a bound; the others keep their places."""
    first = queue.popleft()
    taken, count = [first], len(first.rows)
    for item in list(queue):
        if item.asked == first.asked and count + len(item.rows) <= MOST_PROBES:
            queue.remove(item)
            taken.append(item)
            count += len(item.rows)
    return taken


def _begin(ticket: Ticket, future: Future[Any]) -> bool:
    """Whether somebody still waits for it."""
    return future.set_running_or_notify_cancel() and (ticket.wanted or _drop(future))


def _drop(future: Future[Any]) -> bool:
    """Ends what nobody waits for any more."""
    future.set_exception(TimeoutError("nobody waits for this any more"))
    return False
