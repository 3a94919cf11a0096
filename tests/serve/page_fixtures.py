"""A browser on the real service's page: `facewise serve` as a process, with the bundled models, and Chromium.

Whatever a test does, the page must ask no other host, and write nothing to the console but the lines that the
browser itself writes when a request is refused, where the test says that one is.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from page_tools import CLEO, EDEN, Seen, Service, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def drawn_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a person, three photos each, of nobody real."""
    from facewise.data.synthetic import write_people

    folder = tmp_path_factory.mktemp("drawn") / "people"
    write_people(folder, 6, 3, 3, size=250, difficulty=0.0, workers=1)
    return folder


@pytest.fixture(scope="session")
def photos_of(drawn_people: Path) -> Callable[[str], list[Path]]:
    """`photos_of(name)`: that person's photos."""
    return lambda name: sorted(path for path in (drawn_people / name).iterdir())


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, photos_of) -> Path:
    """One photo with Eden at the left and Cleo at the right."""
    path = tmp_path_factory.mktemp("both") / "both.png"
    cv2.imwrite(str(path), np.hstack([cv2.imread(str(photos_of(name)[2])) for name in (EDEN, CLEO)]))
    return path


@pytest.fixture(scope="module")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """`start_service(*options)`: `facewise serve` with three keys, ready; of one module's tests."""
    pytest.importorskip("uvicorn", reason="the page's tests need facewise[serve]")
    running: list[Service] = []

    def start(*options: str) -> Service:
        service = _started(tmp_path_factory.mktemp("service"), options)
        running.append(service)
        return service

    yield start
    for service in running:
        service.stop()


def _knows_no_quality(folder: Path) -> str:
    """The bundled embedder for drawn people, who are no photos to a calibration that knows of quality."""
    from facewise.models import find_model, write_model

    model = find_model("facewise-embed-s", kind="embedder")
    calibration = model.card.calibration
    assert calibration is not None
    card = replace(model.card, calibration=replace(calibration, quality=None))
    return str(write_model(folder / "drawn.onnx", model.network, card).path)


def _started(folder: Path, options: tuple[str, ...]) -> Service:
    import httpx

    from facewise.serve.keys import KeyStore

    scopes = {"admin": ["admin"], "clerk": ["identify", "enrol"], "reader": ["identify"]}
    store = KeyStore(folder / "people.db.keys")
    keys = {name: store.create(name, wanted)[0] for name, wanted in scopes.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-m", "facewise", "serve", "--gallery", str(folder / "people.db"),
               "--model", _knows_no_quality(folder), "--port", str(port), "--threads", "1",
               "--timeout", "600", "--keep", "face", *options]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ})
    service = Service(f"http://127.0.0.1:{port}", keys, process, folder)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{service.url}/v1/ready", timeout=2).status_code == 200:
                return service
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the service is not ready: {log.read_text()}")


@pytest.fixture(scope="module")
def service(start_service) -> Service:
    return start_service()


@contextmanager
def launched(*arguments: str) -> Iterator[Browser]:
    """Chromium, where there is one; else the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests: install playwright")
    if CHROMIUM is None:
        pytest.skip("browser tests: no chromium here; install one (apt install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *arguments]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, photos_of) -> Iterator[Browser]:
    """Chromium, whose camera shows Eden. Of one module: Playwright's event loop would be in others' way."""
    film = tmp_path_factory.mktemp("camera") / "eden.y4m"
    _write_film(film, photos_of(EDEN)[1])
    arguments = [
        "--disable-background-networking", "--disable-component-update",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]  # fmt: skip
    with launched(*arguments) as browser:
        yield browser


def _write_film(path: Path, photo: Path) -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)
    picture[60:420, 140:500] = cv2.resize(cv2.imread(str(photo)), (360, 360))
    frame = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + frame) * 10)


@pytest.fixture
def open_page(chromium: Browser, service: Service) -> Iterator[Callable[..., Page]]:
    """`open_page(key="admin", width=1280, scheme="light")`: the page, signed in unless key is None.

    `page.seen` holds its console and the hosts it asked; both are checked when the test is over.
    """
    opened: list[tuple[Page, str]] = []

    def make(key: str | None = "admin", *, width: int = 1280, scheme: str = "light", at: str | None = None,
             allowed: tuple[str, ...] = (), **context: object) -> Page:  # fmt: skip
        url = at or service.url
        size = {"width": width, "height": 860}
        page = chromium.new_context(viewport=size, color_scheme=scheme, **context).new_page()
        page.context.grant_permissions(["camera"], origin=url)
        page.set_default_timeout(120_000)
        seen = page.seen = Seen(allowed=list(allowed))  # type: ignore[attr-defined]
        page.on("console", lambda message: seen.console.append(message.text))
        page.on("pageerror", lambda error: seen.console.append(str(error)))
        page.on("request", lambda request: _note(seen, request.url))
        opened.append((page, url))
        page.goto(url)
        if key is not None:
            sign_in(page, service.keys[key])
        return page

    yield make
    for page, url in opened:
        page.context.close()
        page.seen.check(url)  # type: ignore[attr-defined]
    service_alive = service.process.poll() is None
    if service_alive:
        service.clear()


def _note(seen: Seen, address: str) -> None:
    if not address.startswith(("blob:", "data:", "about:")):
        seen.hosts.add("/".join(address.split("/")[:3]))
