"""Photos come as bytes and as nothing else: no path, no URL, no bomb, in no field of no route."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from guarded import (
    PHOTO_FIELDS,
    Guarded,
    Route,
    as_json,
    assert_bad_photo,
    assert_refused,
    fill,
    json_with,
    other_photos,
    photo_of,
    start,
    upload_of,
)

from facewise.serve.settings import ServiceSettings

FIELDS = [pytest.param(route, name, id=f"{route} {name}") for route, name in PHOTO_FIELDS]


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("photos")
    with start(folder, tiny_detector_file, tiny_embedder_file) as http:
        yield fill(http, ServiceSettings(gallery=str(folder / "people.db")))


class Trap:
    """A web server that a service which opens URLs would call."""

    def __init__(self) -> None:
        self.calls = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture(scope="module")
def texts(trap: Trap, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What names a photo without being one; each would work if it were opened."""
    file = tmp_path_factory.mktemp("bait") / "bait.png"
    file.write_bytes(photo_of(0))
    data = "data:image/png;base64," + base64.b64encode(photo_of(0)).decode()
    return {
        "path": str(file),
        "relative path": "../bait.png",
        "system file": "/etc/passwd",
        "home": "~/bait.png",
        "file URL": file.as_uri(),
        "FILE URL": "FILE://localhost" + str(file),
        "share": r"\\127.0.0.1\share\a.png",
        "http URL": f"http://{trap.address}/a.png",
        "HTTP URL": f"HTTP://{trap.address}/a.png",
        "https URL": f"https://{trap.address}/a.png",
        "ftp URL": f"ftp://{trap.address}/a.png",
        "gopher URL": f"gopher://{trap.address}/_x",
        "bare address": f"//{trap.address}/a.png",
        "data URL": data,
        "data URL without type": "data:;base64," + data.partition(",")[2],
        "empty": "",
        "camera": "0",
        "pipe": "|cat /etc/passwd",
        "magick": "msl:/etc/passwd",
    }


KINDS = (
    "path",
    "relative path",
    "system file",
    "home",
    "file URL",
    "FILE URL",
    "share",
    "http URL",
    "HTTP URL",
    "https URL",
    "ftp URL",
    "gopher URL",
    "bare address",
    "data URL",
    "data URL without type",
    "empty",
    "camera",
    "pipe",
    "magick",
)


def form_with_text(guarded: Guarded, route: Route, name: str, text: str) -> Any:
    fields = {key: str(value) for key, value in route.json.items()} | {name: text}
    boundary = "edge-of-the-form"
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    body = "".join(f'{head}"{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()).encode()
    for field, (file, data, _) in other_photos(route, name):
        body += f'{head}"{field}"; filename="{file}"\r\n\r\n'.encode() + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return guarded.ask(route, guarded.key[route.scope or ""], content=body, headers=kind)


@pytest.mark.parametrize(("route", "name"), FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_names_a_photo_is_refused_as_such(
    guarded: Guarded, texts: dict[str, str], trap: Trap, route: Route, name: str, kind: str
) -> None:
    text = texts[kind]
    assert_refused(form_with_text(guarded, route, name, text), "not_a_photo")
    value = [text] if route.photos[name] else text
    assert_refused(json_with(guarded, route, name, value), "not_a_photo")
    assert_bad_photo(route, upload_of(guarded, route, name, text.encode()), "bad_photo")
    assert trap.calls == 0


@pytest.mark.parametrize(("route", "name"), FIELDS)
def test_a_files_name_is_never_opened(
    guarded: Guarded, texts: dict[str, str], trap: Trap, route: Route, name: str
) -> None:
    for kind in ("path", "file URL", "http URL", "system file"):
        assert_bad_photo(route, upload_of(guarded, route, name, b"no image", file=texts[kind]), "bad_photo")
    assert trap.calls == 0


@pytest.mark.parametrize(("route", "name"), FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        True,
        {},
        {"url": "http://127.0.0.1/a.png"},
        {"path": "/etc/passwd"},
        [],
        [[]],
        [None],
        [{}],
        ["a", 5],
        "=",
        "====",
        "AAA",
        "A" * 5,
        "not base64!",
        "/9j/",
        "AAAA\nAAAA",
        " AAAA",
        "АААА",
        "\x00",
        "-_-_",
    ],
    ids=repr,
)
def test_json_of_another_kind_and_garbage_for_base64(
    guarded: Guarded, route: Route, name: str, value: Any
) -> None:
    assert_refused(json_with(guarded, route, name, value))


@pytest.mark.parametrize(("route", "name"), FIELDS)
def test_a_good_photo_does_get_through_either_way(guarded: Guarded, route: Route, name: str) -> None:
    """So that the refusals here are for the photo's sake. Names and numbers that are taken come after it."""
    if route.scope == "identify":
        assert upload_of(guarded, route, name, photo_of(0)).status_code == 200
        value = as_json(photo_of(0), several=route.photos[name])
        assert json_with(guarded, route, name, value).status_code == 200


def test_nobody_was_enrolled_by_what_was_refused(guarded: Guarded) -> None:
    assert [person["name"] for person in guarded.state()] == ["Ada", "Grace"]
    assert all(len(person["samples"]) == 2 for person in guarded.state())


@pytest.mark.parametrize(("route", "name"), FIELDS)
def test_a_path_that_happens_to_be_base64(guarded: Guarded, route: Route, name: str) -> None:
    bait = Path("/tmp/abc")  # eight letters of base64: six bytes that are no image
    value = [str(bait)] if route.photos[name] else str(bait)
    assert_bad_photo(route, json_with(guarded, route, name, value), "bad_photo")
