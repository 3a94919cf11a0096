"""Keys that were let in before: their next requests are checked where they are, with no thread in between.

A good key's check is two system calls on a small file that is in memory anyway, and handing it to a thread
and back takes a hundred times as long under load. Everything else goes to the gate on a thread: what is
refused is recorded, and that waits for the disk.
"""

from __future__ import annotations

from facewise.serve import keytext
from facewise.serve.keys import KeyInfo, KeyRefusedError, KeyStore
from facewise.serve.ratelimit import RateLimiter

_MOST = 1000


class KnownKeys:
    """A memory of keys that were good, used on the event loop only.

    Args:
        keys: Asked each time, so that a revoked key is refused at once.
        rates: The gate's: a request that is let in here takes its token too.
    """

    def __init__(self, keys: KeyStore, rates: RateLimiter) -> None:
        self._keys, self._rates = keys, rates
        self._good: set[bytes] = set()

    def look_up(self, text: str | None, scope: str | None) -> KeyInfo | None:
        """The key, where it was good before, still is, has the scope, and keeps to its rate.

        Returns:
            None in every other case: then the gate is to be asked, which knows what to say and records it.
        """
        if text is None or keytext.digest(text) not in self._good:
            return None
        try:
            info = self._keys.check(text)
        except KeyRefusedError:
            return None
        if scope is not None and not info.allows(scope):
            return None
        return None if self._rates.take(info.id, info.rate) else info

    def remember(self, text: str | None) -> None:
        """Notes a key that the gate let in."""
        if text is None:
            return
        if len(self._good) >= _MOST:
            self._good.clear()
        self._good.add(keytext.digest(text))
