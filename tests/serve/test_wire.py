"""The running service against clients without a key: what each costs, and that nobody is shut out by them."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from abuse_tools import free_port, status, stop

from own_certificate import own_certificate

DESCRIPTORS = 1024
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass
class Server:
    port: int
    process: psutil.Process
    log: Path
    context: ssl.SSLContext | None = None

    def connect(self, source: str = "127.0.0.1", *, shake: bool = True) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), 20, (source, 0))
        return made if self.context is None or not shake else self.context.wrap_socket(made)

    def health(self, source: str = "127.0.0.2") -> int:
        with self.connect(source) as line:
            return ask(line)

    def cpu(self) -> float:
        return sum(self.process.cpu_times()[:2])

    def clients(self) -> int:
        made = self.process.net_connections("tcp")
        return sum(one.status != psutil.CONN_LISTEN for one in made)

    def descriptors(self) -> int:
        return self.process.num_fds()


def ask(line: socket.socket, request: bytes = HEALTH) -> int:
    """The status of a request on a connection that stays."""
    line.sendall(request)
    raw = b""
    while b"\r\n\r\n" not in raw or not raw.endswith(b"}"):
        part = line.recv(65536)
        assert part, raw
        raw += part
    return status(raw)


@contextmanager
def started(folder: Path, models: list[Path], *options: str) -> Iterator[Server]:
    from facewise.serve.keys import KeyStore

    folder.mkdir(exist_ok=True)
    if "--no-auth" not in options:
        store = KeyStore(folder / "people.db.keys")
        (folder / "key").write_text(store.create("somebody", ["admin"])[0])
        store.close()
    port, log = free_port(), folder / "log"
    command = [
        sys.executable, "-m", "facewise", "serve", "--gallery", str(folder / "people.db"),
        "--port", str(port), "--detector", str(models[0]), "--model", str(models[1]), "--threads", "1",
        *options,
    ]  # fmt: skip
    with log.open("w") as file:
        few = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"]
        process = subprocess.Popen([*few, *command], stderr=file, stdout=file)
    server = Server(port, psutil.Process(process.pid), log)
    if "--tls-cert" in options:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.context.check_hostname, server.context.verify_mode = False, ssl.CERT_NONE
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            with suppress(OSError), server.connect() as line:
                if ask(line, HEALTH.replace(b"health", b"ready")) == 200:
                    break
            time.sleep(0.05)
        else:
            raise AssertionError(f"the service is not ready: {log.read_text()}")
        yield server
    finally:
        stop(process)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def models(tiny_detector_file, tiny_embedder_file) -> list[Path]:
    return [tiny_detector_file, tiny_embedder_file]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, models) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("plain"), models) as server:
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory, models) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = own_certificate(folder)
    with started(folder, models, "--tls-cert", str(certificate), "--tls-key", str(key)) as server:
        yield server


@pytest.fixture(params=["plain", "tls"])
def server(request) -> Server:
    return request.getfixturevalue(request.param)


def heard(line: socket.socket) -> bytes:
    """All that comes until the service ends the connection."""
    parts = []
    with suppress(ConnectionError):
        while part := line.recv(65536):
            parts.append(part)
    return b"".join(parts)


def heard_head(line: socket.socket) -> bytes:
    """What comes first."""
    raw = b""
    while b"\r\n\r\n" not in raw and (part := line.recv(65536)):
        raw += part
    return raw


def problem(raw: bytes) -> dict[str, object]:
    """The problem in an answer, whose head says that it was the last."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower(), head
    return json.loads(body)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100\r\n\r\n",
        b"Content-Length: 100\r\n\r\n" + b" " * 99,
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n",
        b"Content-Length: 60000000\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["no byte", "all but one", "no chunk", "a chunk", "that asks first"],
)
@pytest.mark.parametrize(
    "path", [b"/v1/identify", b"/v1/people/1/merge", b"/v1/nothing", b"/v1/health", b"/"]
)
def test_a_refusal_with_an_unread_body_closes_the_connection(plain, path, rest):
    with plain.connect() as line:
        line.sendall(POST.replace(b"/v1/identify", path) + rest)
        raw = heard(line)
    assert status(raw) in {401, 404, 405, 429}, raw
    assert problem(raw)["status"] == status(raw)


def test_clients_that_go_before_they_are_refused_are_no_error(plain):
    """The log of a service that had an error has a traceback, which its fixture looks for."""
    for _ in range(50):
        with plain.connect() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets it
            line.sendall(POST + b"Content-Length: 60000000\r\n\r\n" + bytes(1000))
    assert plain.health() == 200


def test_a_wrong_host_with_an_unread_body_closes_it_too(plain):
    with plain.connect() as line:
        line.sendall(POST.replace(b"localhost", b"evil.example") + b"Content-Length: 9\r\n\r\n")
        assert problem(heard(line))["code"] == "wrong_host"


def test_one_that_was_read_does_not(plain):
    with plain.connect() as line:
        for _ in range(3):
            assert ask(line) == 200


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n ",
        b"Content-Length: 2, 2\r\n\r\n  ",
        b"Content-Length: +2\r\n\r\n  ",
        b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\n \n0\n\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"X-A: b\r\n c\r\n\r\n",
        b"X-A : b\r\n\r\n",
        b"Content-Length:\x0b2\r\n\r\n  ",
        b"Host: localhost\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(plain, rest):
    """A second request after it is not heard."""
    with plain.connect() as line:
        line.sendall(POST + rest + HEALTH)
        raw = heard(line)
    assert raw.count(b"HTTP/1.1 ") == 1, raw
    assert status(raw) in {400, 401, 429}, raw
    assert b'"ok"' not in raw
    problem(raw)


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "one-byte chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 10_000),
    "chunk extensions": (b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 60_000),
    "the size of a chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 60_000),
    "trailers": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 8_000),
    "one trailer": (b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", b"a" * 60_000),
    "fields": (b"", b"a:\r\n" * 16_000),
    "one field": (b"X-A: ", b"a" * 60_000),
    "the name of a field": (b"", b"a" * 60_000),
    "lines before a request": (b"Content-Length: 0\r\n\r\n", b"\r\n" * 30_000),
    "requests": (b"Content-Length: 0\r\n\r\n", HEALTH * 1_000),
}


@pytest.fixture(scope="module")
def open_(tmp_path_factory, models) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("open"), models, "--no-auth") as server:
        yield server


@pytest.mark.parametrize("kind", ENDLESS)
def test_nothing_endless_is_heard_for_long(open_, kind):
    """Even where no key is asked for: 16 MB are offered, and after a few of them nobody listens."""
    begin, piece = ENDLESS[kind]
    before = open_.process.memory_info().rss
    with open_.connect() as line:
        line.sendall(POST + begin)
        sent, offered = 0, 16_000_000
        line.settimeout(0.5)
        with suppress(OSError):  # closed, or not read any more
            while sent < offered:
                sent += line.send(piece)
        line.settimeout(20)
        raw = heard(line)
    assert sent < offered, "it was read to the end"
    assert status(raw) in {400, 401, 408, 422, 429, 0}, raw
    assert open_.process.memory_info().rss - before < 32 * 2**20
    assert open_.health() == 200


def test_a_flood_after_a_refusal_is_not_parsed(plain):
    """What is sent on a refused connection costs the service next to nothing a megabyte, whatever it is."""
    piece = b"1\r\n \r\n" * 40_000
    spent, sent, begun = plain.cpu(), 0, time.monotonic()
    while time.monotonic() - begun < 2 and sent < 50_000_000:
        with plain.connect() as line, suppress(OSError):
            line.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            line.settimeout(0.3)
            while time.monotonic() - begun < 2:
                sent += line.send(piece)
    assert sent > 1_000_000
    # The parser of before took 3.3 s for each megabyte.
    assert (plain.cpu() - spent) / (sent / 1e6) < 0.5
    assert plain.health() == 200


def silent(server: Server, number: int, stack: ExitStack) -> list[socket.socket]:
    """Connections that say nothing, not even a TLS hello."""
    lines = []
    for _ in range(number):
        lines.append(stack.enter_context(server.connect(shake=False)))
        lines[-1].setblocking(False)
    return lines


def test_two_thousand_silent_clients_shut_nobody_out(server):
    """The service has 1,024 descriptors."""
    with ExitStack() as stack:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit[0] < 2500:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limit[1]), limit[1]))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        silent(server, 2000, stack)
        assert server.health("127.0.0.2") == 200
        assert server.health("127.0.0.1") == 200
        assert server.descriptors() < DESCRIPTORS - 200, "files could no longer be opened"
    assert server.process.is_running()


def test_who_says_something_is_not_ended_for_those_who_do_not(server):
    with ExitStack() as stack:
        kept = stack.enter_context(server.connect())
        assert ask(kept) == 200
        silent(server, 400, stack)
        assert ask(kept) == 200


def test_who_does_not_go_on_is_ended(plain, tls):
    """After 10 s, handshake and all, and also where an answer is not read."""
    begun = (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nHost: loc")
    with ExitStack() as stack:
        for server in (plain, tls):
            for begin in begun:
                stack.enter_context(server.connect(shake=False)).sendall(begin)
        deaf = stack.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", plain.port))
        deaf.settimeout(0.1)
        with suppress(OSError):
            for _ in range(100):
                deaf.sendall(HEALTH.replace(b"health", b"openapi.json"))
                time.sleep(0.01)
        end = time.monotonic() + 40
        while plain.clients() + tls.clients():
            assert time.monotonic() < end, "somebody is still waited for"
            time.sleep(0.2)
    assert plain.health() == tls.health() == 200


def test_answers_that_are_not_read_keep_nobody_waiting(plain):
    """More of them than one address has turns."""
    asked = HEALTH.replace(b"health", b"openapi.json") * 8
    with ExitStack() as stack:
        for _ in range(40):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(("127.0.0.1", plain.port))
            deaf.sendall(asked)
        time.sleep(0.5)
        for source in ("127.0.0.1", "127.0.0.2"):
            with plain.connect(source) as line:
                line.settimeout(5)
                assert ask(line) == 200


def test_what_waits_for_another_is_answered_in_order(plain):
    """A few requests may be sent ahead."""
    with plain.connect() as line:
        ready = HEALTH.replace(b"health", b"ready")
        line.sendall(HEALTH + ready + HEALTH + HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        raw = heard(line)
    assert [part[:3] for part in raw.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 4
    assert [b'"ready"' in part for part in raw.split(b"HTTP/1.1 ")[1:]] == [False, True, False, False]


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("127.0.0.0/8", ["203.0.113.9", "203.0.113.8", None]),  # the last that is no proxy
        ("10.0.0.1", ["127.0.0.1"] * 3),  # anybody can write a header
    ],
)
def test_an_address_is_a_proxys_word_only_if_it_is_named(tmp_path, models, proxy, told):
    with started(tmp_path / "s", models, "--proxy", proxy, "--audit-addresses") as server:
        for sent in ("203.0.113.9", "198.51.100.1, 203.0.113.8, 127.0.0.5", "no address"):
            asked = f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {sent}\r\n\r\n"
            with server.connect() as line:
                assert ask(line, asked.encode()) == 401
    texts = [path.read_text() for path in (tmp_path / "s").glob("people.db.audit*") if path.is_file()]
    found = [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]
    assert [one.get("address") for one in found if one.get("outcome") == "refused"] == told


def test_the_access_log_is_not_filled_by_strangers(tmp_path, models):
    with started(tmp_path / "s", models) as server:
        with server.connect() as line:
            begun = time.monotonic()
            for _ in range(160):
                line.sendall(HEALTH * 8)
                raw = b""
                while raw.count(b'{"status":"ok"}') < 8:
                    raw += line.recv(65536)
        written = server.log.read_text().count('"route": "/v1/health"')
        assert 550 <= written <= 605 + 10 * (time.monotonic() - begun), written
        key = (tmp_path / "s" / "key").read_text()
        with server.connect() as line:
            me = f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode()
            assert ask(line, me) == 200
    assert '"route": "/v1/me"' in server.log.read_text(), "who has a key is always noted"


def test_metrics_tell_of_connections(open_):
    with open_.connect() as line:
        line.sendall(HEALTH.replace(b"health", b"metrics"))
        raw = line.recv(2**20)
        while b"facewise_connections_refused" not in raw and (more := line.recv(2**20)):
            raw += more
    assert b"facewise_connections 1.0" in raw
    assert b"facewise_connections_displaced 0.0" in raw


def test_slow_bodies_give_way_where_no_key_is_asked_for(open_):
    """As many as an address has places for, and more: it is served all the same."""
    with ExitStack() as stack:
        slow = [stack.enter_context(open_.connect()) for _ in range(300)]
        for line in slow:
            with suppress(OSError):
                line.sendall(POST + b"Content-Length: 1000\r\n\r\n ")
        assert open_.health("127.0.0.1") == 200
        last = slow[-1]
        last.sendall(b" " * 999)
        assert status(heard_head(last)) in {400, 422}, "the newest was ended"
