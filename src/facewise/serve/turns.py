"""Turns on the event loop for those who have shown no key: few at a time for each address.

All connections share one loop, on which a round takes as long as all that is ready in it. Strangers who
ask on hundreds of connections at once would make others wait for hundreds of answers; with turns, others
wait for a few a round, and the crowd of one address waits for itself.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from types import TracebackType

EACH = 8
"""Turns of one address at a time."""


class Turns:
    """Who has a turn, and who waits for one. Used on the event loop only.

    Args:
        each: Turns of one address at a time.
    """

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, OrderedDict[asyncio.Future[None], None]] = {}

    def of(self, name: str) -> Turn:
        """A turn of this address: `async with`, or given back before."""
        return Turn(self, name)

    def take(self, name: str) -> asyncio.Future[None] | None:
        """A turn, now (None) or when the future is done; whoever no longer wants it says so by `leave`."""
        taken = self._taken.get(name, 0)
        if taken < self._each:
            self._taken[name] = taken + 1
            return None
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, OrderedDict())[turn] = None
        return turn

    def leave(self, name: str, turn: asyncio.Future[None]) -> None:
        """No longer waits."""
        queue = self._waiting.get(name)
        if queue is not None and turn in queue:
            del queue[turn]
            if not queue:
                del self._waiting[name]

    def give(self, name: str) -> None:
        """Gives a turn back, to the next of this address that waits."""
        queue = self._waiting.get(name)
        while queue:
            turn, _ = queue.popitem(last=False)
            if not queue:
                del self._waiting[name]
            if not turn.done():
                turn.set_result(None)
                return
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]


class GoneError(Exception):
    """Whoever waited for a turn has gone."""


class Turn:
    """One turn."""

    def __init__(self, turns: Turns, name: str) -> None:
        self._turns, self._name = turns, name
        self._has = False
        self._awaited: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Turn:
        """Waits for it.

        Raises:
            GoneError: `leave` was called meanwhile.
        """
        self._awaited = self._turns.take(self._name)
        if self._awaited is not None:
            try:
                await self._awaited
            except asyncio.CancelledError:
                if self._awaited.done() and not self._awaited.cancelled():
                    self._turns.give(self._name)
                self._turns.leave(self._name, self._awaited)
                raise
        self._has = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()

    def give(self) -> None:
        """Gives it back; a second time does nothing."""
        if self._has:
            self._has = False
            # In the next round: most answers are made without a pause, hundreds of them would be one round.
            asyncio.get_running_loop().call_soon(self._turns.give, self._name)

    def leave(self) -> None:
        """Whoever waits for it has gone: it waits no longer. One that was had is given back as usual."""
        if self._awaited is not None and not self._awaited.done():
            self._turns.leave(self._name, self._awaited)
            self._awaited.set_exception(GoneError)
