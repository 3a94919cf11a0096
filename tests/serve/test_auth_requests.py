"""Requests that are wrong in themselves: nested and huge JSON, foreign hosts and origins, other methods."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from guarded import ROUTES, Guarded, Route, fill, photo_of, start

from facewise.serve.settings import ServiceSettings

WITH_BODY = [pytest.param(route, id=str(route)) for route in ROUTES if route.photos or route.json]


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("requests")
    with start(folder, tiny_detector_file, tiny_embedder_file, allowed_hosts=("faces.example",)) as http:
        yield fill(http, ServiceSettings(gallery=str(folder / "people.db")))


def assert_refused(answer: Any) -> None:
    assert answer.status_code in {400, 413, 415, 422}, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


DEEP = 200_000
BODIES: dict[str, bytes] = {
    "nested lists": b"[" * DEEP + b"]" * DEEP,
    "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "nested in a field": b'{"threshold":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "nested and open": b"[" * DEEP,
    "a huge number": b'{"threshold": ' + b"9" * 100_000 + b"}",
    "a huge exponent": b'{"threshold": 1e999999999}',
    "not a number": b'{"threshold": NaN}',
    "infinity": b'{"threshold": -Infinity}',
    "a million fields": json.dumps({f"field{i}": i for i in range(100_000)}).encode(),
    "a field twice": b'{"name": "a", "name": "b"}',
    "a list": b"[1, 2, 3]",
    "a text": b'"photo"',
    "nothing": b"",
    "null": b"null",
    "half": b'{"photo": "AAAA"',
    "two": b"{}{}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "Ada"}'.encode("utf-16"),
    "half a character": b'{"name": "\\ud800"}',
    "an unknown field": b'{"nonsense": 1}',
    "a prototype": b'{"__proto__": {"scopes": ["admin"]}, "constructor": 1}',
}


@pytest.mark.parametrize("route", WITH_BODY)
@pytest.mark.parametrize("kind", BODIES)
def test_json_that_is_none_or_too_much(guarded: Guarded, route: Route, kind: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = guarded.ask(route, guarded.key[route.scope or ""], content=BODIES[kind], headers=headers)
    assert_refused(answer)


@pytest.mark.parametrize("route", WITH_BODY)
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "image/png",
        "application/jsonp",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 1000,
        "\x00",
    ],
)
def test_bodies_of_another_type(guarded: Guarded, route: Route, kind: str) -> None:
    answer = guarded.ask(
        route, guarded.key[route.scope or ""], content=photo_of(0), headers={"Content-Type": kind}
    )
    assert_refused(answer)


@pytest.mark.parametrize("route", WITH_BODY)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_packed_bombs_are_not_unpacked(guarded: Guarded, route: Route, encoding: str) -> None:
    """A megabyte of gzip can be a gigabyte of JSON."""
    packed = gzip.compress(b'{"threshold": "' + b"a" * 10_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = guarded.ask(route, guarded.key[route.scope or ""], content=packed, headers=headers)
    assert_refused(answer)
    # Where no photo is sent, a body is bounded below what even the packed one has.
    refusals = (
        {(400, "bad_encoding"), (413, "too_long")} if encoding == "gzip" else {(415, "unsupported_encoding")}
    )
    assert (answer.status_code, answer.json()["code"]) in refusals


def test_what_calls_itself_gzip_and_is_none(guarded: Guarded) -> None:
    [detect] = [route for route in ROUTES if route.path == "/v1/detect"]
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    good = gzip.compress(b"{}")
    for packed in (b"", b"{}", good[:-3], good + b"x", good * 2, b"\x1f\x8b" + bytes(30)):
        answer = guarded.ask(detect, guarded.key["identify"], content=packed, headers=headers)
        assert_refused(answer)
        assert answer.json()["code"] == "bad_encoding"


FORMS: dict[str, bytes] = {
    "nothing": b"",
    "no end": b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nabc',
    "no headers": b"--x\r\n\r\nabc\r\n--x--\r\n",
    "another boundary": b'--y\r\nContent-Disposition: form-data; name="photo"\r\n\r\nabc\r\n--y--\r\n',
    "a long header": b"--x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\nabc\r\n--x--\r\n",
    "many headers": b"--x\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(20_000)) + b"\r\nabc\r\n--x--\r\n",
    "many fields": b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\na\r\n' % i for i in range(20_000)
    )
    + b"--x--\r\n",
    "a long field": b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n'
    + b"a" * 1_000_000
    + b"\r\n--x--\r\n",
    "a form in a form": b'--x\r\nContent-Disposition: form-data; name="photo"\r\n'
    b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nabc\r\n--y--\r\n--x--\r\n",
}


@pytest.mark.parametrize("route", WITH_BODY)
@pytest.mark.parametrize("kind", FORMS)
def test_forms_that_are_none_or_too_much(guarded: Guarded, route: Route, kind: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = guarded.ask(route, guarded.key[route.scope or ""], content=FORMS[kind], headers=headers)
    assert_refused(answer)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "localhost@evil.example",
        "faces.example.evil.example",
        "evil.example:127.0.0.1",
        "xn--localhost-xyz",
        "[::1].evil.example",
        "*",
    ],
)
@pytest.mark.parametrize("path", ["/v1/me", "/", "/v1/health", "/v1/openapi.json"])
def test_a_foreign_host_is_refused(guarded: Guarded, host: str, path: str) -> None:
    """A page elsewhere can make its own name point here (DNS rebinding), and asks by that name."""
    answer = guarded.http.get(path, headers={"Host": host, "X-API-Key": guarded.key["admin"]})
    assert answer.status_code in {400, 403, 421}, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "localhost",
        "LOCALHOST:80",
        "[::1]:8000",
        "faces.example",
        "Faces.Example:443",
    ],
)
def test_its_own_names_are_not(guarded: Guarded, host: str) -> None:
    answer = guarded.http.get("/v1/me", headers={"Host": host, "X-API-Key": guarded.key["identify"]})
    assert answer.status_code == 200, answer.text


def test_a_foreign_host_in_another_header_changes_nothing(guarded: Guarded) -> None:
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded"):
        answer = guarded.http.get(
            "/v1/me",
            headers={"Host": "evil.example", name: "localhost", "X-API-Key": guarded.key["identify"]},
        )
        assert answer.status_code in {400, 403, 421}, name


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "file://"])
@pytest.mark.parametrize("path", ["/v1/people", "/v1/detect", "/v1/health", "/v1/openapi.json", "/"])
def test_no_other_origin_is_let_in(guarded: Guarded, origin: str, path: str) -> None:
    headers = {"Origin": origin, "X-API-Key": guarded.key["admin"]}
    asks = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization, x-api-key",
        "Access-Control-Request-Private-Network": "true",
    }
    for answer in (
        guarded.http.get(path, headers=headers),
        guarded.http.options(path, headers=headers | asks),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_answer_sets_a_cookie_is_kept_or_is_guessed_at(guarded: Guarded, route: Route) -> None:
    for key in (None, guarded.key["identify"], guarded.key["enrol"]):
        if route.method in {"DELETE", "PATCH"} and key is not None:
            continue
        answer = guarded.ask(route, key, **({"json": {"nonsense": 1}} if route.method == "POST" else {}))
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "number", ["0", "-1", "1.5", "9" * 30, "abc", "%00", "1%20or%201=1", "..", "%2e%2e%2fetc"]
)
def test_numbers_of_people_that_are_none(guarded: Guarded, number: str) -> None:
    headers = {"X-API-Key": guarded.key["admin"]}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/samples/1/photo"),
        ("DELETE", f"/samples/{number}"),
    ):
        answer = guarded.http.request(method, f"/v1/people/{number}{path}", headers=headers)
        assert answer.status_code in {400, 404, 405, 422}, (method, path, answer.text)
    assert len(guarded.state()) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../app.py",
        "/assets/%2e%2e/app.py",
        "/assets/..%2fapp.py",
        "/assets/..\\app.py",
        "/assets//etc/passwd",
        "/assets/%00",
        "/assets/",
        "/assets/app.js%00.png",
    ],
)
def test_the_pages_files_are_all_that_is_served(guarded: Guarded, path: str) -> None:
    answer = guarded.http.get(path, follow_redirects=False)
    assert answer.status_code in {400, 404}, (answer.status_code, answer.text[:200])


def test_errors_tell_no_path_of_the_machine(guarded: Guarded) -> None:
    headers = {"X-API-Key": guarded.key["admin"]}
    folder = str(guarded.keys.path.parent)
    for answer in (
        guarded.http.get("/v1/people/999", headers=headers),
        guarded.http.post("/v1/people", headers=headers, data={"name": "Ada"}, files={"photos": photo_of(3)}),
        guarded.http.post("/v1/detect", headers=headers, files={"photo": b"none"}),
        guarded.http.post("/v1/people/1/merge", headers=headers, json={"from": 1}),
        guarded.http.get("/v1/people/1/samples/1/photo", headers=headers),
        guarded.http.get("/v1/report", headers=headers),
        guarded.http.get("/nowhere", headers=headers),
    ):
        assert answer.status_code >= 400
        assert folder not in answer.text
        assert "/tmp" not in answer.text
