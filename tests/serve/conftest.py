"""A running service: `client` asks an application in this process, `server` is a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from abuse_tools import free_port, stop

HOST = "http://127.0.0.1"


@pytest.fixture(scope="session")
def photo_bytes(drawn_photo) -> Callable[..., bytes]:
    """`photo_bytes(person, …)`: a PNG with one drawn face a person, 0 to 7; none gives an empty scene."""

    def make(*people: int, shift: int = 0, size: tuple[int, int] = (240, 320)) -> bytes:
        faces = [(80 + 110 * i + shift, 110 + shift, 90, person) for i, person in enumerate(people)]
        return png(drawn_photo(faces, size=size))

    return make


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture
def make_app(tmp_path: Path, tiny_pipeline) -> Iterator[Callable[..., object]]:
    """`make_app(**settings)`: an application of the tiny models on a gallery of its own."""
    from facewise.gallery import Gallery
    from facewise.serve.app import create_app
    from facewise.serve.settings import ServiceSettings

    opened = []

    def make(**given: object):
        number = len(opened)
        gallery = Gallery.open(tmp_path / f"people{number}.db", pipeline=tiny_pipeline)
        settings = ServiceSettings(
            **{"gallery": str(tmp_path / f"people{number}.db"), "auth": False, "workers": 2, **given}
        )
        app = create_app(settings, gallery=gallery)
        opened.append((app.state.service, gallery))
        return app

    yield make
    for service, gallery in opened:
        service.close()
        gallery.close()


@pytest.fixture
def make_client(make_app) -> Iterator[Callable[..., object]]:
    """`make_client(**settings)`: a client of such an application."""
    from starlette.testclient import TestClient

    def make(**given: object):
        return TestClient(make_app(**given), base_url=HOST, raise_server_exceptions=False)

    return make


@pytest.fixture
def client(make_client):
    """A client of an application without keys."""
    return make_client()


@pytest.fixture
def start_server(tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path):
    """`start_server(*options, gallery=…)`: `facewise serve` as a process; ended with the test."""
    import httpx

    running: list[subprocess.Popen[str]] = []

    def start(
        *options: str,
        gallery: Path | str | None = None,
        threads: int = 1,
        auth: bool = False,
        wait: bool = True,
    ):
        port = free_port()
        log = tmp_path / f"server-{port}.log"
        command = [
            sys.executable, "-m", "facewise", "serve", "--gallery", str(gallery or tmp_path / "people.db"),
            "--port", str(port), "--detector", str(tiny_detector_file), "--model", str(tiny_embedder_file),
            "--threads", str(threads), "--timeout", "600", *([] if auth else ["--no-auth"]), *options,
        ]  # fmt: skip
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file, text=True, env={**os.environ})
        running.append(process)
        base = f"{HOST}:{port}"
        server = SimpleNamespace(process=process, url=base, port=port, log=log)
        end = time.monotonic() + 120
        while wait and time.monotonic() < end:
            if process.poll() is not None:
                raise AssertionError(f"the server ended: {log.read_text()}")
            try:
                if httpx.get(f"{base}/v1/ready", timeout=2).status_code == 200:
                    return server
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        if wait:
            raise AssertionError(f"the server is not ready: {log.read_text()}")
        return server

    yield start
    for process in running:
        if process.poll() is None:
            stop(process)


@pytest.fixture
def server(start_server):
    """A server without keys: `.url`, `.port`, `.process`, `.log`."""
    return start_server()
