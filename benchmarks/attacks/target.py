"""What an attack is given, what it counts, and how it is made known to `attack.py`."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

Service = Literal["keys", "tls", "open"]
"""Which service is attacked: one with keys, one with keys over TLS, one started with `--no-auth`."""


@dataclass(frozen=True)
class Target:
    """A service to attack.

    Attributes:
        port: Of the service, on 127.0.0.1.
        tls: Whether it speaks TLS.
        until: When to end, by `time.monotonic`.
        photo: A photo with a face, as a file.
        source: The attacker's address.
        key: A good key with the scope `identify`; None for attacks without one.
    """

    port: int
    tls: bool
    until: float
    photo: bytes = b""
    source: str = "127.0.0.1"
    key: str | None = None

    @property
    def on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def connect(self, *, shake: bool = True, buffer: int = 0) -> socket.socket:
        """A connection, which blocks for 5 s at most.

        Args:
            shake: Whether the TLS handshake is made, where the service speaks TLS.
            buffer: Bytes the kernel may hold of what comes; 0 is its own choice.
        """
        raw = socket.socket()
        try:
            if buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            raw.settimeout(5)
            raw.bind((self.source, 0))
            raw.connect(("127.0.0.1", self.port))
            return trusting().wrap_socket(raw) if self.tls and shake else raw
        except BaseException:
            raw.close()
            raise


_CONTEXT: list[ssl.SSLContext] = []


def trusting() -> ssl.SSLContext:
    """TLS with whoever answers: the certificate was made for this run."""
    if not _CONTEXT:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _CONTEXT.append(context)
    return _CONTEXT[0]


Run = Callable[[Target, Counter[str]], None]
"""Attacks until there is no time left, and counts what it did and what became of it."""


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        name: In a few words.
        run: Does it.
        service: Which service.
        keyed: Whether it needs a good key.
    """

    name: str
    run: Run
    service: Service = "keys"
    keyed: bool = False


@dataclass
class Attacks:
    """All attacks of a file, by the decorator `add`."""

    all: list[Attack] = field(default_factory=list)

    def add(self, name: str, *services: Service, keyed: bool = False) -> Callable[[Run], Run]:
        """Makes a function known as an attack on each of these services; on the one with keys by default."""

        def noted(run: Run) -> Run:
            for service in services or ("keys",):
                self.all.append(
                    Attack(name if service == "keys" else f"{name}, {service}", run, service, keyed)
                )
            return run

        return noted

    def __iter__(self) -> Iterator[Attack]:
        return iter(self.all)


Next = Callable[[], bytes | None]
"""What a connection sends next; None where it sends nothing more."""


def swarm(
    target: Target,
    seen: Counter[str],
    number: int,
    script: Callable[[], Next],
    *,
    pause: float = 0.0,
    read: bool = True,
    shake: bool = True,
    buffer: int = 0,
) -> None:
    """Keeps so many connections, each of which sends its script, until there is no time left.

    One that is ended is opened anew. Counted are connections (`opened`, `unopened`), bytes (`sent`), and
    answers by status.

    Args:
        target: Attacked.
        seen: Counts.
        number: Of connections.
        script: Makes what one connection sends, piece by piece.
        pause: Seconds between two pieces of one connection.
        read: Whether answers are read.
        shake: See `Target.connect`.
        buffer: See `Target.connect`.
    """
    with selectors.DefaultSelector() as selector:
        try:
            while target.on:
                for _ in range(min(64, number - len(selector.get_map()))):
                    _open(target, seen, selector, script, shake=shake, buffer=buffer)
                _turn(seen, selector, pause=pause, read=read)
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]


@dataclass
class _Line:
    next: Next
    rest: bytes = b""
    due: float = 0.0
    mute: bool = False


def _open(target, seen, selector, script, *, shake, buffer) -> None:
    try:
        made = target.connect(shake=shake, buffer=buffer)
    except OSError:
        seen["unopened"] += 1
        time.sleep(0.001)
        return
    seen["opened"] += 1
    made.setblocking(False)
    selector.register(made, selectors.EVENT_READ | selectors.EVENT_WRITE, _Line(script()))


def _turn(seen: Counter[str], selector: selectors.BaseSelector, *, pause: float, read: bool) -> None:
    """One round over all connections that are ready."""
    now, idle = time.monotonic(), True
    for key, events in selector.select(0.05):
        made, line = key.fileobj, key.data
        assert isinstance(made, socket.socket)
        try:
            if events & selectors.EVENT_READ and read:
                got = made.recv(65536)
                if not got:
                    raise ConnectionResetError
                _count(seen, got)
                idle = False
            if events & selectors.EVENT_WRITE and not line.mute and line.due <= now:
                idle = False
                if not line.rest:
                    piece = line.next()
                    if piece is None:
                        line.mute = True
                        selector.modify(made, selectors.EVENT_READ, line)
                        continue
                    line.rest = piece
                count = made.send(line.rest)
                seen["sent"] += count
                line.rest = line.rest[count:]
                if pause and not line.rest:
                    line.due = now + pause
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            seen["ended"] += 1
            selector.unregister(made)
            with suppress(OSError):
                made.close()
    if idle:
        time.sleep(0.002)


def _count(seen: Counter[str], got: bytes) -> None:
    """Counts the answers that begin in these bytes."""
    for part in got.split(b"HTTP/1.1 ")[1:]:
        seen[part[:3].decode("ascii", "replace")] += 1
