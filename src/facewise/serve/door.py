"""The door of the service: takes connections in as long as there are places, and never gives up."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from facewise.serve.connections import BoundedProtocol, refusal
from facewise.serve.places import Place, Places
from facewise.serve.ratelimit import neighbourhood
from facewise.serve.turns import Turns

_TURN = 16
"""Connections that are taken in before others have their turn on the event loop."""

_ROUNDS = 3
"""Rounds of the event loop in which a TLS connection is made, and the first of what it says is read."""

_PAUSE = 0.05
"""Seconds until it is tried again to take a connection in, when no descriptor was left."""

_GOODBYE = 2.0
"""Seconds that a client has to end its TLS connection after it was told of the end."""

_BUSY = refusal(503, "Service Unavailable", "busy", "The service has too many connections: try again.")


class Door:
    """Takes connections in, and ends those whose clients let it wait too long.

    Args:
        listening: A socket that listens, not closed here.
        places: Each connection has one, from before its TLS handshake on.
        turns: Of those whose connections are made.
        make: The protocol of a connection.
        tls: For HTTPS, or None.
        seconds: How long a connection may wait for its client: from its beginning, or the end of an
            answer, to the end of the next request's head, TLS handshake and all.
    """

    def __init__(
        self,
        listening: socket.socket,
        places: Places,
        turns: Turns,
        make: Callable[[Place], BoundedProtocol],
        tls: ssl.SSLContext | None,
        seconds: float,
    ) -> None:
        self._listening, self._places, self._make = listening, places, make
        self._tls, self._seconds = tls, seconds
        self._turns = turns
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open = True

    def open(self) -> None:
        """Begins to take connections in."""
        self._listening.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listening, self._accept)
        self._begin(self._sweep())

    def stop(self) -> None:
        """Takes no more in. Those inside have their time, as long as the loop runs."""
        self._open = False
        self._loop.remove_reader(self._listening)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _accept(self) -> None:
        for _ in range(_TURN):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # no descriptor or no memory is left: others give some back
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_PAUSE, self._again)
                return
            self._take(accepted, address[0])

    def _again(self) -> None:
        if self._open:
            self._loop.add_reader(self._listening, self._accept)

    def _take(self, accepted: socket.socket, address: str) -> None:
        place = self._places.enter(address, self._loop.time())
        if place is None:
            if self._tls is None:
                with suppress(OSError):
                    accepted.send(_BUSY)
            accepted.close()
            return
        accepted.setblocking(False)
        place.end = partial(self._drop, accepted, place)
        self._loop.add_reader(accepted, self._heard, accepted, place, neighbourhood(address))

    def _drop(self, accepted: socket.socket, place: Place) -> None:
        self._loop.remove_reader(accepted)
        accepted.close()
        place.leave()

    def _heard(self, accepted: socket.socket, place: Place, name: str) -> None:
        """A client has said something: until then nothing is made for it but a socket (TLS takes 256 KiB)."""
        try:
            said = accepted.recv(1, socket.MSG_PEEK)
        except OSError:
            said = b""
        if not said:
            self._drop(accepted, place)
            return
        self._loop.remove_reader(accepted)
        place.serve()
        place.end = self._begin(self._connect(accepted, place, name)).cancel

    async def _connect(self, accepted: socket.socket, place: Place, name: str) -> None:
        connecting: asyncio.Task[Any] | None = None
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: self._make(place), accepted)
                return
            async with self._turns.of(name):
                connecting = self._begin(self._loop.connect_accepted_socket(
                    lambda: self._make(place), accepted, ssl=self._tls, ssl_handshake_timeout=self._seconds,
                    ssl_shutdown_timeout=_GOODBYE,
                ))  # fmt: skip
                # What takes time is our part of the handshake, done when the client's hello is read.
                for _ in range(_ROUNDS):
                    await asyncio.sleep(0)
            if not connecting.done():  # the client has to go on
                place.wait(self._loop.time())
            await connecting
        except (OSError, asyncio.CancelledError):  # it ended, or its handshake failed: nobody is told
            if connecting is not None:
                connecting.cancel()
            accepted.close()
            place.leave()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(0.5, self._seconds / 4))
            self._places.end_waiting(self._loop.time() - self._seconds)
