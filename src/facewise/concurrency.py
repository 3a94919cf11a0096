"""Work on many items side by side, results in order, few items in flight."""

from __future__ import annotations

import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from facewise.errors import FacewiseError, FacewiseWarning

_AHEAD = 4
"""Items in flight per worker: enough that no worker waits, few enough that memory stays small."""

_CHUNK = 32
"""Items sent to a process at once: one by one, sending them and their results took a third of the time."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def side_by_side(work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """Apply `work` to items on several threads.

    Args:
        work: Should leave Python's lock for most of its time.
        items: Taken one by one as workers come free.
        workers: How many threads.

    Yields:
        `work(item)` in the order of the items; an exception of `work` is raised at its item's turn.
    """
    with ThreadPoolExecutor(workers) as pool:
        yield from _in_order(pool, work, items, workers * _AHEAD)


def in_processes(
    work: Callable[[Any, _Item], _Result],
    shared: Any,
    items: Iterable[_Item],
    workers: int,
    *,
    chunk: int = _CHUNK,
) -> Iterator[_Result]:
    """Apply `work(shared, item)` to items in several processes, free of each other's lock.

    Starting a process takes about a second, so this pays for many items only. The processes are started
    anew rather than forked, as forking a process with threads is not safe: a script that uses them needs the
    usual `if __name__ == "__main__":`. Where the system has no semaphores for them, as in a container without
    /dev/shm, threads do the work, which a warning tells.

    Args:
        work: A function of a module, so that the processes find it by name.
        shared: Sent to each process once; must pickle.
        items: Taken in small chunks as workers come free; must pickle, as must results.
        workers: How many processes.
        chunk: Items a process gets at once: those that share something it can keep belong together.

    Yields:
        `work(shared, item)` in the order of the items; an exception of `work` is raised at its item's turn.

    Raises:
        FacewiseError: A process died.
    """
    import multiprocessing  # noqa: PLC0415  threads need none of it
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor  # noqa: PLC0415

    context = multiprocessing.get_context("spawn")
    try:
        context.Lock()
    except (OSError, ImportError) as error:  # ImportError: a Python that was built without them
        warnings.warn(
            f"No processes can be used here, as this system has no semaphores for them ({error}; most "
            "likely /dev/shm is missing or cannot be written): threads do the work, more slowly.",
            FacewiseWarning,
            stacklevel=2,
        )
        yield from side_by_side(partial(work, shared), items, workers)
        return
    try:
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(work, shared)) as pool:
            for results in _in_order(pool, _apply, _chunks(items, chunk), workers * _AHEAD):
                yield from results
    except BrokenProcessPool as error:
        raise FacewiseError(
            "A worker process died, most likely for want of memory; try again with fewer --threads."
        ) from error


def _in_order(
    pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            with _ctrl_c_later():
                waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Ctrl-C takes effect after the block, in which worker processes may be started.

    In the midst of starting one it would leave a worker that the pool does not know of and waits for without
    end. And a new process inherits the signal mask, so none shows a traceback while it still loads.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield  # Ctrl-C is the main thread's; Windows has no masks
        return
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)


_job: tuple[Callable[[Any, Any], Any], Any] | None = None
"""What this worker process applies; None in every other process."""


def _begin(work: Callable[[Any, Any], Any], shared: Any) -> None:
    global _job  # noqa: PLW0603  a process pool hands its workers nothing else than module state
    # Ctrl-C reaches the whole group: the parent stops the work and tells of it, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2  # noqa: PLC0415  each process sets its own

    # The processes are the parallelism; OpenCV's own threads would only compete with them.
    cv2.setNumThreads(1)
    _job = (work, shared)


def _apply(chunk: Sequence[Any]) -> list[Any]:
    if _job is None:
        raise RuntimeError("this is no worker process")
    work, shared = _job
    return [work(shared, item) for item in chunk]


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
