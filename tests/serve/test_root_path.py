"""Behind a proxy, under a path: the API, its document, the page in a browser, and the client."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from page_tools import section
from starlette.testclient import TestClient

from facewise.client import Client
from facewise.errors import SettingError
from facewise.serve.settings import ServiceSettings

pytest_plugins = ["page_fixtures"]

ROOT = "/faces.example/one"


@pytest.fixture
def behind(make_app):
    """`behind(strips)`: a client of a proxy under `ROOT`, which takes that path away or does not."""

    def make(strips: bool) -> TestClient:
        app = make_app(root_path=ROOT)

        async def proxy(scope, receive, send):
            if scope["type"] == "http":
                assert scope["path"].startswith(f"{ROOT}/")
                if strips:
                    path = scope["path"].removeprefix(ROOT)
                    scope = {**scope, "path": path, "raw_path": path.encode()}
            await app(scope, receive, send)

        return TestClient(proxy, base_url="http://127.0.0.1")

    return make


@pytest.mark.parametrize("strips", [True, False], ids=["strips the path", "leaves the path"])
def test_all_there_is_works_through_a_proxy(behind, photo_bytes, strips):
    client = behind(strips)
    page = client.get(f"{ROOT}/")
    assert page.status_code == 200
    linked = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(linked) >= 6
    for address in linked:
        assert address.startswith(f"{ROOT}/assets/")
        assert client.get(address).status_code == 200
    assert client.get(f"{ROOT}/v1/health").json() == {"status": "ok"}
    document = client.get(f"{ROOT}/v1/openapi.json").json()
    assert document["servers"] == [{"url": ROOT}]
    files = {"photo": ("a.png", photo_bytes(1))}
    assert len(client.post(f"{ROOT}/v1/detect", files=files).json()["faces"]) == 1
    made = client.post(f"{ROOT}/v1/people", data={"name": "Ada"}, files={"photos": ("a.png", photo_bytes(1))})
    assert made.status_code == 201
    assert client.get(f"{ROOT}/v1/people").json()["total"] == 1
    assert client.get(f"{ROOT}/v1/nothing").status_code == 404


def test_without_a_slash_it_is_the_page_too(make_client):
    assert "Facewise" in make_client(root_path=ROOT).get(ROOT).text


def test_only_a_whole_word_is_the_path(make_client):
    client = make_client(root_path="/faces")
    assert client.get("/facesv1/health").status_code == 404
    assert client.get("/faces/faces/v1/health").status_code == 404


def test_a_service_of_its_own_says_nothing_of_a_path(client):
    assert "servers" not in client.get("/v1/openapi.json").json()
    assert 'src="/assets/' in client.get("/").text


@pytest.mark.parametrize(
    "path", ["faces", "/", "/faces/", "//faces", "/a b", "/a/../b", "/a?b", "/v1", "/assets/x"]
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(SettingError, match="root path"):
        ServiceSettings(root_path=path)


@pytest.fixture(scope="module")
def service(start_service):
    """As a browser knows it."""
    started = start_service("--root-path", ROOT)
    return replace(started, url=f"{started.url}{ROOT}")


def test_the_page_in_a_browser(open_page, service):
    page = open_page("admin")
    section(page, "People")
    page.get_by_text(re.compile("nobody|Nobody|no people", re.IGNORECASE)).first.wait_for()
    assert page.evaluate(f"sessionStorage.getItem('facewise-key{ROOT}')") == service.keys["admin"]
    assert page.evaluate("sessionStorage.getItem('facewise-key')") is None


def test_the_client(service, photo_bytes):
    with Client(f"{service.url}/", service.keys["admin"]) as client:
        assert client.people().total == 0
        assert client.detect(photo_bytes()).faces == ()
