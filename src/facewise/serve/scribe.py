"""The thread that writes the audit log, so that no thread with other work waits for the disk."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from facewise.errors import FacewiseError
from facewise.serve.audit import AuditLog, Line

_LOG = logging.getLogger(__name__)

Done: TypeAlias = Callable[[Exception | None], None]
"""Told when an entry is on disk, or why it is not."""


class Scribe:
    """Writes entries in the order they come; those that come while the disk is busy go as one, by one sync.

    Args:
        log: Where to.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._asked: queue.SimpleQueue[tuple[Line, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="facewise-scribe", daemon=True)
        self._thread.start()

    def write(self, line: Line, done: Done) -> None:
        """Has an entry written. Any thread may call, until `close`.

        Args:
            line: The entry.
            done: Called by the thread that writes; must not take long.
        """
        self._asked.put((line, done))

    async def record(self, line: Line) -> None:
        """Has an entry written, and waits until it is on disk.

        Raises:
            FacewiseError: As of `AuditLog.record`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def done(error: Exception | None) -> None:
            loop.call_soon_threadsafe(_settle, future, error)

        self.write(line, done)
        await future

    def close(self) -> None:
        """Writes what was asked for, and ends the thread."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._asked.get()) is not None:
            asked, ended = [first], False
            while not ended:
                try:
                    more = self._asked.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                else:
                    asked.append(more)
            self._write(asked)
            if ended:
                return

    def _write(self, asked: list[tuple[Line, Done]]) -> None:
        error: Exception | None = None
        try:
            self._log.write([line for line, _ in asked])
        except FacewiseError as caught:
            error = caught
        except Exception as caught:  # a bug here must not silence the log  # noqa: BLE001
            _LOG.exception("The audit log failed.")
            error = caught
        for _, done in asked:
            try:
                done(error)
            except Exception:  # as above  # noqa: BLE001
                _LOG.exception("Whoever waited for the audit log failed.")


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
