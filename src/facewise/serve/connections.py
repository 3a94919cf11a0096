"""HTTP/1.1 connections that cannot be held open, or kept at work, for nothing.

llhttp takes the bytes apart (by httptools, in uvicorn's protocol), and refuses whatever could be read in
two ways. What neither of them bounds is bounded here: how long a client may take for a head, and to read
its answer; how long a head may be, how many fields it has, how small the pieces of a body; how many
requests are sent ahead. (The body of a request that is being served has its own clock and its own bound,
see `bodies`.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from facewise.serve.errors import PROBLEM
from facewise.serve.places import Place
from facewise.serve.rounds import Rounds

HEAD_BYTES = 32 * 2**10
"""Of a request's line and fields; and of whatever the parser takes without telling of anything."""

FIELDS = 100
"""Of a request's head."""

AHEAD = 8
"""Requests that may come before the one under way is answered."""

_BITE = 16 * 2**10
"""Bytes that are parsed at a time."""

_PIECES, _PIECE_BYTES = 1000, 64
"""A body that comes in more pieces than this must have so many bytes for each."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        args: As of uvicorn's protocol.
        place: Its place, which waits while the connection does.
        rounds: When what came is parsed.

    Attributes:
        read_seconds: How long a client with a key may not read what it is sent, plus a second for each 64
            KiB of it.
        rest_seconds: How long a refused client that may be sending still has to read why.
    """

    read_seconds = 30.0
    rest_seconds = 1.0

    def __init__(self, *args: Any, place: Place, rounds: Rounds) -> None:
        super().__init__(*args)
        self._place, self._rounds = place, rounds
        self._unparsed: deque[memoryview] = deque()
        self._reading: asyncio.TimerHandle | None = None
        self._told = 0  # times the parser told of something
        self._untold = 0  # bytes since then
        self._in_head = False
        self._head, self._fields = 0, 0
        self._body, self._pieces = 0, 0
        self._admitted = False  # the request under way was let in for its key
        self._deaf = False  # what comes is not looked at
        self._ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes over the place."""
        super().connection_made(transport)
        self._place.end = transport.abort
        self._place.wait(self.loop.time())

    def data_received(self, data: bytes) -> None:
        """Has what came parsed, unless this client was refused; no more is read before that is done."""
        if self._deaf:
            self.flow.pause_reading()
            return
        self._unparsed.append(memoryview(data))
        if len(self._unparsed) == 1:
            self._rounds.do(self._place.address, self._parse)
        if self._unparsed:
            self.transport.pause_reading()

    def _parse(self) -> bool:
        """Parses one bite; whether more is there."""
        if self._deaf or self.transport.is_closing():
            self._unparsed.clear()
        if not self._unparsed:
            return False
        told, data = self._told, self._unparsed.popleft()
        piece, rest = data[:_BITE], data[_BITE:]
        if rest:
            self._unparsed.appendleft(rest)
        super().data_received(piece)  # type: ignore[arg-type]  # httptools takes any buffer
        self._untold = self._untold + len(piece) if self._told == told else 0
        if self._untold > HEAD_BYTES:
            self.send_400_response("")
        if self._deaf:
            self._unparsed.clear()
        elif not self._unparsed:
            if not self.flow.read_paused:
                self.transport.resume_reading()
            if not self._answered() and self.cycle.more_body and not self._admitted:
                self._place.wait(self.loop.time())  # for the rest of the body
        return bool(self._unparsed)

    def on_message_begin(self) -> None:
        """Counts anew."""
        if len(self.pipeline) >= AHEAD:
            raise _TooMuch
        self._told += 1
        self._in_head = True
        self._head = self._fields = self._body = self._pieces = 0
        super().on_message_begin()
        self.scope["facewise.admitted"] = self._admit  # type: ignore[typeddict-unknown-key]
        self.scope["facewise.place"] = self._place  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        """Counts the bytes of a head."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts fields and their bytes; those that come after a body are left out."""
        self._fields += 1
        self._count_head(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request is there, and is served."""
        self._told += 1
        self._in_head = False
        if not self.flow.write_paused:  # else an answer is to be read first
            self._place.serve()
        super().on_headers_complete()
        if self.parser.should_upgrade():  # to nothing that is spoken here
            self.cycle.keep_alive = False
        self.cycle.transport = _Outgoing(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Counts the pieces of a body."""
        self._told += 1
        self._pieces += 1
        self._body += len(body)
        if self._pieces > _PIECES and self._body < _PIECE_BYTES * self._pieces:
            raise _TooMuch
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A body is there."""
        self._told += 1
        if not self.flow.write_paused:
            self._place.serve()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The connection waits for the next request, where there will be one."""
        if self._ending is not None:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives the place back, and what was sent: who holds whom here is found out late."""
        self._place.leave()
        for timer in (self._reading, self._ending):
            if timer is not None:
                timer.cancel()
        self._unparsed.clear()
        self._forget_body()
        self.pipeline.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: it has so long to begin, without a key no longer than for a head."""
        super().pause_writing()
        if not self._admitted:
            self._place.wait(self.loop.time())
        elif self._reading is None:
            seconds = self.read_seconds + self.transport.get_write_buffer_size() / 2**16
            self._reading = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()
        if self._answered():
            self._wait()
        else:
            self._place.serve()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or too much of it, as all errors are answered, and hears no more."""
        del msg  # uvicorn's words
        self._deaf = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # what came before is answered
                cycle.keep_alive = False
                return
            if self.pipeline:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self.transport.write(_NOT_HTTP)
        self.finish()

    def finish(self) -> None:
        """Ends the connection when what was written is sent.

        Where bytes are unread, or on their way, nothing more is read, and the end comes a moment later: it
        resets the connection, and an answer that was not read by then may be lost.
        """
        unread = self._deaf or self.cycle.more_body
        self._deaf = True
        self._forget_body()
        self.pipeline.clear()
        if self._ending is not None or self.transport.is_closing():
            return
        self._ending = self.loop.call_later(self.rest_seconds, self.transport.close)
        if not (self._admitted and self.flow.write_paused):
            self._place.wait(self.loop.time())
        if not unread:
            self.transport.close()
            return
        self.flow.pause_reading()
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # of a client that has gone
                self.transport.write_eof()

    def _count_head(self, count: int) -> None:
        self._told += 1
        self._head += count
        if self._head > HEAD_BYTES or self._fields > FIELDS:
            raise _TooMuch

    def _forget_body(self) -> None:
        if self.cycle is not None:
            self.cycle.body = bytearray()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        """The next request is waited for, when there is nothing to be answered, nor to be read with a key."""
        if self._answered() and not (self._admitted and self.flow.write_paused):
            self._admitted = False
            self._place.wait(self.loop.time())

    def _admit(self) -> None:
        """The request under way was let in for its key."""
        self._admitted = True


class _TooMuch(Exception):  # noqa: N818  to the parser, which refuses what it is in
    """A bound is passed."""


class _Outgoing:
    """What an answer is written to: a transport whose end is the protocol's to see to."""

    __slots__ = ("_protocol", "write")

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        """The answer was the last."""
        self._protocol.finish()


def refusal(status: int, phrase: str, code: str, sentence: str) -> bytes:
    """A whole answer that no application made."""
    body = json.dumps(
        {"type": "about:blank", "title": phrase, "status": status, "detail": sentence, "code": code}
    ).encode()
    again = "Retry-After: 5\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{again}Connection: close\r\n\r\n"
    )
    return head.encode() + body


_NOT_HTTP = refusal(400, "Bad Request", "bad_request", "This is not a request in HTTP/1.1.")
