"""Mutated HTTP on the wire: every answer is a declared one, nothing hangs, nothing is kept."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
from abuse_tools import DECLARED, mutated, rss, unique_photo
from test_wire import Server, started


def form(photo: bytes) -> bytes:
    return (
        b'--edge\r\nContent-Disposition: form-data; name="threshold"\r\n\r\n0.5\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + photo + b"\r\n--edge--\r\n"
    )


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return (
        b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-After: 1\r\n\r\n"
    )


def request(line: bytes, *fields: bytes, body: bytes = b"", length: bool = True) -> bytes:
    said = [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([line, b"Host: localhost", *fields, *said]) + b"\r\n\r\n" + body


WHOLE = [
    request(b"GET /v1/health HTTP/1.1", b"Accept: */*"),
    request(b"GET /v1/people?offset=0&limit=3&search=Ada HTTP/1.1", b"Connection: keep-alive") * 2,
    request(b"GET /v1/people/1 HTTP/1.0", b"User-Agent: none", length=False),
    request(b"HEAD / HTTP/1.1", b'If-None-Match: "x"'),
    request(b"OPTIONS /v1/people HTTP/1.1", b"Origin: http://localhost", b"Sec-Fetch-Site: same-origin"),
    request(b"GET /assets/none/../x.js HTTP/1.1", b"Upgrade: websocket", b"Connection: Upgrade"),
    request(
        b"POST /v1/identify HTTP/1.1", b"Content-Type: multipart/form-data; boundary=edge",
        body=form(unique_photo(1, "JPEG", (64, 64))),
    ),
    request(
        b"POST /v1/detect HTTP/1.1", b"Content-Type: multipart/form-data; boundary=edge",
        b"Transfer-Encoding: chunked", length=False,
        body=chunked(form(unique_photo(2, "JPEG", (64, 64))), 300),
    ),
    request(
        b"PATCH /v1/people/1 HTTP/1.1", b"Content-Type: application/json", b"Expect: 100-continue",
        body=json.dumps({"name": "Ada", "groups": ["a"]}).encode(),
    ),
    request(b"POST /v1/people/1/merge HTTP/1.1", b"Content-Type: application/json", body=b'{"from": 77}'),
    request(b"DELETE /v1/people/77 HTTP/1.1", b"X-API-Key: fw_none"),
]  # fmt: skip

SPLICES = [
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Host: \xff\r\n", b"\r\n", b"\n", b"\0",
    b"\x0b", b" ", b"\t", b"HTTP/1.1", b"%00", b"%ff%fe", b"//", b"@", b"?", b"#", b"0\r\n\r\n",
    b"ffffffff\r\n", b"-1",
    b"Connection: close, upgrade\r\n", b"Expect: 100-continue\r\n", b":", b"\r", b"A" * 40_000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"Content-Encoding: gzip\r\n", b"CONNECT a:1 HTTP/1.1\r\n",
    b"GET " * 500, b"a:b\r\n" * 200,
]  # fmt: skip


def made(chance: random.Random) -> bytes:
    """A request with some of it changed, in most cases in its head."""
    whole = chance.choice(WHOLE)
    head, edge, body = whole.partition(b"\r\n\r\n")
    match chance.randrange(6):
        case 0:
            return mutated(whole, chance)
        case 1:
            return mutated(head, chance) + edge + body
        case 2:
            at = chance.randrange(len(head + edge) + 1)
            return whole[:at] + chance.choice(SPLICES) + whole[at:]
        case 3:
            return head + edge + (mutated(body, chance) if body else b"")
        case 4:
            return whole * chance.randrange(1, 4) + mutated(whole, chance)
        case _:
            lines = (head + edge).split(b"\r\n")
            chance.shuffle(lines)
            return b"\r\n".join(lines) + edge + body


def send(server: Server, data: bytes) -> tuple[list[int], float]:
    """The statuses that it is answered, and how long the service held on after the client had ended."""
    raw = b""
    with socket.create_connection(("127.0.0.1", server.port), 10) as line:
        with suppress(OSError):
            line.sendall(data)
        line.settimeout(0.2)
        with suppress(OSError):
            while part := line.recv(65536):
                raw += part
        begun = time.monotonic()
        with suppress(OSError):
            line.shutdown(socket.SHUT_WR)
        line.settimeout(20)
        with suppress(ConnectionError):
            while part := line.recv(65536):
                raw += part
    statuses = [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    return statuses, time.monotonic() - begun


def storm(server: Server, count: int, seed: int) -> Counter[int]:
    """Sends so many, side by side; every answer is a declared one, and nobody is held on to."""
    seen: Counter[int] = Counter()

    def one(number: int) -> None:
        data = made(random.Random(seed * 10**6 + number))
        statuses, held = send(server, data)
        assert held < 5, (number, held, data[:500])
        wrong = [status for status in statuses if status >= 500 and status not in DECLARED]
        assert not wrong, (number, wrong, data[:500])
        seen.update(statuses or [0])

    with ThreadPoolExecutor(24) as pool:
        for done in pool.map(one, range(count)):
            assert done is None
    return seen


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_detector_file, tiny_embedder_file) -> Iterator[Server]:
    """Without keys, so that requests come as far as they can."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with started(folder, [tiny_detector_file, tiny_embedder_file], "--no-auth") as running:
        url = f"http://127.0.0.1:{running.port}/v1/people"
        files = {"photos": ("a.png", unique_photo(1), "image/png")}
        httpx.post(url, data={"name": "Ada"}, files=files, timeout=60).raise_for_status()
        yield running


def test_mutated_requests(server):
    seen = storm(server, 400, 1)
    assert seen[400] > 50
    assert seen[200] > 50, "some are still requests, else nothing but the parser was tried"
    assert server.health() == 200


@pytest.mark.slow
def test_twenty_thousand_mutated_requests_and_memory_stays(server):
    storm(server, 3000, 2)
    before = rss(server.process.pid)
    seen = storm(server, 20_000, 3)
    after = rss(server.process.pid)
    print(f"RSS {before:.1f} MiB after 3,000, {after:.1f} after 23,000; {dict(sorted(seen.items()))}")  # noqa: T201
    assert after - before < 30
    assert server.health() == 200
