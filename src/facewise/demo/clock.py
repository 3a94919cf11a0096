"""What is left of the time a demo is to take."""

from __future__ import annotations

import math
import time


class Clock:
    """Forecasts of the steps to come, less what has passed of the one at hand.

    Before anything is forecast, what is left is the whole time less what has passed.
    """

    def __init__(self, seconds: float | None) -> None:
        """Starts at once.

        Args:
            seconds: The demo is to take; None where its sizes are given and nothing is forecast.
        """
        self.seconds = seconds
        self._began = self._since = time.monotonic()
        self._share = 0.0
        self._ahead: dict[str, float] = {}

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def unspent(self) -> float:
        """Seconds of the whole time that have not passed; below 0 when it is over."""
        return (self.seconds or 0.0) - self.passed

    def forecast(self, **seconds: float) -> None:
        """How long steps to come will take, by name, in their order; what was forecast before stands.

        Infinity is a step that will get whatever the others leave of the time.
        """
        self._ahead |= seconds

    def after(self, step: str) -> float:
        """Seconds forecast for the steps after one."""
        names = list(self._ahead)
        return sum(self._ahead[name] for name in names[names.index(step) + 1 :])

    def start(self, step: str) -> None:
        """A step begins: those before it are over."""
        self._since, self._share = time.monotonic(), 0.0
        names = list(self._ahead)
        if step in names:
            self._ahead = {name: self._ahead[name] for name in names[names.index(step) :]}

    def advance(self, share: float) -> None:
        """So much of the step at hand is done, of 1."""
        self._share = share

    def left(self) -> float | None:
        """Seconds to go, never below 0; None where nothing is forecast."""
        if self.seconds is None:
            return None
        if not self._ahead or math.inf in self._ahead.values():
            return max(0.0, self.unspent)
        now, *later = self._ahead.values()
        passed = time.monotonic() - self._since
        # From a tenth on, the pace of the step itself says more than its forecast.
        ending = passed * (1 - self._share) / self._share if self._share >= 0.1 else now - passed
        return max(0.0, ending) + sum(later)
