"""Who is next: of the clients whose photos wait, the one that has had the least of the workers' time.

A client is a key, or an address where no keys are asked for. One that sends hundreds of photos, or such as
take seconds each, waits for itself; another's photo is next as soon as a worker is free. The order of one
client's photos is that in which they came, and a client alone has all workers.

Where others are there, none of a client's photos waits at the workers ahead of theirs; and where theirs take
less than half as long, or nobody knows yet how long its own take, a client has all workers but one: else they
would wait for a worker as long as its photos take.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence

from facewise.serve.jobs import Photo

_USUAL = 0.05
"""Seconds that a photo takes, until some were measured."""

_RECENT = 0.1
"""Weight of the newest photo in the mean of how long they take."""

_LATELY = 60.0
"""Seconds for which a client whose photo was looked at is there."""

_COSTLY = 2.0
"""How many times longer than another's a client's photos take from which on it leaves a worker to them."""

_MOST = 1000
"""Clients that are remembered although nothing of theirs waits."""


class FairQueue:
    """Photos that wait. Whoever uses it holds the engine's lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Of each client: seconds that a photo of its takes, and when the last was done.
        self._each: dict[Hashable, tuple[float, float]] = {}
        self._waiting: dict[Hashable, deque[Photo]] = {}
        self._used: dict[Hashable, float] = {}
        self._now = 0.0  # what the client that was served last had had
        self._usual = _USUAL
        self._count = 0

    def append(self, photo: Photo) -> None:
        """A photo waits."""
        client = photo.ticket.client
        if client not in self._waiting:
            self._used[client] = max(self._used.pop(client, 0.0), self._least())
            self._waiting[client] = deque()
        self._waiting[client].append(photo)
        self._count += 1

    def popleft(self) -> Photo:
        """The next photo; its client is charged what one usually takes."""
        return self.take(1)[0]

    def take(self, most: int, allowed: Callable[[Hashable], bool] = lambda _: True) -> list[Photo]:
        """The next photos, of one client, which is charged what they usually take.

        Args:
            most: At least 1; where others are there it is one at a time.
            allowed: Whether a client may have more of the workers now.

        Returns:
            Nothing where nobody may whose photos wait.
        """
        clients = [client for client in self._waiting if allowed(client)]
        if not clients:
            return []
        client = min(clients, key=self._used.__getitem__)
        queue = self._waiting[client]
        most = most if self.most(client, 1) is None else 1
        photos = [queue.popleft() for _ in range(min(most, len(queue)))]
        if not queue:
            del self._waiting[client]
        self._count -= len(photos)
        self._now = self._used[client]
        for photo in photos:
            photo.charged = self._usual
            self._used[client] += photo.charged
        self._forget()
        return photos

    def most(self, client: Hashable, workers: int) -> int | None:
        """How many workers a client may have photos at; None for any number, as it is alone."""
        since = self._clock() - _LATELY
        others = [each for other, (each, last) in self._each.items() if other != client and last > since]
        if not others:
            return None
        own = self._each.get(client, (math.inf, 0.0))[0]
        return max(1, workers - 1) if own > _COSTLY * min(others) else workers

    def took(self, photos: Sequence[Photo], seconds: float) -> None:
        """What photos really took of a worker's time, together."""
        for photo in photos:
            each, client = seconds / len(photos), photo.ticket.client
            if client in self._used:
                self._used[client] += each - photo.charged
            photo.charged = each
            before = self._each.pop(client, (each, 0.0))[0]
            self._each[client] = (before + _RECENT * (each - before), self._clock())
            self._usual += _RECENT * (each - self._usual)

    def _least(self) -> float:
        """What the client has had that is served next: whoever comes new is taken to have had as much."""
        return min((self._used[client] for client in self._waiting), default=self._now)

    def _forget(self) -> None:
        """Forgets the half of the clients that had something waiting longest ago, when they are too many."""
        if len(self._used) > _MOST:
            gone = [client for client in self._used if client not in self._waiting]
            for client in gone[: len(gone) // 2]:
                del self._used[client]
                self._each.pop(client, None)

    def __len__(self) -> int:
        return self._count
