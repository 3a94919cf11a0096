"""Who is next: of the clients whose photos wait, the one that has had the least of the workers' time.

A client is a key, or an address where no keys are asked for. One that sends hundreds of photos, or such as
take seconds each, waits for itself; another's photo is next as soon as a worker is free. The order of one
client's photos is that in which they came, and a client alone has all workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence

from facewise.serve.jobs import Photo

_USUAL = 0.05
"""Seconds that a photo takes, until some were measured."""

_RECENT = 0.1
"""Weight of the newest photo in the mean of how long they take."""

_MOST = 1000
"""Clients that are remembered although nothing of theirs waits."""


class FairQueue:
    """Photos that wait. Whoever uses it holds the engine's lock."""

    def __init__(self) -> None:
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
        client = min(self._waiting, key=self._used.__getitem__)
        queue = self._waiting[client]
        photo = queue.popleft()
        if not queue:
            del self._waiting[client]
        self._count -= 1
        self._now = self._used[client]
        photo.charged = self._usual
        self._used[client] += photo.charged
        self._forget()
        return photo

    def took(self, photos: Sequence[Photo], seconds: float) -> None:
        """What photos really took of a worker's time, together."""
        for photo in photos:
            each, client = seconds / len(photos), photo.ticket.client
            if client in self._used:
                self._used[client] += each - photo.charged
            photo.charged = each
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

    def __len__(self) -> int:
        return self._count
