"""Every route refuses whoever has no key for it, for each reason, and does nothing of what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from guarded import OPEN, ROUTES, SCOPES, Guarded, Route, fill, photo_of, start

from facewise.serve import keytext
from facewise.serve.audit import AuditLog
from facewise.serve.ratelimit import Rate
from facewise.serve.settings import ServiceSettings


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with start(folder, tiny_detector_file, tiny_embedder_file) as http:
        yield fill(http, ServiceSettings(gallery=str(folder / "people.db")))


@pytest.fixture(scope="module")
def bad(guarded: Guarded) -> dict[str, str | None]:
    """Keys that are none, by the reason they are refused for."""
    expired, info = guarded.keys.create("expired", SCOPES, expires=datetime.now(UTC) + timedelta(hours=1))
    import sqlite3

    with sqlite3.connect(guarded.keys.path) as db:
        db.execute("UPDATE keys SET expires = ? WHERE id = ?", (datetime.now(UTC).timestamp() - 1, info.id))
    revoked, info = guarded.keys.create("revoked", SCOPES)
    guarded.keys.revoke(info.id)
    unknown = keytext.new_text()
    return {
        "no_key": None, "bad_key: malformed": "fw_nonsense", "bad_key: unknown": unknown,
        "bad_key: cut": guarded.key["admin"][:-1],
        "bad_key: hash": keytext.digest(guarded.key["admin"]).hex(),
        "expired_key": expired, "revoked_key": revoked,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def patient(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests come from one address with hundreds of bad keys, which is counted in a test of its own."""
    from facewise.serve.ratelimit import RateLimiter

    gate = guarded.http.app.state.service.gate  # type: ignore[attr-defined]
    monkeypatch.setattr(gate, "_failures", RateLimiter())


REASONS = (
    "no_key", "bad_key: malformed", "bad_key: unknown", "bad_key: cut", "bad_key: hash", "expired_key",
    "revoked_key",
)  # fmt: skip


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")
    assert "\n" not in problem["detail"]


def test_the_routes_tested_here_are_all_there_are(guarded: Guarded) -> None:
    paths = guarded.http.get("/v1/openapi.json").json()["paths"]
    import re

    told = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in paths.items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete", "head", "options"}
    }
    known = {(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES}
    assert told - OPEN == known
    for route in guarded.http.app.routes:  # and OpenAPI hides none
        path = getattr(route, "path", "")
        for method in getattr(route, "methods", None) or ():
            if path.startswith("/v1") and method not in {"HEAD", "OPTIONS"}:
                assert (method, re.sub(r"\{[\w:]+\}", "{}", path)) in known | OPEN, path


@pytest.mark.parametrize("route", ROUTES, ids=str)
@pytest.mark.parametrize("reason", REASONS)
def test_without_a_good_key_no_route_answers(
    guarded: Guarded, bad: dict[str, str | None], route: Route, reason: str
) -> None:
    answer = guarded.ask(route, bad[reason])
    assert_problem(answer, 401, reason.partition(":")[0])
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope], ids=str)
@pytest.mark.parametrize("scope", ["identify", "enrol", "analyze"])
def test_a_key_of_another_scope_is_refused(guarded: Guarded, route: Route, scope: str) -> None:
    if scope == route.scope:
        return
    answer = guarded.ask(route, guarded.key[scope])
    assert_problem(answer, 403, "wrong_scope")
    assert str(route.scope) in answer.json()["detail"]


def test_nothing_happened(guarded: Guarded) -> None:
    """After every refusal above: everybody is there, as they were."""
    state = guarded.state()
    assert [(person["name"], len(person["samples"])) for person in state] == [("Ada", 2), ("Grace", 2)]


@pytest.mark.parametrize("path", ["/v1/health", "/v1/ready", "/v1/openapi.json", "/"])
def test_what_is_open_needs_no_key_and_tells_nothing_of_anybody(guarded: Guarded, path: str) -> None:
    answer = guarded.http.get(path)
    assert answer.status_code == 200
    assert "Grace" not in answer.text
    assert str(guarded.keys.path.parent) not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic {key}"},
        {"Authorization": "{key}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer {key} {key}"},
        {"Authorization": "Bearer {key}x"},
        {"Authorization": "Token {key}"},
        {"X-API-Key": ""},
        {"Cookie": "key={key}; Authorization=Bearer {key}"},
        {"X-Forwarded-Authorization": "Bearer {key}"},
        {"X-Original-URL": "/v1/health"},
    ],
    ids=str,
)
def test_a_key_counts_in_its_two_headers_only(guarded: Guarded, headers: dict[str, str]) -> None:
    filled = {name: text.format(key=guarded.key["admin"]) for name, text in headers.items()}
    answer = guarded.http.get("/v1/people", headers=filled)
    assert answer.status_code == 401, answer.text


def test_a_key_in_the_address_is_not_read(guarded: Guarded) -> None:
    for name in ("key", "api_key", "token", "access_token", "X-API-Key"):
        answer = guarded.http.get("/v1/people", params={name: guarded.key["admin"]})
        assert answer.status_code == 401, name


def test_both_headers_open_the_door(guarded: Guarded) -> None:
    key = guarded.key["identify"]
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer {key}"},
    ):
        assert guarded.http.get("/v1/me", headers=headers).json()["name"] == "identify"


@pytest.mark.parametrize(
    "path", ["/v1/people/", "/v1//people", "/V1/people", "/v1/./people", "/v1/%70eople", "//v1/people"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"])
def test_no_spelling_of_a_path_goes_round_the_gate(guarded: Guarded, path: str, method: str) -> None:
    answer = guarded.http.request(method, path, follow_redirects=False)
    assert answer.status_code in {401, 404, 405}, (answer.status_code, answer.text)
    assert "Ada" not in answer.text


def test_a_key_revoked_while_the_service_runs_is_refused_at_once(guarded: Guarded) -> None:
    from facewise.serve.keys import KeyStore

    text, info = guarded.keys.create("short", ["identify"])
    headers = {"Authorization": f"Bearer {text}"}
    assert guarded.http.get("/v1/me", headers=headers).status_code == 200
    KeyStore(guarded.keys.path).revoke(info.id)  # as another process does
    assert_problem(guarded.http.get("/v1/me", headers=headers), 401, "revoked_key")


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_key_is_held_to_its_rate_on_every_route(guarded: Guarded, route: Route) -> None:
    text, info = guarded.keys.create("slow", [route.scope or "identify"], rate=Rate(1, 3600))
    first = guarded.http.get("/v1/me", headers={"X-API-Key": text})
    assert first.status_code == 200
    answer = guarded.ask(route, text)
    assert_problem(answer, 429, "too_fast")
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    guarded.keys.revoke(info.id)


def test_bad_keys_from_one_address_are_soon_refused_without_a_look(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facewise.serve.ratelimit import RateLimiter

    gate = guarded.http.app.state.service.gate  # type: ignore[attr-defined]
    monkeypatch.setattr(gate, "_failures", RateLimiter(Rate(3, 60)))
    codes = [
        guarded.http.get("/v1/me", headers={"X-API-Key": keytext.new_text()}).status_code for _ in range(6)
    ]
    assert codes == [401, 401, 401, 429, 429, 429]
    good = guarded.http.get("/v1/me", headers={"X-API-Key": guarded.key["identify"]})
    assert good.status_code == 200  # the neighbour is not locked out


def test_refusals_are_in_the_audit_log_and_no_secret_is(guarded: Guarded) -> None:
    guarded.http.delete("/v1/people/1")
    guarded.http.delete("/v1/people/1", headers={"X-API-Key": guarded.key["enrol"]})
    log = guarded.settings.audit_path
    newest = AuditLog(log).newest(2)
    assert [(entry["outcome"], entry["code"]) for entry in newest] == [
        ("refused", "wrong_scope"), ("refused", "no_key"),
    ]  # fmt: skip
    text = log.read_text()
    assert all(secret not in text for secret in (*guarded.key.values(), "Ada", "Grace", "testclient"))


def test_what_was_done_is_in_the_audit_log_by_number(guarded: Guarded) -> None:
    admin = {"X-API-Key": guarded.key["admin"]}
    files = {"photos": ("x.png", photo_of(5), "image/png")}
    made = guarded.http.post("/v1/people", headers=admin, data={"name": "Hedy"}, files=files).json()
    person = made["person"]["id"]
    photo = {"photo": ("x.png", photo_of(5), "image/png")}
    found = guarded.http.post("/v1/identify", headers=admin, data={"threshold": "0.9"}, files=photo).json()
    assert found["faces"][0]["person"] == person
    assert guarded.http.delete(f"/v1/people/{person}", headers=admin).status_code == 204
    entries = guarded.http.get("/v1/audit", headers=admin, params={"limit": 10}).json()["entries"]
    done = [entry for entry in entries if entry["outcome"] == "ok" and entry.get("people") == [person]]
    assert len(done) == 3, entries
    admins = {info.id for info in guarded.keys.list() if info.name == "admin"}
    assert {entry["key"] for entry in done} == admins
    assert "Hedy" not in guarded.settings.audit_path.read_text()


def test_the_least_key_that_should_do_gets_through_every_route(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path
) -> None:
    """So that the refusals above are for the key's sake, and for nothing else wrong with the requests."""
    settings = ServiceSettings(gallery=str(tmp_path / "people.db"))
    with start(tmp_path, tiny_detector_file, tiny_embedder_file, keep="face") as http:
        fresh = fill(http, settings)
        last = {"DELETE": 2, "PATCH": 1}
        for route in sorted(ROUTES, key=lambda route: (last.get(route.method, 0), -len(route.path))):
            answer = fresh.ask(route, fresh.key[route.scope or "identify"])
            allowed = {404} if route.path == "/v1/report" else {200, 201, 204}
            assert answer.status_code in allowed, (str(route), answer.text)


def test_without_authentication_a_service_listens_to_this_machine_only() -> None:
    from facewise.errors import SettingError

    with pytest.raises(SettingError, match="this machine only"):
        ServiceSettings(auth=False, host="0.0.0.0")
    ServiceSettings(auth=False, host="127.0.0.1")
