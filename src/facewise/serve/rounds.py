"""Rounds of the event loop: in each, every address has so many seconds, and what is left comes in the next.

All connections share one loop. What bytes cost is known only when they are parsed: 16 KiB can be a piece
of a photo, or a thousand chunks of one byte. Parsed as they come on hundreds of connections, they would
be one round, in which nobody else is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

SECONDS = 0.004
"""Of one address in a round; a step that was begun is done."""


class Rounds:
    """Work for addresses, done in steps. Used on the event loop only.

    Args:
        seconds: Of one address in a round.
        clock: Seconds from anywhere.
    """

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self._seconds, self._clock = seconds, clock
        self._spent: dict[str, float] = {}
        self._waiting: dict[str, deque[Callable[[], bool]]] = {}
        self._begun = False

    def do(self, name: str, step: Callable[[], bool]) -> None:
        """Takes steps for an address, now while it has time, and then in the rounds after this one.

        Args:
            name: The address.
            step: Takes one step, and says whether there are more.
        """
        if not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._round)
        if name not in self._waiting and not self._steps(name, step):
            return
        self._waiting.setdefault(name, deque()).append(step)

    def _round(self) -> None:
        """Before whatever else came in this round, as it was asked for in the one before."""
        self._begun = bool(self._waiting)
        if self._begun:
            asyncio.get_running_loop().call_soon(self._round)
        self._spent.clear()
        for name, queue in list(self._waiting.items()):
            while queue and self._has_time(name):
                step = queue.popleft()
                if self._steps(name, step):
                    queue.append(step)
            if not queue:
                del self._waiting[name]

    def _has_time(self, name: str) -> bool:
        return self._spent.get(name, 0.0) < self._seconds

    def _steps(self, name: str, step: Callable[[], bool]) -> bool:
        """Takes steps as long as there is time; whether there are more."""
        while self._has_time(name):
            began = self._clock()
            more = step()
            self._spent[name] = self._spent.get(name, 0.0) + self._clock() - began
            if not more:
                return False
        return True
