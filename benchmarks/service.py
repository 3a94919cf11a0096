"""`facewise serve` under 8 clients: identify 640×480 photos against 100,000 people, beside the bare pipeline.

The service is its own process with the bundled models, with keys and an audit log as by default. It is
asked for 60 s in all, in blocks of 10 s, and in turn with each block the pipeline alone (`facewise bench`'s
"side by side") runs over the same photos while the service rests: the share is the median of the blocks'
ratios. The pipeline embeds the main face of a photo, the service every face. The clients are one process of 8
threads that send ready-made bytes; they run on the same cores, so what they take counts against the service;
it is printed. The gallery is 100,000 made-up people of one random vector each. Photos are LFW's, enlarged to
480 pixels and put on a grey field of 640×480, as JPEG.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image

from facewise.benchmark import throughput
from facewise.gallery.results import Sample, Space
from facewise.gallery.uri import open_store
from facewise.pipeline import Pipeline
from facewise.serve.keys import KeyStore
from real import photos as lfw_photos

CLIENTS = 8
BOUNDARY = "facewise-benchmark"


@dataclass
class Seen:
    """What the clients of one block saw."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    faces: int = 0
    wall: float = 0.0
    cpu: float = 0.0


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--people", type=int, default=100_000)
    words.add_argument("--blocks", type=int, default=6)
    words.add_argument("--seconds", type=float, default=10.0, help="of a block")
    words.add_argument("--photos", type=int, default=300)
    words.add_argument("--clients", type=int, default=CLIENTS)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), asked)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    pipeline = Pipeline.load()
    paths = make_photos(folder / "photos", asked.photos)
    fill(folder / "people.db", asked.people, pipeline)
    key, _ = KeyStore(folder / "people.db.keys").create("benchmark", ["identify"])
    process, port, opened = start(folder / "people.db")
    try:
        requests = [request_of(path.read_bytes(), key) for path in paths]
        ask(port, requests, asked.clients, 3.0)  # warm-up, not counted
        throughput(pipeline, paths[:60], rounds=1)
        rates, blocks = [], []
        for _ in range(asked.blocks):
            rates.append(throughput(pipeline, paths, rounds=1).side_by_side)
            blocks.append(ask(port, requests, asked.clients, asked.seconds))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    report(asked, opened, rates, blocks)


def report(asked: argparse.Namespace, opened: float, rates: list[float], blocks: list[Seen]) -> None:
    times = sorted(second for block in blocks for second in block.seconds)
    statuses = sum((block.statuses for block in blocks), Counter[int]())
    served = [len(block.seconds) / block.wall for block in blocks]
    shares = [one / rate for one, rate in zip(served, rates, strict=True)]
    cpu = sum(block.cpu for block in blocks) / sum(block.wall for block in blocks)
    wrong = {status: count for status, count in statuses.items() if status != 200}
    quantiles = [1000 * times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99)]
    print(
        f"{asked.clients} clients, {asked.blocks} × {asked.seconds:g} s, {asked.people} people, "
        f"640×480 photos; ready after {opened:.1f} s. The clients took {cpu:.2f} of a core.\n"
    )
    print("| | |\n|---|---|")
    print(f"| requests | {len(times)} |")
    print(f"| errors | {sum(wrong.values())} {wrong or ''} |")
    print(f"| faces found | {sum(block.faces for block in blocks)} |")
    print(f"| p50 | {quantiles[0]:.0f} ms |")
    print(f"| p99 | {quantiles[1]:.0f} ms |")
    print(f"| slowest | {1000 * times[-1]:.0f} ms |")
    print(f"| throughput, median of blocks | {statistics.median(served):.1f} photos/s |")
    print(f"| pipeline side by side, in turn | {statistics.median(rates):.1f} photos/s |")
    print(
        f"| share, median of blocks | {statistics.median(shares):.2f} "
        f"({' '.join(f'{share:.2f}' for share in shares)}) |"
    )


def make_photos(folder: Path, count: int) -> list[Path]:
    """LFW photos on a field of 640×480."""
    folder.mkdir()
    made = []
    for i, path in enumerate(lfw_photos(13_233 // count)[:count]):
        field_ = PIL.Image.new("RGB", (640, 480), (110, 110, 110))
        with PIL.Image.open(path) as photo:
            field_.paste(photo.convert("RGB").resize((480, 480), PIL.Image.Resampling.BICUBIC), (80, 0))
        made.append(folder / f"{i:04d}.jpg")
        field_.save(made[-1], quality=90)
    return made


def fill(path: Path, people: int, pipeline: Pipeline) -> None:
    """A gallery of so many people of one random vector each."""
    embedder, chance = pipeline.embedder, np.random.default_rng(0)
    space = Space(embedder.fingerprint, embedder.name, embedder.embedding_size, embedder.flip)
    store = open_store(path, create=True)
    for start_ in range(0, people, 10_000):
        rows = chance.standard_normal((min(10_000, people - start_), space.size), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        store.add(
            [
                (f"Person {start_ + i:07d}", [Sample(row, "made up", f"{start_ + i:064x}")])
                for i, row in enumerate(rows)
            ],
            space,
        )
    store.close()


def start(gallery: Path) -> tuple[subprocess.Popen[bytes], int, float]:
    """The service, ready; its port; and how long that took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    begun = time.perf_counter()
    log = gallery.with_name("log").open("wb")
    command = [sys.executable, "-m", "facewise", "serve", "--gallery", str(gallery), "--port", str(port)]
    process = subprocess.Popen(command, stderr=log, stdout=log)
    while time.perf_counter() - begun < 120:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connected:
                connected.sendall(b"GET /v1/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if connected.recv(12).endswith(b"200"):
                    return process, port, time.perf_counter() - begun
        except OSError:
            pass
        time.sleep(0.05)
    process.kill()
    raise SystemExit(f"The service did not start: {gallery.with_name('log').read_text()}")


def request_of(photo: bytes, key: str) -> bytes:
    """A whole request as bytes, made once."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip
    head = (
        f"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(port: int, requests: list[bytes], clients: int, seconds: float) -> Seen:
    """One block, by a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=block_of_clients, args=(theirs, port, requests, clients, seconds))
    process.start()
    theirs.close()
    seen: Seen = ours.recv()
    process.join()
    return seen


def block_of_clients(told: object, port: int, requests: list[bytes], clients: int, seconds: float) -> None:
    """Asks for so long, and tells what was seen through the pipe `told`."""
    seen, threads = Seen(), []
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for number in range(clients):
        work = (seen, port, requests[number::clients], begun + seconds)
        threads.append(threading.Thread(target=client, args=work))
        threads[-1].start()
    for thread in threads:
        thread.join()
    seen.wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    seen.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told.send(seen)  # type: ignore[attr-defined]


def client(seen: Seen, port: int, requests: list[bytes], until: float) -> None:
    """One request after another on one connection, as long as there is time to begin one."""
    connected = socket.create_connection(("127.0.0.1", port), 60)
    number = 0
    while (begun := time.perf_counter()) < until:
        connected.sendall(requests[number % len(requests)])
        status, body = answer(connected)
        seen.seconds.append(time.perf_counter() - begun)
        seen.statuses[status] += 1
        seen.faces += body.count(b'"landmarks"')
        number += 1
    connected.close()


def answer(connected: socket.socket) -> tuple[int, bytes]:
    """Status and body; 0 where the connection ended."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connected.recv(65536)
        if not part:
            return 0, b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connected.recv(65536)
    return int(head[9:12]), body


if __name__ == "__main__":
    main()
