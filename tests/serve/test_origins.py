"""Pages of other sites: what a browser says of a request decides, with keys and without."""

from __future__ import annotations

import pytest
from guarded import OPEN, ROUTES, Route, good_request

HOST = "127.0.0.1:8000"

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "file://"},
    {"Origin": ""},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "something new"},
    {"Sec-Fetch-Site": ""},
]
OWN = [
    {},
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {
        "Sec-Fetch-Site": "same-origin",
        "Origin": "https://faces.example",
    },  # behind a proxy that tells its own name
]


@pytest.fixture
def ask(client, photo_bytes):
    made = client.post("/v1/people", data={"name": "Ada"}, files={"photos": ("a.png", photo_bytes(1))})
    assert made.status_code == 201

    def one(route: Route, headers: dict[str, str]):
        path = route.path.format(person=1, sample=1)
        return client.request(route.method, path, headers={"Host": HOST, **headers}, **good_request(route))

    return one


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_sites_page_reads_and_changes_nothing(ask, client, headers):
    for route in ROUTES:
        answer = ask(route, headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_page"), route
    assert [one["name"] for one in client.get("/v1/people").json()["people"]] == ["Ada"]
    assert client.get("/v1/people/1").json()["samples"][1:] == []


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_its_own_page_and_programs_do(ask, headers):
    for route in ROUTES:
        if route.method != "DELETE" and route.path not in {"/v1/report", "/v1/people/{person}/merge"}:
            assert b"foreign_page" not in ask(route, headers).content, route


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://faces.example", "faces.example"),
        ("https://Faces.example", "faces.EXAMPLE:443"),
        ("http://faces.example", "faces.example:80"),
        ("https://faces.example:8443", "faces.example:8443"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_the_same_place_written_in_another_way_is_its_own(make_client, origin, host):
    client = make_client(allowed_hosts=("faces.example",))
    assert client.get("/v1/people", headers={"Origin": origin, "Host": host}).status_code == 200


def test_with_keys_it_is_refused_before_the_key_is_looked_at(make_client):
    client = make_client(auth=True)
    key, _ = client.app.state.service.keys.create("somebody", ["admin"])
    headers = {"X-API-Key": key, "Host": HOST}
    assert client.get("/v1/people", headers=headers).status_code == 200
    for foreign in FOREIGN:
        assert client.get("/v1/people", headers=headers | foreign).status_code == 403


def test_what_says_nothing_may_be_asked_from_anywhere(client):
    """A link to the page works; a health check in a frame does no harm."""
    for path in ("/", "/v1/health", "/v1/ready"):
        assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert {("GET", "/v1/health"), ("GET", "/v1/ready")} <= OPEN
