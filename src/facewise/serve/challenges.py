"""Challenges of active liveness: each for one key, for a minute, answered once, by frames not seen before."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from facewise.analysis.challenge import Action, random_actions
from facewise.serve.errors import ProblemError

SECONDS = 60.0
"""For which a challenge can be answered."""

OPEN = 20
"""Challenges a key may have that wait for an answer, lest it collects them until a recording fits one."""

REMEMBERED = 3600.0
"""Seconds for which frames are known again."""

MOST_FRAMES = 200_000
"""Frames that are; of more, the oldest are forgotten. A frame takes some 150 bytes."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What somebody is asked to do.

    Attributes:
        token: What its answer names it by; it cannot be guessed.
        actions: What to do, in order.
        client: Whose it is.
        until: When it ends, on the clock of `Challenges`.
    """

    token: str
    actions: tuple[Action, ...]
    client: Hashable
    until: float


class Challenges:
    """Those that wait for an answer, and the frames of answers. Kept in memory alone; any thread may ask.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Challenge] = OrderedDict()
        self._frames: OrderedDict[bytes, float] = OrderedDict()

    def issue(self, client: Hashable, actions: Sequence[Action]) -> Challenge:
        """A new one of actions chosen at random.

        Args:
            client: Whose it is.
            actions: What can be told of.

        Raises:
            ProblemError: The client has too many that wait for an answer (429).
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            own = [one for one in self._open.values() if one.client == client]
            if len(own) >= OPEN:
                wait = max(1, int(own[0].until - now) + 1)
                raise ProblemError(
                    429, "too_many_challenges",
                    f"This key has {len(own)} challenges that wait for an answer: answer one, or wait.",
                    {"Retry-After": str(wait)},
                )  # fmt: skip
            token = secrets.token_urlsafe(18)
            challenge = Challenge(token, random_actions(actions), client, now + SECONDS)
            self._open[challenge.token] = challenge
            return challenge

    def take(self, token: str, client: Hashable, frames: Iterable[bytes]) -> Challenge:
        """The challenge that is answered, which from now on nobody can answer again.

        Args:
            token: As issued.
            client: Who answers.
            frames: Each as it was sent.

        Raises:
            ProblemError: The client has no such challenge, it was answered or its time is over; or a frame
                was sent with an answer before (422). Within one a slow camera may give a frame twice.
        """
        digests = [hashlib.sha256(frame).digest() for frame in frames]
        with self._lock:
            now = self._clock()
            self._forget(now)
            challenge = self._open.get(token)
            if challenge is None or challenge.client != client:
                raise ProblemError(
                    422, "no_challenge", "There is no such challenge for this key: it was answered, or its "
                    f"{SECONDS:.0f} seconds are over. Ask for another one.",
                )  # fmt: skip
            del self._open[token]
            known = any(digest in self._frames for digest in digests)
            for digest in digests:
                self._frames[digest] = now + REMEMBERED
                self._frames.move_to_end(digest)
            while len(self._frames) > MOST_FRAMES:
                self._frames.popitem(last=False)
            if known:
                raise ProblemError(
                    422, "replayed", "A frame was sent before: a challenge is answered by frames of its own."
                )
            return challenge

    def _forget(self, now: float) -> None:
        """Drops what is over; both are in the order of their ends."""
        while self._open and (first := next(iter(self._open.values()))).until <= now:
            del self._open[first.token]
        while self._frames and next(iter(self._frames.values())) <= now:
            self._frames.popitem(last=False)
