"""Attacks by somebody who has no key."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from attacks.target import Attacks, Next, Target, swarm
from facewise.serve.keytext import new_text

attacks = Attacks()

_HEAD = b"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def saying(*pieces: bytes, again: bytes | None = None) -> Callable[[], Next]:
    """A script of these pieces, and then of one piece again and again."""

    def script() -> Next:
        rest: Iterable[bytes] = pieces if again is None else itertools.chain(pieces, itertools.repeat(again))
        return partial(next, iter(rest), None)

    return script


def byte_by_byte(text: bytes) -> Callable[[], Next]:
    """A script of one byte at a time."""
    return saying(*(text[i : i + 1] for i in range(len(text))))


@attacks.add("silent connections, 2,000", "keys", "tls")
def silent(target: Target, seen: Counter[str]) -> None:
    """No byte, not even of a handshake."""
    swarm(target, seen, 2000, saying(), shake=False)


@attacks.add("silent after the TLS handshake, 500", "tls")
def silent_after_handshake(target: Target, seen: Counter[str]) -> None:
    """Each costs the service a handshake."""
    swarm(target, seen, 500, saying())


@attacks.add("half a TLS handshake, 500", "tls")
def half_handshakes(target: Target, seen: Counter[str]) -> None:
    """A hello that promises more than it holds."""
    swarm(
        target, seen, 500, saying(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)), shake=False
    )


@attacks.add("connections opened and closed", "keys")
def come_and_go(target: Target, seen: Counter[str]) -> None:
    """As fast as one core can."""
    while target.on:
        try:
            target.connect(shake=False).close()
            seen["opened"] += 1
        except OSError:
            seen["unopened"] += 1


@attacks.add("handshakes", "tls")
def handshakes(target: Target, seen: Counter[str]) -> None:
    """TLS handshakes one after the other, and nothing else."""
    while target.on:
        try:
            target.connect().close()
            seen["opened"] += 1
        except OSError:
            seen["unopened"] += 1


@attacks.add("heads a byte at a time, 1,000", "keys", "tls")
def slow_heads(target: Target, seen: Counter[str]) -> None:
    """Slow loris."""
    swarm(target, seen, 1000, byte_by_byte(_CHUNKED * 4), pause=0.5)


@attacks.add("bodies a byte at a time, 500", "keys", "open")
def slow_bodies(target: Target, seen: Counter[str]) -> None:
    """A length that is never reached."""
    swarm(target, seen, 500, saying(_HEAD + b"Content-Length: 1000000\r\n\r\n", again=b" "), pause=0.5)


@attacks.add("answers that are not read, 500", "keys", "tls")
def unread_answers(target: Target, seen: Counter[str]) -> None:
    """The largest answer there is without a key, asked for again and again."""
    asked = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    swarm(target, seen, 500, saying(again=asked), read=False, buffer=2048)


@attacks.add("one-byte chunks, 3 connections", "keys", "open")
def one_byte_chunks(target: Target, seen: Counter[str]) -> None:
    """After the 401, too, where the service hears on."""
    swarm(target, seen, 3, saying(_CHUNKED, again=b"1\r\n \r\n" * 5000))


@attacks.add("one-byte chunks at 195 KiB/s, 3 connections", "keys", "open")
def paced_chunks(target: Target, seen: Counter[str]) -> None:
    """As the review did."""
    swarm(target, seen, 3, saying(_CHUNKED, again=b"1\r\n \r\n" * 333), pause=0.01)


@attacks.add("one-byte chunks, 200 connections", "open")
def many_chunks(target: Target, seen: Counter[str]) -> None:
    """Side by side."""
    swarm(target, seen, 200, saying(_CHUNKED, again=b"1\r\n \r\n" * 5000))


@attacks.add("chunks with endless extensions", "open")
def extensions(target: Target, seen: Counter[str]) -> None:
    """Bytes that count as no body."""
    swarm(target, seen, 50, saying(_CHUNKED + b"1;", again=b"a" * 65536))


@attacks.add("endless fields after a body", "open")
def trailers(target: Target, seen: Counter[str]) -> None:
    """What comes after the last chunk."""
    swarm(target, seen, 50, saying(_CHUNKED + b"0\r\n", again=b"X-A: b\r\n" * 8000))


@attacks.add("endless heads", "keys")
def endless_heads(target: Target, seen: Counter[str]) -> None:
    """Of tiny fields."""
    swarm(target, seen, 50, saying(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n", again=b"a:\r\n" * 8000))


@attacks.add("requests sent ahead, 10,000 a time", "keys")
def sent_ahead(target: Target, seen: Counter[str]) -> None:
    """The smallest there are, one after the other without waiting."""
    swarm(target, seen, 50, saying(again=b"GET /v1/health HTTP/1.1\r\nHost:localhost\r\n\r\n" * 10_000))


@attacks.add("endless bodies", "keys", "open")
def endless_bodies(target: Target, seen: Counter[str]) -> None:
    """As fast as they are taken."""
    swarm(target, seen, 50, saying(_HEAD + b"Content-Length: 60000000\r\n\r\n", again=bytes(2**18)))


@attacks.add("no key, 200 connections", "keys", "tls")
def no_key(target: Target, seen: Counter[str]) -> None:
    """Requests that are refused."""
    swarm(target, seen, 200, saying(again=b"GET /v1/people HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attacks.add("guessed keys, 200 connections", "keys")
def guessed(target: Target, seen: Counter[str]) -> None:
    """Each with a checksum that is right."""

    def piece() -> bytes:
        return b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + new_text().encode() + b"\r\n\r\n"

    swarm(target, seen, 200, lambda: piece)


@attacks.add("health, 200 connections", "keys")
def health(target: Target, seen: Counter[str]) -> None:
    """What anybody may ask."""
    swarm(target, seen, 200, saying(again=b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attacks.add("the API's description, 100 connections", "keys")
def description(target: Target, seen: Counter[str]) -> None:
    """The largest answer there is without a key."""
    swarm(target, seen, 100, saying(again=b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attacks.add("the page, 100 connections", "keys")
def page(target: Target, seen: Counter[str]) -> None:
    """What a browser asks for first."""
    swarm(target, seen, 100, saying(again=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attacks.add("addresses that do not exist, 100 connections", "keys")
def nowhere(target: Target, seen: Counter[str]) -> None:
    """Long ones, each another."""

    def piece() -> bytes:
        return b"GET /" + secrets.token_hex(4000).encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"

    swarm(target, seen, 100, lambda: piece)


@attacks.add("what is not HTTP, 100 connections", "keys", "tls")
def not_http(target: Target, seen: Counter[str]) -> None:
    """Each is refused and opened anew."""
    swarm(target, seen, 100, saying(b"\0\1\2\r\n\r\n"))


@attacks.add("a length and chunks, 100 connections", "keys")
def two_lengths(target: Target, seen: Counter[str]) -> None:
    """A body that could be read in two ways."""
    head = _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    swarm(
        target, seen, 100, saying(head, again=b"0\r\n\r\nGET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    )
