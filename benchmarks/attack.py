"""Attacks on `facewise serve`, one after the other, and what honest clients notice of each.

Three services run side by side, each with at most 1,024 descriptors: one with keys, one with keys over
TLS, one started with `--no-auth`. Each attack comes from 127.0.0.1, from a process of its own, for 10 s.
Meanwhile `/v1/health` is asked 20 times a second in three ways, each of which opens a connection for each
request or keeps one: from another address (new, kept), and from the attacker's own (same); and so is
`/v1/metrics`, with a key, from another address. When the attack is over, somebody is enrolled at once.
Where the attacker has a key, somebody with another one asks `/v1/identify` from another address, again and
again: before, without the attack, and during it.

    python benchmarks/attack.py                  # all
    python benchmarks/attack.py --only silent    # those with the word in their names

A file with more attacks has them in an `Attacks` (see `attacks.target`) and is named in `ATTACKS`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from attacks import keyed, keyless
from attacks.target import Attack, Service, Target, trusting
from facewise.serve.keys import KeyStore

ATTACKS: tuple[Attack, ...] = (*keyless.attacks, *keyed.attacks)
DESCRIPTORS = 1024
ELSEWHERE = "127.0.0.2"
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Running:
    """A service.

    Attributes:
        kind: Which.
        port: Of it, on 127.0.0.1.
        process: It.
        keys: A good key by scope, where it has keys.
        photo: A photo with a face.
    """

    kind: Service
    port: int
    process: psutil.Process
    keys: dict[str, str]
    photo: bytes

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return self.kind == "tls"

    def memory(self) -> float:
        """MiB that it holds, its workers included."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / 2**20


@dataclass
class Told:
    """What was seen of one attack.

    Attributes:
        attack: Which.
        seen: What the attacker counted.
        health: Seconds by way of asking; a refused or broken request counts as 10.
        cpu: Seconds of CPU of the service a second.
        memory: MiB before, at most, and 3 s after.
        quiet: Seconds that others' requests to identify took before it, where it has a key.
        identified: And during it.
        enrolled: Status of the enrolment after it.
        waited: Seconds that it took.
    """

    attack: Attack
    seen: Counter[str]
    health: dict[str, list[float]] = field(default_factory=dict)
    cpu: float = 0.0
    memory: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quiet: list[float] = field(default_factory=list)
    identified: list[float] = field(default_factory=list)
    enrolled: int = 0
    waited: float = 0.0

    def facts(self) -> dict[str, object]:
        """For programs."""
        return {
            "attack": self.attack.name, "seen": self.seen, "health": self.health, "cpu": self.cpu,
            "memory": self.memory, "enrolled": self.enrolled, "waited": self.waited,
            "quiet": self.quiet, "identified": self.identified,
        }  # fmt: skip

    def quantile(self, way: str, share: float) -> float:
        """Of the seconds that health took."""
        return quantile(self.health[way], share)


def quantile(seconds: Sequence[float], share: float) -> float:
    """Of so many seconds; 0 of none."""
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else 0.0


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seconds", type=float, default=10.0, help="of each attack")
    words.add_argument("--only", default="", help="a word in an attack's name")
    words.add_argument("--json", action="store_true", help="a JSON object for each attack, and no table")
    words.add_argument("--photo", type=Path, help="a photo with a face; of nobody by default")
    words.add_argument("options", nargs="*", help="after --: options of `facewise serve`")
    asked = words.parse_args()
    chosen = [attack for attack in ATTACKS if asked.only in attack.name]
    photo = None if asked.photo is None else asked.photo.read_bytes()
    with tempfile.TemporaryDirectory() as name, services(Path(name), asked.options, photo) as running:
        if not asked.json:
            print(HEADER)
        for attack in chosen:
            told = measure(attack, running[attack.service], asked.seconds)
            print(json.dumps(told.facts()) if asked.json else line(told), flush=True)


@contextmanager
def services(
    folder: Path, options: Sequence[str] = (), photo: bytes | None = None
) -> Iterator[dict[str, Running]]:
    """The three services, ready; `options` choose other models, with a photo of a face for them."""
    photo = photo or drawn_photo(folder)
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(serving(folder / kind, kind, options, photo))
            for kind in ("keys", "tls", "open")
        }


@contextmanager
def serving(folder: Path, kind: Service, options: Sequence[str], photo: bytes) -> Iterator[Running]:
    """One service."""
    folder.mkdir()
    keys = {}
    if kind != "open":
        store = KeyStore(folder / "people.db.keys")
        keys = {scope: store.create(scope, [scope])[0] for scope in ("identify", "admin")}
        store.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [
        sys.executable, "-m", "facewise", "serve", "--gallery", str(folder / "people.db"),
        "--port", str(port),
        *(["--no-auth"] if kind == "open" else []), *(certificate(folder) if kind == "tls" else []), *options,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        few = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"]
        process = subprocess.Popen([*few, *command], stderr=log, stdout=log)
    running = Running(kind, port, psutil.Process(process.pid), keys, photo)
    try:
        wait(running, folder / "log")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(running: Running, log: Path) -> None:
    """Until it is ready."""
    end = time.monotonic() + 120
    while time.monotonic() < end and running.process.is_running():
        try:
            if ask(running, HEALTH.replace(b"health", b"ready"), ELSEWHERE)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"The service did not start: {log.read_text()}")


def measure(attack: Attack, running: Running, seconds: float) -> Told:
    """Attacks, and looks on."""
    told = Told(attack, Counter())
    if attack.keyed:
        over = threading.Event()
        threading.Timer(seconds / 2, over.set).start()
        watch(Identify(running), told.quiet, over)
    before, cpu = running.memory(), sum(running.process.cpu_times()[:2])
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    target = Target(
        running.port, running.tls, time.monotonic() + seconds, running.photo,
        key=running.keys["identify"] if attack.keyed else None,
    )  # fmt: skip
    attacker = context.Process(target=attacking, args=(theirs, attack, target, seconds))
    attacker.start()
    assert ours.recv() == "begun"
    ways: dict[str, Callable[[], object]] = {
        "new": New(running, ELSEWHERE),
        "kept": Kept(running, HEALTH),
        "same": New(running, "127.0.0.1"),
        "metrics": Kept(running, metrics(running)),
    }
    over = threading.Event()
    threads = []
    for way, asking in ways.items():
        told.health[way] = []
        threads.append(threading.Thread(target=watch, args=(asking, told.health[way], over)))
        threads[-1].start()
    if attack.keyed:
        threads.append(threading.Thread(target=watch, args=(Identify(running), told.identified, over)))
        threads[-1].start()
    most, begun = before, time.monotonic()
    while not ours.poll(0.1):
        most = max(most, running.memory())
    told.cpu = (sum(running.process.cpu_times()[:2]) - cpu) / (time.monotonic() - begun)
    over.set()
    told.enrolled, told.waited = enrol(running)
    told.seen = ours.recv()
    attacker.join()
    for thread in threads:
        thread.join()
    time.sleep(3)
    told.memory = (before, most, running.memory())
    return told


def attacking(told: object, attack: Attack, target: Target, seconds: float) -> None:
    """The attacker's process."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    seen: Counter[str] = Counter()
    told.send("begun")  # type: ignore[attr-defined]
    target = Target(**{**target.__dict__, "until": time.monotonic() + seconds})
    attack.run(target, seen)
    told.send(seen)  # type: ignore[attr-defined]


def watch(asking: Callable[[], object], seconds: list[float], over: threading.Event) -> None:
    """Asks 20 times a second, and notes how long each answer took."""
    while not over.wait(0.05):
        begun = time.perf_counter()
        try:
            asking()
        except (OSError, ValueError):
            seconds.append(10.0)
        else:
            seconds.append(time.perf_counter() - begun)


class New:
    """Asks over a new connection each time."""

    def __init__(self, running: Running, source: str) -> None:
        self._running, self._source = running, source

    def __call__(self) -> None:
        """Once."""
        status, _ = ask(self._running, HEALTH, self._source)
        if status != 200:
            raise ValueError(status)


def metrics(running: Running) -> bytes:
    """A request for them."""
    key = f"X-API-Key: {running.keys['admin']}\r\n" if running.keys else ""
    return f"GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n{key}\r\n".encode()


class Identify:
    """Asks who is in the photo, with another key than the attacker's."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._request = form_request(running, "identify", {}, "photo")

    def __call__(self) -> None:
        """Once."""
        status, _ = ask(self._running, self._request, ELSEWHERE, 30)
        if status != 200:
            raise ValueError(status)


class Kept:
    """Asks over one connection, or a new one where that was ended."""

    def __init__(self, running: Running, request: bytes) -> None:
        self._running, self._request = running, request
        self._line: socket.socket | None = None

    def __call__(self) -> None:
        """Once."""
        for line in (self._line, None):
            try:
                self._line = line or connect(self._running, ELSEWHERE)
                self._line.sendall(self._request)
                if answer(self._line)[0] == 200:
                    return
            except OSError:
                if line is None:
                    raise
        raise ValueError("no answer")


def connect(running: Running, source: str, timeout: float = 10) -> socket.socket:
    """A connection from this address."""
    made = socket.create_connection(("127.0.0.1", running.port), timeout, (source, 0))
    return trusting().wrap_socket(made) if running.tls else made


def ask(running: Running, request: bytes, source: str, timeout: float = 10) -> tuple[int, bytes]:
    """One request over a connection of its own."""
    with connect(running, source, timeout) as line:
        line.sendall(request)
        return answer(line)


def answer(line: socket.socket) -> tuple[int, bytes]:
    """Status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = line.recv(65536)
        if not part:
            raise ConnectionResetError
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        one.partition(b":")[2] for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")
    ]
    length = int(lengths[0]) if lengths else 0
    while len(body) < length:
        part = line.recv(65536)
        if not part:
            raise ConnectionResetError
        body += part
    return int(head[9:12]), body


_NUMBERS = iter(range(10**6))


def form_request(running: Running, path: str, fields: dict[str, str], photos: str) -> bytes:
    """A form with the photo in it."""
    edge = "facewise-attack"
    parts = "".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    )
    parts += f'--{edge}\r\nContent-Disposition: form-data; name="{photos}"; filename="a.jpg"\r\n\r\n'
    form = parts.encode() + running.photo + f"\r\n--{edge}--\r\n".encode()
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\n{key_of(running)}"
        f"Content-Type: multipart/form-data; boundary={edge}\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


def key_of(running: Running) -> str:
    """The header of one who may do all."""
    return f"X-API-Key: {running.keys['admin']}\r\n" if running.keys else ""


def enrol(running: Running) -> tuple[int, float]:
    """Enrols somebody, and deletes them again; status (0 for none) and seconds of the enrolment."""
    fields = {"name": f"Person {next(_NUMBERS)}", "quality": "off"}
    request = form_request(running, "people", fields, "photos")
    begun = time.perf_counter()
    try:
        status, body = ask(running, request, ELSEWHERE, 40)
    except OSError:
        return 0, time.perf_counter() - begun
    seconds = time.perf_counter() - begun
    if status == 201:
        person = json.loads(body)["person"]["id"]
        gone = f"DELETE /v1/people/{person} HTTP/1.1\r\nHost: localhost\r\n{key_of(running)}\r\n"
        assert ask(running, gone.encode(), ELSEWHERE)[0] == 204
    return status, seconds


def drawn_photo(folder: Path) -> bytes:
    """Of nobody."""
    from facewise.data.synthetic import write_people

    write_people(folder / "drawn", 1, 1, 3, size=250, difficulty=0.0, workers=1)
    return next(path for path in sorted((folder / "drawn").rglob("*")) if path.is_file()).read_bytes()


def certificate(folder: Path) -> list[str]:
    """The options for a certificate of this run's own."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "attacked")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    return ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]


HEADER = (
    "| attack | health p50, p99: new connection | kept | the attacker's address | metrics | CPU "
    "| MiB before, most, after | enrolled after | others identify p50, p99: quiet; attacked "
    "| the attacker saw |\n|---|---|---|---|---|---|---|---|---|---|"
)


def line(told: Told) -> str:
    """Of the table."""
    health = " | ".join(
        f"{1000 * told.quantile(way, 0.5):.0f}, {1000 * told.quantile(way, 0.99):.0f} ms"
        f"{_lost(told.health[way])}" for way in told.health
    )  # fmt: skip
    before, most, after = told.memory
    seen = ", ".join(f"{name} {count:,}" for name, count in sorted(told.seen.items()))
    return (
        f"| {told.attack.name} | {health} | {told.cpu:.2f} | {before:.0f}, {most:.0f}, {after:.0f} | "
        f"{told.enrolled or 'no'}, {told.waited:.2f} s | {_others(told)} | {seen} |"
    )


def _others(told: Told) -> str:
    if not told.attack.keyed:
        return ""
    quiet, during = (
        f"{1000 * quantile(one, 0.5):.0f}, {1000 * quantile(one, 0.99):.0f} ms{_lost(one)}"
        for one in (told.quiet, told.identified)
    )
    return f"{quiet}; {during}"


def _lost(seconds: list[float]) -> str:
    lost = sum(second >= 10 for second in seconds)
    return f" ({lost} of {len(seconds)} lost)" if lost else ""


if __name__ == "__main__":
    main()
