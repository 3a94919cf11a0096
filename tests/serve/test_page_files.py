"""The page's files over HTTP: headers, addresses that change with the content, and no way to other files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page's tests need facewise[serve]")

from fastapi import FastAPI
from starlette.testclient import TestClient

import facewise.serve
from facewise.serve.page import assets, page_router

MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser")
WEB = Path(facewise.serve.__file__).parent / "web"
FILES = sorted(str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def page():
    app = FastAPI()
    app.include_router(page_router(max_photos=7, max_bytes=123, report=False))
    return TestClient(app)


def policy(answer):
    parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
    return {name: set(values) for name, *values in parts}


def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(page):
    answer = page.get("/")
    rules = policy(answer)
    assert rules["default-src"] == {"'none'"}
    for name in ("script-src", "style-src", "connect-src"):
        assert rules[name] == {"'self'"}
    assert rules["frame-ancestors"] == rules["base-uri"] == {"'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "camera=(self)" in answer.headers["permissions-policy"]
    assert "set-cookie" not in answer.headers


def test_the_page_is_checked_again_each_time_and_its_files_are_kept(page):
    first = page.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = page.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    linked = re.findall(r'(?:src|href)="(/assets/[^"]+)"', first.text)
    assert len(linked) >= 6
    for address in linked:
        answer = page.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert page.head("/").status_code == page.head(linked[0]).status_code == 200


def test_what_the_service_told_is_in_the_page(page):
    text = page.get("/").text
    told = dict(re.findall(r'<meta name="facewise-([\w-]+)" content="([^"]*)">', text))
    assert told == {
        "auth": "key",
        "max-photos": "7",
        "max-bytes": "123",
        "max-body": "67108864",
        "report": "no",
        "attributes": "no",
    }
    assert "{{" not in text


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_every_file_is_served_as_what_it_is(page, name):
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    answer = page.get(f"/assets/{assets().digest}/{name}")
    assert answer.status_code == 200
    assert answer.content == (WEB / name).read_bytes()
    assert answer.headers["content-type"].startswith(kind[name.rpartition(".")[2]])
    assert policy(answer)["default-src"] == {"'none'"}


def test_the_reports_frame_has_no_origin_and_no_network(page):
    rules = policy(page.get(f"/assets/{assets().digest}/report.html"))
    assert rules["sandbox"] == {"allow-scripts"}
    assert "connect-src" not in rules
    assert rules["frame-ancestors"] == {"'self'"}


@pytest.mark.parametrize(
    "path",
    [
        "0000000000000000/js/main.js", "{digest}/index.html", "{digest}/../page.py",
        "{digest}/%2e%2e/page.py", "{digest}/js/../../page.py", "{digest}/..%2fpage.py",
        "{digest}//etc/passwd", "{digest}/js", "{digest}/", "{digest}/js/none.js", "{digest}/js%00/main.js",
    ],
)  # fmt: skip
def test_other_addresses_are_no_files(page, path):
    answer = page.get(f"/assets/{path.format(digest=assets().digest)}")
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_nothing_of_the_page_names_another_host_or_is_inline():
    for name in FILES:
        text = (WEB / name).read_text()
        hosts = set(re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", text)) - {"www.w3.org"}
        assert not hosts, name
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), name
        if name.endswith(".js") and name != "js/report-frame.js":
            assert not MARKUP.search(text), name


def test_every_import_of_the_page_is_a_file_of_it():
    for name in FILES:
        if name.endswith(".js"):
            for target in re.findall(r'from "(\.[^"]+)"', (WEB / name).read_text()):
                assert ((WEB / name).parent / target).resolve().is_file(), (name, target)
