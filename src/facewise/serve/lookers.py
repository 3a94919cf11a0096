"""Processes that look at photos: free of each other's lock, and alone in decoding what strangers send.

Each is driven by one thread of the service, through a pipe. A photo that brings its process down (a fault in
a decoder, no memory) costs that photo alone: the process is started again, and what came with it is tried
again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np

from facewise.errors import FacewiseError, ImageError
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.serve.settings import Limits

_LOG = logging.getLogger(__name__)

_PATIENCE = 60.0
"""Seconds for one batch of photos; far above what the largest photo takes."""

_START = 120.0
"""Seconds to load the networks, on a machine that is busy."""


_NICE = 10
"""How much these processes give way: the threads that feed them, search and answer take a moment each, and
must not wait for a photo to be done."""


@dataclass(frozen=True, slots=True)
class Look:
    """One photo to look at.

    Attributes:
        data: Its bytes.
        name: What to call it in an error.
        embed: Whether embeddings are wanted.
        main_only: Whether the main face alone is.
    """

    data: bytes
    name: str
    embed: bool
    main_only: bool


Seen: TypeAlias = PhotoFaces | Exception
"""What was found in a photo, or why nothing was."""


class Looker:
    """A process with networks of its own. One thread at a time may use it.

    Args:
        pipeline: One that other processes can open again; see `Pipeline.portable`.
        limits: Of pixels and faces.
    """

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self._pipeline, self._limits = pipeline, limits
        self._process: Any = None
        self._pipe: Connection | None = None
        self._under_way: deque[Sequence[Look]] = deque()

    def start(self) -> None:
        """Starts the process, which loads its networks meanwhile."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._pipeline, self._limits), name="facewise-looker", daemon=True
        )
        self._process.start()
        theirs.close()  # so that its death is seen as the end of the pipe
        self._pipe = ours

    def wait_until_ready(self) -> None:
        """Waits until the networks are loaded.

        Raises:
            FacewiseError: They cannot be.
        """
        try:
            ready = self._answer(_START)
        except (EOFError, OSError, TimeoutError) as error:
            self._end()
            raise FacewiseError(
                "A worker process did not start, most likely for want of memory: try fewer --threads, or "
                "--in-process."
            ) from error
        if isinstance(ready, Exception):
            raise ready

    def look(self, photos: Sequence[Look]) -> tuple[list[Seen], int]:
        """What is in each photo, and how many crops were embedded at once."""
        self.begin(photos)
        return self.finish()

    def begin(self, photos: Sequence[Look]) -> None:
        """Hands photos over, also while others are looked at; each `finish` answers for the oldest."""
        self._under_way.append(photos)
        self._send(photos)

    def finish(self) -> tuple[list[Seen], int]:
        """What `look` answers, of the photos that were handed over first."""
        photos = self._under_way.popleft()
        try:
            found: tuple[list[Seen], int] = self._answer(_PATIENCE)
        except (EOFError, OSError, TimeoutError):
            _LOG.warning(
                "A worker process ended while it looked at %d photos; it is started again.", len(photos)
            )
        else:
            return found
        later, self._under_way = self._under_way, deque()
        self._again()
        seen, together = self._once_more(photos)
        for others in later:
            self.begin(others)
        return seen, together

    def _once_more(self, photos: Sequence[Look]) -> tuple[list[Seen], int]:
        """Each alone, but for one that was alone when the process ended."""
        if len(photos) == 1:
            return [ImageError(f"{photos[0].name} cannot be read: looking at it failed.")], 0
        alone = [self.look([photo]) for photo in photos]
        return [seen for one, _ in alone for seen in one], max(count for _, count in alone)

    def close(self) -> None:
        """Ends the process."""
        self._end()

    def _send(self, photos: Sequence[Look]) -> None:
        try:
            if self._pipe is not None:
                self._pipe.send([(p.data, p.name, p.embed, p.main_only) for p in photos])
        except OSError:
            pass  # the process is gone, as `finish` will see

    def _answer(self, seconds: float) -> Any:
        if self._pipe is None:
            raise EOFError
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv()  # from a process of our own, that ran our own code

    def _again(self) -> None:
        self._end()
        try:
            self.start()
            self.wait_until_ready()
        except (FacewiseError, OSError):
            _LOG.exception("A worker process could not be started again; the next photo tries once more.")
            self._end()

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.join(1.0)  # the end of its pipe ends it
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None


def _serve(pipe: Connection, pipeline: Pipeline, limits: Limits) -> None:
    """The process: answers until the pipe ends, as it does when the service dies."""
    import cv2  # noqa: PLC0415  each process sets its own

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the service stops us
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        _warm(pipeline)
    except Exception as error:  # noqa: BLE001  told to the service
        pipe.send(error)
        return
    pipe.send(None)
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, asked), daemon=True).start()
    while (photos := asked.get()) is not None:
        try:
            pipe.send(_look(pipeline, limits, [Look(*fields) for fields in photos]))
        except OSError:
            return


def _receive(pipe: Connection, asked: queue.SimpleQueue[Any]) -> None:
    """Reads on while photos are looked at, so that the service never waits to send the next."""
    try:
        while True:
            asked.put(pipe.recv())
    except (EOFError, OSError):
        asked.put(None)


def _warm(pipeline: Pipeline) -> None:
    size = pipeline.crop_size
    pipeline.detector.detect(np.zeros((480, 640, 3), dtype=np.uint8), threads=1)
    pipeline.embedder.embed(np.full((1, size, size, 3), 128, dtype=np.uint8), threads=1)


def _look(pipeline: Pipeline, limits: Limits, photos: Sequence[Look]) -> tuple[list[Seen], int]:
    """Each photo on its own up to its crops; all crops are embedded together."""
    seen: list[Seen] = []
    for photo in photos:
        steps = Steps(embed=False, keep_crops=photo.embed, main_only=photo.main_only)
        try:
            found = pipeline.read_bytes(
                photo.data, steps, name=photo.name, max_pixels=limits.max_pixels, max_faces=limits.max_faces
            )
        except Exception as error:  # noqa: BLE001  told to whoever sent the photo
            seen.append(_plain(error))
        else:
            seen.append(found)
    waiting = [i for i, one in enumerate(seen) if isinstance(one, PhotoFaces) and one.crops is not None]
    crops = [one.crops for i in waiting if isinstance(one := seen[i], PhotoFaces) and one.crops is not None]
    count = sum(map(len, crops))
    if count:
        try:
            rows = pipeline.embedder.embed(np.concatenate(crops), threads=1)
        except Exception as error:  # noqa: BLE001  as above
            if len(waiting) == 1:
                seen[waiting[0]] = _plain(error)
                return seen, 0
            alone = [
                _look(pipeline, limits, [photo]) for photo in photos
            ]  # one bad crop is nobody else's concern
            return [one for found, _ in alone for one in found], 1
        start = 0
        for i in waiting:
            one = seen[i]
            if isinstance(one, PhotoFaces):
                own = rows[start : start + len(one.faces)]
                start += len(own)
                faces = tuple(replace(face, embedding=row) for face, row in zip(one.faces, own, strict=True))
                seen[i] = replace(one, faces=faces, crops=None)
    return [replace(one, crops=None) if isinstance(one, PhotoFaces) else one for one in seen], count


def _plain(error: Exception) -> Exception:
    """An error that can be sent: our own are their sentence; of others, what they are."""
    return error if isinstance(error, FacewiseError) else RuntimeError(repr(error))
