"""Turns on the event loop for those who have shown no key: few at a time, addresses one after the other.

All connections share one loop, on which a round takes as long as all that is ready in it. Strangers who
ask on hundreds of connections at once make others wait for hundreds of answers; with turns, others wait
for a few, and the crowd of one address waits for itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from types import TracebackType

EACH, MOST = 8, 32
"""Turns at a time, of one address and of all."""


class Turns:
    """Who has a turn, and who waits for one. Used on the event loop only.

    Args:
        each: Turns of one address at a time.
        most: Turns of all.
    """

    def __init__(self, each: int = EACH, most: int = MOST) -> None:
        self._each, self._most = each, most
        self._taken: Counter[str] = Counter()
        self._all = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def of(self, name: str) -> Turn:
        """A turn of this address: `async with`, or given back before."""
        return Turn(self, name)

    async def take(self, name: str) -> None:
        """Waits for a turn."""
        if name not in self._waiting and self._free(name):
            self._grant(name)
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
        """Gives a turn back, and lets the next have theirs."""
        self._all -= 1
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
        while self._all < self._most:
            following = next((one for one in self._waiting if self._taken[one] < self._each), None)
            if following is None:
                return
            queue = self._waiting[following]
            turn = queue.popleft()
            if queue:
                self._waiting.move_to_end(following)
            else:
                del self._waiting[following]
            if not turn.cancelled():
                self._grant(following)
                turn.set_result(None)

    def _free(self, name: str) -> bool:
        return self._all < self._most and self._taken[name] < self._each

    def _grant(self, name: str) -> None:
        self._all += 1
        self._taken[name] += 1


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
            self._turns.give(self._name)
