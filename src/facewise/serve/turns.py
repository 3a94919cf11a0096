"""Turns on the event loop for those who have shown no key: few at a time for each address.

All connections share one loop, on which a round takes as long as all that is ready in it. Strangers who
ask on hundreds of connections at once would make others wait for hundreds of answers; with turns, others
wait for a few a round, and the crowd of one address waits for itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def of(self, name: str) -> Turn:
        """A turn of this address: `async with`, or given back before."""
        return Turn(self, name)

    async def take(self, name: str) -> None:
        """Waits for a turn."""
        taken = self._taken.get(name, 0)
        if taken < self._each:
            self._taken[name] = taken + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(name)
            raise

    def give(self, name: str) -> None:
        """Gives a turn back, to the next of this address that waits."""
        queue = self._waiting.get(name)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(name, None)
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]


class Turn:
    """One turn."""

    def __init__(self, turns: Turns, name: str) -> None:
        self._turns, self._name = turns, name
        self._has = False

    async def __aenter__(self) -> Turn:
        await self._turns.take(self._name)
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
