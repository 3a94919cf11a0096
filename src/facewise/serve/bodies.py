"""A request's body: read within limits of bytes and time, counted before anything looks at it."""

from __future__ import annotations

import asyncio
import gc
import zlib
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from fastapi import Request

from facewise.serve.errors import ProblemError
from facewise.serve.memory import give_back
from facewise.serve.settings import Limits

_LARGE = 16 * 2**20
"""Bytes of all requests together, from which on what is left of them is given back to the system."""

_WAIT = 0.1
"""Seconds from the last request's end to giving memory back, which takes some milliseconds."""


class Buffered:
    """How many bytes of all requests lie in memory; used on the event loop only.

    Args:
        most: More are refused until others are done; of one client, more than half of it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: Counter[Hashable] = Counter()
        self._large = False  # whether what was large is free, and not given back to the system yet
        self.held = 0

    @contextmanager
    def share(self, client: Hashable = None) -> Iterator[Share]:
        """One request's part of it, given back at the end of the block.

        Args:
            client: Whose it is: a key, or an address where no keys are asked for.
        """
        share = Share(self, client)
        try:
            yield share
        finally:
            self.take(client, -share.held)
            if self._large and not self.held:
                self._large = False
                asyncio.get_running_loop().call_later(_WAIT, self._give_back)

    def _give_back(self) -> None:
        """When nothing is held for a moment; one that is by then sees to it later."""
        if self.held:
            self._large = True
        else:
            gc.collect()  # errors hold what they were about, and what was there at the start is frozen
            give_back()

    def take(self, client: Hashable, count: int) -> None:
        """Counts bytes that came, or, below 0, went."""
        self.held += count
        self._large |= self.held >= _LARGE
        self._own[client] += count
        if not self._own[client]:
            del self._own[client]

    def room_for(self, client: Hashable, count: int) -> bool:
        """Whether so many more bytes of this client may come."""
        return self.held + count <= self._most and self._own[client] + count <= self._most // 2


class Share:
    """What one request holds.

    Attributes:
        held: Bytes now.
    """

    def __init__(self, all_: Buffered, client: Hashable) -> None:
        self._all, self._client, self.held = all_, client, 0

    def take(self, count: int, *, alone: bool = False) -> None:
        """Counts bytes that came.

        Args:
            count: How many.
            alone: Whether they are taken in any case where no other request holds any.

        Raises:
            ProblemError: All requests together hold too many.
        """
        if not self._all.room_for(self._client, count) and not (alone and self._all.held == self.held):
            raise ProblemError(
                429, "busy", "The service holds as many uploads as it can: wait and send it again.",
                {"Retry-After": "2"}, close=True,
            )  # fmt: skip
        self.held += count
        self._all.take(self._client, count)

    def keep(self, count: int) -> None:
        """Gives back all but so many bytes, where it holds more."""
        given = max(0, self.held - count)
        self.held -= given
        self._all.take(self._client, -given)


async def read_body(request: Request, limits: Limits, share: Share, most: int) -> bytes:
    """The whole body.

    Args:
        request: Not read yet.
        limits: Of seconds.
        share: Counts what is held in memory.
        most: Bytes that it may have, packed or not.

    Raises:
        ProblemError: Too long, too slow, cut off, or packed in a way that is not taken.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise ProblemError(
            415,
            "unsupported_encoding",
            "A body comes as it is, or packed by gzip: send it without Content-Encoding.",
        )
    body = await _received(request, limits, share, most)
    return body if encoding in _PLAIN else await _unpacked(body, share, most)


_PLAIN = frozenset({"", "identity"})
_ENCODINGS = _PLAIN | {"gzip", "x-gzip"}
_PIECE = 2**20
"""Bytes unpacked at a time, before others have their turn."""

_EXPANSION = 100
"""How many times its size a body may come to beyond the first piece; photos hardly pack at all."""


async def _unpacked(body: bytes, share: Share, most: int) -> bytes:
    """A body that came as gzip.

    Raises:
        ProblemError: It is none, is cut short, unpacks to more than a body may have, or is a bomb.
    """
    unpacker, parts, size = zlib.decompressobj(16 + zlib.MAX_WBITS), list[bytes](), 0
    for start in range(0, len(body), _PIECE):
        packed = body[start : start + _PIECE]
        while packed and not unpacker.eof:
            try:
                part = unpacker.decompress(packed, _PIECE)
            except zlib.error:
                raise _bad_gzip("The body is not gzip, as its Content-Encoding says.") from None
            size += len(part)
            if size > max(_PIECE, _EXPANSION * len(body)):
                raise _bad_gzip("The body unpacks to a hundred times its size: send it unpacked.")
            if size > most:
                raise _too_long(most)
            share.take(len(part))
            parts.append(part)
            packed = unpacker.unconsumed_tail
            await asyncio.sleep(0)
    if not unpacker.eof or unpacker.unused_data:
        raise _bad_gzip("The gzip of the body is cut short, or more follows it.")
    return b"".join(parts)


def _bad_gzip(sentence: str) -> ProblemError:
    return ProblemError(400, "bad_encoding", sentence)


async def _received(request: Request, limits: Limits, share: Share, most: int) -> bytes:
    declared = _declared(request)
    if declared > most:
        raise _too_long(most)
    if declared:
        share.take(0 if share.held + declared < 2**16 else declared)
    counted = share.held
    chunks: list[bytes] = []
    received = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout_at(began + limits.body_seconds) as clock:
            while True:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise ProblemError(400, "cut_off", "The request ended before its body was there.")
                chunk: bytes = message.get("body", b"")
                received += len(chunk)
                if received > most:
                    raise _too_long(most)
                if received > counted:
                    share.take(received - counted)
                    counted = received
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
                clock.reschedule(began + limits.body_seconds + received / limits.least_rate)
    except TimeoutError:
        raise ProblemError(
            408, "too_slow", "The body of the request came too slowly: send it again.", close=True
        ) from None


def _declared(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _too_long(most: int) -> ProblemError:
    told = f"{most / 2**20:.3g}"
    return ProblemError(
        413, "too_long", f"A request like this has at most {told} MiB: send less.",
        close=True,
    )  # fmt: skip
