"""How many requests are worked on at once, and how long one may take. Used on the event loop only."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Hashable
from contextlib import asynccontextmanager
from typing import TypeVar

from facewise.serve.errors import ProblemError
from facewise.serve.settings import Limits

_Result = TypeVar("_Result")

_RECENT = 0.1
"""Weight of the newest request in the mean of how long requests take."""


class Ticket:
    """A request that was let in: until when it may take, and whether somebody still waits for it.

    Args:
        seconds: How long it may take from now on.
        client: Whose it is: a key, or an address where no keys are asked for.
    """

    def __init__(self, seconds: float, client: Hashable = None) -> None:
        self.client = client
        self.deadline = time.monotonic() + seconds
        self.gone = False

    @property
    def wanted(self) -> bool:
        """Whether work for it still makes sense. Any thread may ask."""
        return not self.gone and time.monotonic() < self.deadline


class Admission:
    """Lets a bounded number of requests in.

    Args:
        limits: How many may wait beside those that workers have, and how long each may take.
        workers: How many requests are worked on at once.
    """

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers
        self.inside = 0
        self.stopping = False
        self._mean = 0.1
        self._own: Counter[Hashable] = Counter()

    @property
    def waiting(self) -> int:
        """Requests that wait for a worker, about."""
        return max(0, self.inside - self._workers)

    def refuse_if_stopping(self) -> None:
        """Raises a 503 `ProblemError` while the service stops."""
        if self.stopping:
            raise ProblemError(
                503, "stopping", "The service is stopping: ask again in a moment.", {"Retry-After": "5"},
                close=True,
            )  # fmt: skip

    @asynccontextmanager
    async def enter(self, client: Hashable) -> AsyncIterator[Ticket]:
        """A place for one request.

        A client may have all places. When they are taken, one with less than its share still finds
        another, up to twice as many in all, so that no client keeps others out.

        Raises:
            ProblemError: All places are taken (429), or the time was up before the block ended (504).
        """
        if not self._has_place(client):
            wait = max(1, math.ceil(self.inside * self._mean / self._workers))
            raise ProblemError(
                429, "busy", f"The service has all the work it can do: try again in {wait} s.",
                {"Retry-After": str(wait)},
            )  # fmt: skip
        ticket = Ticket(self._limits.request_seconds, client)
        self.inside += 1
        self._own[client] += 1
        began = time.monotonic()
        try:
            yield ticket
        finally:
            ticket.gone = True
            self.inside -= 1
            self._own[client] -= 1
            if not self._own[client]:
                del self._own[client]
            self._mean += _RECENT * (time.monotonic() - began - self._mean)

    def _has_place(self, client: Hashable) -> bool:
        places = self._limits.queue + self._workers
        if self.inside < places:
            return True
        own = self._own.get(client, 0)
        clients = len(self._own) + (own == 0)
        return self.inside < 2 * places and own < places / clients

    async def within(self, ticket: Ticket, work: Awaitable[_Result], *, done: bool = False) -> _Result:
        """Waits for work until the ticket's time is up.

        Args:
            ticket: Of the request.
            work: What to wait for; it is cancelled where it can be.
            done: Whether it may come about although nobody waited for it, which the sentence then says.

        Raises:
            ProblemError: The time is up.
        """
        try:
            async with asyncio.timeout(max(0.0, ticket.deadline - time.monotonic())):
                return await work
        except TimeoutError:
            ticket.gone = True
            more = ", and may still be done: look before you send it again" if done else ""
            raise ProblemError(
                504, "timeout",
                f"This took longer than the {self._limits.request_seconds:g} s a request may take{more}.",
            ) from None  # fmt: skip
