"""What tests of abuse share: drawn photos that differ, raw connections, and the size of a process."""

from __future__ import annotations

import io
import random
import signal
import socket
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import PIL.Image
import psutil

from facewise.serve.audit import CHANGES, AuditLog, look_through
from tiny_models import draw

DECLARED = {503, 504, 507}
"""The errors of the server's own that its OpenAPI declares."""


def unique_photo(number: int, kind: str = "PNG", size: tuple[int, int] = (100, 120)) -> bytes:
    """A photo of one drawn face; another number is another file."""
    image = draw(size, [(50 + number % 20, 48 + number // 20 % 5, 60, number % 1296)])
    image[0, :4] = [[number & 255, number >> 8 & 255, number >> 16 & 255]] * 4
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, kind)
    return file.getvalue()


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with some changed, cut out, doubled, or put elsewhere."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(max(1, len(out)))
        length = chance.choice((1, 2, 4, 16, 200))
        match chance.randrange(6):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                out[at : at + length] = chance.randbytes(length)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                # Sizes and lengths of image headers are near the beginning.
                near = chance.randrange(min(64, len(out)) or 1)
                out[near : near + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case _:
                del out[at:]
    return bytes(out)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: psutil.Popen | subprocess.Popen[Any]) -> None:
    """Asks a service to end, and ends it where it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def connection(port: int, timeout: float = 20) -> Iterator[socket.socket]:
    """A raw connection to the service."""
    made = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        yield made
    finally:
        made.close()


def answer(connected: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    parts = []
    try:
        while part := connected.recv(65536):
            parts.append(part)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return b"".join(parts)


def status(raw: bytes) -> int:
    """The status of a raw answer, 0 where there is none."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def rss(process: int) -> float:
    """MiB a process holds in memory."""
    return float(psutil.Process(process).memory_info().rss) / 2**20


def forget_peak(process: int) -> None:
    """`peak` begins anew, where the system can."""
    with suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def peak(process: int) -> float:
    """MiB a process has held at most since `forget_peak`, or holds now where the system does not tell."""
    try:
        told = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return rss(process)
    return int(told.partition("VmHWM:")[2].split()[0]) / 2**10


def assert_one_entry_each(gallery: Path, audit: Path) -> None:
    """Every change that a gallery has seen is on record once, and nothing else is."""
    found = AuditLog(audit).newest(100_000)
    done = [e for e in found if e["action"] in CHANGES and e["outcome"] == "ok"]
    with closing(sqlite3.connect(gallery)) as db:
        changes = db.execute("SELECT count(*) FROM states").fetchone()[0]
        left = db.execute("SELECT count(*) FROM notes").fetchone()[0]
        there = {row[0] for row in db.execute("SELECT id FROM people")}
    assert (len(done), left) == (changes, 0)
    assert changes > 0
    # Who was enrolled and neither deleted nor merged away is there, and nobody else.
    enrolled = Counter(e["people"][0] for e in done if e["action"] == "person.enrol")
    gone = [e["people"][-1] for e in done if e["action"] in {"person.delete", "person.merge"}]
    assert set(enrolled.values()) <= {1}
    assert set(enrolled) - set(gone) == there
    assert len(gone) == len(set(gone))
    assert [one.wrong for one in look_through(audit).values()] == [[], [], []]
