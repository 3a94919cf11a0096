"""How fast somebody may ask: a token bucket for each key and each address.

A bucket holds as many tokens as a rate allows in one period and is filled again evenly; a request takes one.
So a client may come in a burst of one period's worth, and in the long run never faster than its rate.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

from facewise.errors import SettingError

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so much time.

    Attributes:
        number: Requests, above 0; also how many may come at once (at least one may).
        seconds: The period, above 0.
    """

    number: float
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.number < float("inf") and 0 < self.seconds < float("inf")):
            raise SettingError("A rate is a number above 0 in a time above 0, such as 10/s.")

    @classmethod
    def parse(cls, text: str) -> Rate:
        """The rate that `10/s`, `100/min` or `5000/day` says.

        Raises:
            SettingError: It is no rate.
        """
        found = _WRITTEN.fullmatch(text.strip().lower())
        if found is None or float(found[1]) == 0:
            raise SettingError(f"{text!r} is not a rate: write it as 10/s, 100/min, 500/hour or 5000/day.")
        return cls(float(found[1]), _PERIODS[found[2][0]])

    @property
    def per_second(self) -> float:
        """Requests a second in the long run."""
        return self.number / self.seconds

    @property
    def burst(self) -> float:
        """Requests that may come at once after a pause."""
        return max(1.0, self.number)

    def __str__(self) -> str:
        letter = {seconds: letter for letter, seconds in _PERIODS.items()}.get(self.seconds)
        return f"{self.number:g}/{letter}" if letter else f"{self.per_second:g}/s"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float  # when `tokens` was right
    rate: Rate

    def fill(self, now: float) -> None:
        """Adds what has come since; a clock that went back adds nothing."""
        self.tokens = min(self.rate.burst, self.tokens + max(0.0, now - self.filled) * self.rate.per_second)
        self.filled = now


class RateLimiter:
    """Token buckets by name; any thread may ask.

    The memory is bounded: of more than `most` names the one that asked longest ago is forgotten, and begins
    with a full bucket if it comes again. Keys and addresses get a limiter each, so that a crowd of addresses
    makes no key's bucket be forgotten.

    Args:
        rate: For names that come without one of their own; None sets them no limit.
        most: How many names are remembered.
        clock: Seconds that never go back.
    """

    def __init__(
        self, rate: Rate | None = None, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if most < 1:
            raise SettingError("A rate limiter must remember at least one name.")
        self._rate, self._most, self._clock = rate, most, clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: Hashable, rate: Rate | None = None) -> float:
        """Takes one token of `name`.

        Args:
            name: Who asks.
            rate: Their own rate; None takes the limiter's.

        Returns:
            0.0 where the request may go on; otherwise the seconds until it might, and nothing is taken.
        """
        rate = rate or self._rate
        if rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            bucket = self._buckets.get(name)
            if bucket is None or bucket.rate != rate:
                bucket = self._buckets[name] = _Bucket(rate.burst, now, rate)
            self._buckets.move_to_end(name)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            bucket.fill(now)
            # A hair below one is one: floats must not make a client that waited as told wait again.
            if bucket.tokens >= 1 - 1e-9:
                bucket.tokens = max(0.0, bucket.tokens - 1)
                return 0.0
            return (1 - bucket.tokens) / rate.per_second

    def __len__(self) -> int:
        return len(self._buckets)


@lru_cache(maxsize=1024)
def neighbourhood(address: str) -> str:
    """What of a network address is counted: IPv4 whole; of IPv6 the /64, which one household has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"  # a Unix socket, a test client
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
