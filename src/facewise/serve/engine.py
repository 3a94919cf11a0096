"""What looks at photos and searches, as the routes see it: they put photos in and wait for what is found.

Two do the work: `facewise.serve.batching` on threads of the service, `facewise.serve.driving` in processes.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np

from facewise.errors import FacewiseError
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.serve.admission import Ticket
from facewise.serve.fair import FairQueue
from facewise.serve.jobs import Found, Note, Photo, Probes, Search, drop
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload

Observe: TypeAlias = Callable[[str, int], None]
"""Told of each batch: `"embed"` or `"search"`, and its size."""


class Engine(ABC):
    """Looks at photos and searches, batch by batch, for all requests.

    Args:
        pipeline: Detects, aligns and embeds; each worker on one CPU thread.
        search: Searches a batch.
        limits: Of pixels and faces.
        workers: How many photos are looked at side by side.
        batch: Crops embedded at once.
        observe: Told of each batch.

    Raises:
        FacewiseError: The workers cannot be started.
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
        self.pipeline, self.workers = pipeline, workers
        self._limits, self._batch = limits, batch
        self._observe = observe or (lambda _kind, _size: None)
        self._search_for = search
        self._photos = FairQueue()
        self._probes: deque[Probes] = deque()
        self._closed = False
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._start()

    @property
    def waiting(self) -> int:
        """Photos that no worker has looked at yet."""
        return len(self._photos)

    @property
    def confined(self) -> tuple[str, ...]:
        """What keeps whoever decodes photos from all else; see `facewise.sandbox.confine`."""
        return ()

    async def faces(
        self,
        upload: Upload,
        ticket: Ticket,
        *,
        embed: bool = True,
        main_only: bool = False,
        attributes: tuple[str, ...] = (),
        mesh: bool = False,
    ) -> PhotoFaces:
        """The faces of one photo; what is asked of them as in `facewise.pipeline.Steps`.

        Raises:
            ImageError: The photo cannot be read.
            ModelError: A network failed on it.
        """
        future: Future[PhotoFaces] = Future()
        self._put(Photo(upload, embed, main_only, None, ticket, future, attributes=attributes, mesh=mesh))
        return await asyncio.wrap_future(future)

    async def search(
        self, upload: Upload, asked: Hashable, ticket: Ticket, note: Note | None = None
    ) -> Found:
        """The faces of one photo, and what the search says of each.

        Args:
            upload: The photo.
            asked: What is asked of its faces; those of photos that ask the same share a search.
            ticket: Of the request.
            note: Told what was found before the caller is, on the thread that searched, for the audit log:
                by way of the caller it took two turns more of a busy event loop.

        Raises:
            FacewiseError: As `faces`, and whatever the search raises or `note` calls back with.
        """
        future: Future[Found] = Future()
        self._put(Photo(upload, True, False, asked, ticket, future, note))
        return await asyncio.wrap_future(future)

    async def many(
        self,
        uploads: Sequence[Upload],
        ticket: Ticket,
        *,
        embed: bool = True,
        main_only: bool = False,
        mesh: bool = False,
    ) -> list[PhotoFaces]:
        """The faces of many photos, in order; an unreadable one has its `error`.

        Only a few at a time are handed to the workers, so that others' photos come in between.
        """
        turns = asyncio.Semaphore(self.workers)

        async def one(upload: Upload) -> PhotoFaces:
            async with turns:
                try:
                    return await self.faces(upload, ticket, embed=embed, main_only=main_only, mesh=mesh)
                except FacewiseError as error:
                    return PhotoFaces(upload.name, error=error)

        return list(await asyncio.gather(*(one(upload) for upload in uploads)))

    @abstractmethod
    def _start(self) -> None:
        """Starts the workers."""

    @abstractmethod
    def close(self) -> None:
        """Finishes what was put in, and ends the workers."""

    def _put(self, photo: Photo) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._photos.append(photo)
            self._wake.notify()

    def _answer(self, items: list[Probes]) -> None:
        """Searches for probes that ask the same."""
        items = [item for item in items if item.ticket.wanted or drop(item.future)]
        if not items:
            return
        try:
            rows = np.concatenate([item.rows for item in items]) if len(items) > 1 else items[0].rows
            faces = [face for item in items for face in item.found.faces]
            shared, found = self._search_for(rows, items[0].asked, faces)
            answers = list(found)
        except Exception as error:  # noqa: BLE001  told to whoever asked
            for item in items:
                item.future.set_exception(error)
            return
        self._observe("search", len(rows))
        start = 0
        for item in items:
            _tell(item, (item.found, shared, answers[start : start + len(item.rows)]))
            start += len(item.rows)


def _tell(item: Probes, found: Found) -> None:
    """Ends the wait for what was found, when it has been noted."""

    def noted(error: Exception | None) -> None:
        if error is None:
            item.future.set_result(found)
        else:
            item.future.set_exception(error)

    if item.note is None:
        noted(None)
        return
    try:
        item.note(found, noted)
    except Exception as error:  # noqa: BLE001  told to whoever asked
        noted(error)


def thread(work: Callable[[], None], name: str) -> threading.Thread:
    """A thread that has begun to work."""
    begun = threading.Thread(target=work, name=name, daemon=True)
    begun.start()
    return begun
