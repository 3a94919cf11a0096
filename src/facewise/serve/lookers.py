"""Processes that look at photos: free of each other's lock, and alone in decoding what strangers send.

They take photos from one `Intake`, and each answers by a pipe of its own. What a process holds is written
where the service can read it, so that a photo that brings its process down (a fault in a decoder, no memory)
is known; see `facewise.serve.driving` for what is done about it. When its networks are loaded, a process has
everything taken from it that looking at photos does not need (`facewise.sandbox`), and the system ends it
over a photo that takes more of the CPU's time than a photo may. What it answers is plain data (`frames`).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from facewise.errors import FacewiseError
from facewise.formats import apart
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.sandbox import confine, limit_seconds
from facewise.serve.frames import MOST_BYTES, Answer, Seen, answer_of, error_of, pack, packed, unpack
from facewise.serve.intake import Intake, Look, take
from facewise.serve.memory import LARGE, give_back
from facewise.serve.settings import Limits

_PATIENCE = 60.0
"""Seconds for one job; far above what the largest photos take."""

_START = 120.0
"""Seconds to load the networks, on a machine that is busy."""

_NICE = 10
"""How much these processes give way: the threads that feed them, search and answer take a moment each, and
must not wait for a photo to be done."""

_MEMORY = 1 << 30
_MEMORY_A_PIXEL = 48
"""Bytes a process may take beside what its networks have: for itself, and for each pixel of a photo."""

_ENDING = 1.0
"""Seconds to wait for why a process ended, once its pipe is closed."""


class OvertimeError(EOFError):
    """A process was ended by the system, over a photo that took too much of the CPU's time."""


class Looker:
    """A process with networks of its own. One thread at a time may use it.

    Args:
        pipeline: One that other processes can open again; see `Pipeline.portable`.
        limits: Of pixels, faces and time.
        intake: Where it takes its photos from.

    Attributes:
        confined: What keeps it from all else when it is ready; see `facewise.sandbox.confine`.
    """

    def __init__(self, pipeline: Pipeline, limits: Limits, intake: Intake) -> None:
        self._pipeline, self._limits, self._intake = pipeline, limits, intake
        self._context = multiprocessing.get_context("spawn")
        self._holds = _Shared()
        self._process: Any = None
        self._pipe: Connection | None = None
        self.confined: tuple[str, ...] = ()

    @property
    def holds(self) -> int:
        """The number of the job that it is looking at, or was when it ended; 0 for none."""
        return self._holds.value

    def start(self) -> None:
        """Starts the process, which loads its networks meanwhile."""
        self._holds.value = 0
        ours, theirs = self._context.Pipe(duplex=False)
        self._process = self._context.Process(
            target=_serve,
            args=(self._intake.theirs, theirs, self._holds, self._pipeline, self._limits),
            name="facewise-looker",
            daemon=True,
        )
        with _one_thread():
            self._process.start()
        theirs.close()  # so that its death is seen as the end of the pipe
        self._pipe = ours

    def wait_until_ready(self) -> None:
        """Waits until the networks are loaded.

        Raises:
            FacewiseError: They cannot be.
        """
        try:
            if self._pipe is None or not self._pipe.poll(_START):
                raise TimeoutError
            ready, _ = unpack(self._pipe.recv_bytes(MOST_BYTES))
            failed = error_of(ready) if "error" in ready else None
            self.confined = tuple(map(str, ready.get("confined", ())))
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            raise FacewiseError(
                "A worker process did not start, most likely for want of memory: try fewer --threads, or "
                "--in-process."
            ) from error
        if failed is not None:
            raise failed

    def answer(self) -> Answer:
        """The next job that it has done.

        Raises:
            EOFError: The process has ended; `OvertimeError` where a photo took too long.
            OSError: So it has, or (`TimeoutError`) it does not get on with a job.
            ValueError: What it says cannot be understood.
        """
        if self._pipe is None:
            raise EOFError
        before = self.holds
        while not self._pipe.poll(_PATIENCE):
            if before and before == self.holds:
                raise TimeoutError
            before = self.holds
        try:
            frame = self._pipe.recv_bytes(MOST_BYTES)
        except EOFError:
            self._process.join(_ENDING)
            if self._process.exitcode == -signal.SIGXCPU:
                raise OvertimeError from None
            raise
        return answer_of(frame)

    def close(self) -> None:
        """Ends the process, at once if it has not ended by itself as its intake is closed."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
            self._process = None


_ENVIRONMENT = threading.Lock()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Within, a process that is started has one thread: Landlock holds for the one that asks for it."""
    with _ENVIRONMENT:
        name = "OPENBLAS_NUM_THREADS"
        before = os.environ.get(name)
        os.environ[name] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


class _Shared:
    """An integer that a process and those it starts share, in memory of no file system.

    That of `multiprocessing` is a file in /dev/shm, which not every container has.
    """

    def __init__(self, fd: int | None = None) -> None:
        new = fd is None
        self._file = os.fdopen(os.memfd_create("facewise-holds") if fd is None else fd, "r+b", buffering=0)
        if new:
            self._file.truncate(8)
        self._memory = mmap.mmap(self._file.fileno(), 8)
        self._integer = ctypes.c_int64.from_buffer(self._memory)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared, (reduction.DupFd(self._file.fileno()),)

    @property
    def value(self) -> int:
        """What was written last, by any of them."""
        return self._integer.value

    @value.setter
    def value(self, integer: int) -> None:
        self._integer.value = integer


def _shared(handle: Any) -> _Shared:
    return _Shared(handle.detach())


def _serve(
    intake: socket.socket, pipe: Connection, holds: _Shared, pipeline: Pipeline, limits: Limits
) -> None:
    """The process: answers until the intake ends, as it does when the service dies."""
    import cv2  # noqa: PLC0415  each process sets its own

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the service stops us
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        _warm(pipeline)
    except Exception as error:  # noqa: BLE001  told to the service
        pipe.send_bytes(pack({"error": type(_plain(error)).__name__, "told": str(_plain(error))}))
        return
    apart.prepare()
    confined = confine(memory=_MEMORY + _MEMORY_A_PIXEL * limits.max_pixels)
    pipe.send_bytes(pack({"confined": confined}))
    while (job := take(intake)) is not None:
        holds.value = job.number
        try:
            seen, together = _look(pipeline, limits, job.photos())
            pipe.send_bytes(packed(job.number, seen, together))
        except OSError:
            return
        holds.value = 0
        if any(_was_large(one) for one in seen):
            give_back()


def _warm(pipeline: Pipeline) -> None:
    size = pipeline.crop_size
    pipeline.detector.detect(np.zeros((480, 640, 3), dtype=np.uint8), threads=1)
    pipeline.embedder.embed(np.full((1, size, size, 3), 128, dtype=np.uint8), threads=1)
    if pipeline.tells_attributes:
        pipeline.attributes.warm()


def _look(pipeline: Pipeline, limits: Limits, photos: Sequence[Look]) -> tuple[list[Seen], int]:
    """Each photo on its own up to its crops; all crops are embedded together."""
    seen: list[Seen] = []
    for photo in photos:
        steps = Steps(
            embed=False,
            keep_crops=photo.embed,
            main_only=photo.main_only,
            attributes=photo.attributes,
            mesh=photo.mesh,
        )
        limit_seconds(limits.photo_seconds)
        try:
            found = pipeline.read_bytes(
                photo.data, steps, name=photo.name, max_pixels=limits.max_pixels, max_faces=limits.max_faces
            )
        except Exception as error:  # noqa: BLE001  told to whoever sent the photo
            seen.append(_plain(error))
        else:
            seen.append(found)
        limit_seconds(None)
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
                faces = pipeline.with_embeddings(one.faces, own)
                seen[i] = replace(one, faces=faces, crops=None)
    return [replace(one, crops=None) if isinstance(one, PhotoFaces) else one for one in seen], count


def _was_large(seen: Seen) -> bool:
    return isinstance(seen, Exception) or seen.size[0] * seen.size[1] > LARGE


def _plain(error: Exception) -> Exception:
    """An error as it is sent: ours are their sentence; of others, what they are.

    A new one: the old one's traceback would keep the photo's pixels until somebody looks for garbage.
    """
    ours = isinstance(error, FacewiseError)
    return error_of({"error": type(error).__name__, "told": str(error) if ours else repr(error)})
