"""A service as a process that outlives one test."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
from abuse_tools import free_port, stop


@contextmanager
def started(folder: Path, detector: Path, embedder: Path, *options: str) -> Iterator[SimpleNamespace]:
    """`facewise serve` without keys: `.url`, `.port`, `.process`, `.log`; stopped at the end."""
    port = free_port()
    log = folder / "server.log"
    command = [
        sys.executable, "-m", "facewise", "serve", "--no-auth", "--threads", "2", "--port", str(port),
        "--gallery", str(folder / "people.db"), "--detector", str(detector), "--model", str(embedder),
        "--timeout", "600", *options,
    ]  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    server = SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, process=process, log=log)
    try:
        _wait(server)
        yield server
    finally:
        stop(process)


def _wait(server: SimpleNamespace) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}/v1/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the service is not ready: {server.log.read_text()}")
