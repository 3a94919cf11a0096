"""HTTP/1.1 connections that cannot be held open for nothing: uvicorn's, with clocks and a bound."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from facewise.serve.errors import PROBLEM


class BoundedProtocol(H11Protocol):
    """One connection.

    uvicorn waits without end for a request's head, for the next one on a connection that sends a byte now and
    then, for the rest of a body that was refused already, and for a client that does not read its answer.
    Here each of these has a limit. (The body of a request that is being served has its own, see `bodies`.)

    Attributes:
        head_seconds: From the connection, or the end of an answer, to the end of the next request's head.
        read_seconds: How long a client may not read what it is sent.
        most: Connections at a time; one more is told so and closed.
    """

    head_seconds = 10.0
    read_seconds = 30.0
    most = 1000

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock for the first head."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._end(503, "Service Unavailable", "busy", "The service has too many connections: try again.")
            return
        self._start()

    def data_received(self, data: bytes) -> None:
        """Stops the clock when a request begins to be served."""
        super().data_received(data)
        if self._serving():
            self._stop()
        elif self._clock is None:
            self._start()

    def on_response_complete(self) -> None:
        """Starts the clock for the next head, or for the rest of this body."""
        super().on_response_complete()
        if not self._serving():
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all clocks."""
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: it has so long to begin."""
        super().pause_writing()
        if self._reading is None:
            self._reading = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self.flow is not None:
            super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP as all errors are answered."""
        del msg  # uvicorn's words
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._end(400, "Bad Request", "bad_request", "This is not a request in HTTP/1.1.")
        else:
            self.transport.close()

    def _serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start(self) -> None:
        self._stop()
        self._clock = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._clock = None
        if not self._serving() and not self.transport.is_closing():
            self.transport.close()

    def _end(self, status: int, phrase: str, code: str, sentence: str) -> None:
        body = json.dumps(
            {"type": "about:blank", "title": phrase, "status": status, "detail": sentence, "code": code}
        ).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
            f"{'Retry-After: 5' + chr(13) + chr(10) if status == 503 else ''}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def bounded(head_seconds: float) -> type[asyncio.Protocol]:
    """The protocol with another clock."""
    made = type("Bounded", (BoundedProtocol,), {"head_seconds": head_seconds})
    return cast("type[asyncio.Protocol]", made)
