"""A service on the tiny models with people in it, its keys, and every route with what it takes.

For tests that go through all routes: `ROUTES` is held against the service's own OpenAPI by a test, so that a
route that is added without its refusals being tested is noticed.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from starlette.testclient import TestClient

from facewise.serve.app import create_app
from facewise.serve.challenges import Challenges
from facewise.serve.keys import KeyStore
from facewise.serve.settings import ServiceSettings
from plain_attributes import write_plain_attributes
from tiny_models import draw


def png(image: np.ndarray) -> bytes:
    """An image file of these pixels."""
    out = BytesIO()
    PIL.Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def photo_of(person: int, *, shift: int = 0) -> bytes:
    """A photo of one drawn person; another `shift` is another photo."""
    return png(draw((120, 160), [(70 + shift, 60, 64, person)]))


@dataclass(frozen=True)
class Route:
    """One route and what it takes.

    Attributes:
        method: HTTP method.
        path: As OpenAPI has it.
        scope: What it needs; None where any key will do.
        photos: Its photo fields, and whether each holds several.
        json: Its other parameters.
    """

    method: str
    path: str
    scope: str | None
    photos: dict[str, bool] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ISSUED = "issued when it is asked"
"""Stands for a challenge, as each is answered once."""

ROUTES = (
    Route("POST", "/v1/detect", "identify", {"photo": False}),
    Route("POST", "/v1/embed", "identify", {"photo": False}),
    Route("POST", "/v1/verify", "identify", {"a": False, "b": False}, {"threshold": 0.5}),
    Route("POST", "/v1/identify", "identify", {"photo": False}, {"threshold": 0.5}),
    Route("POST", "/v1/analyze", "analyze", {"photo": False}),
    Route("POST", "/v1/cluster", "identify", {"photos": True}, {"threshold": 0.5}),
    Route("POST", "/v1/challenge", "identify"),
    Route("POST", "/v1/challenge/answer", "identify", {"frames": True}, {"challenge": ISSUED}),
    Route("GET", "/v1/models", "identify"),
    Route("GET", "/v1/report", "identify"),
    Route("GET", "/v1/people", "enrol"),
    Route("POST", "/v1/people", "enrol", {"photos": True}, {"name": "Somebody new"}),
    Route("GET", "/v1/people/{person}", "enrol"),
    Route("PATCH", "/v1/people/{person}", "enrol", {}, {"name": "Another name"}),
    Route("DELETE", "/v1/people/{person}", "admin"),
    Route("POST", "/v1/people/{person}/samples", "enrol", {"photos": True}),
    Route("DELETE", "/v1/people/{person}/samples/{sample}", "admin"),
    Route("GET", "/v1/people/{person}/samples/{sample}/photo", "enrol"),
    Route("POST", "/v1/people/{person}/merge", "admin", {}, {"from": 2}),
    Route("GET", "/v1/me", None),
    Route("GET", "/v1/audit", "admin"),
    Route("GET", "/v1/metrics", "admin"),
)
OPEN = {("GET", "/v1/health"), ("GET", "/v1/ready"), ("GET", "/v1/openapi.json")}
PHOTO_FIELDS = [(route, name) for route in ROUTES for name in route.photos]
SCOPES = ("identify", "enrol", "analyze", "admin")


@dataclass
class Guarded:
    """A running service in this process.

    Attributes:
        http: Asks it.
        keys: Its key store.
        settings: Of the service.
        key: A good key for each scope.
        person: A person with two samples, of whom `sample` is one.
    """

    http: TestClient
    keys: KeyStore
    settings: ServiceSettings
    key: dict[str, str]
    person: int = 0
    sample: int = 0

    def ask(self, route: Route, key: str | None, **request: Any) -> Any:
        """The answer of a route; without a request of its own, to a good one."""
        path = route.path.format(person=self.person, sample=self.sample)
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        if not request:
            request = good_request(route)
        headers |= request.pop("headers", {})
        for body in ("json", "data"):
            sent = request.get(body)
            if isinstance(sent, dict) and sent.get("challenge") == ISSUED:
                self.http.app.state.service.challenges = Challenges()  # which knows no photo of before
                issued = self.http.post("/v1/challenge", headers=headers)
                if issued.status_code == 201:
                    request[body] = sent | {"challenge": issued.json()["challenge"]}
        return self.http.request(route.method, path, headers=headers, **request)

    def state(self) -> Any:
        """Everybody with all samples, by which a test sees that nothing happened."""
        headers = {"Authorization": f"Bearer {self.key['admin']}"}
        people = self.http.get("/v1/people", headers=headers).json()
        return [self.http.get(f"/v1/people/{p['id']}", headers=headers).json() for p in people["people"]]


def good_request(route: Route) -> dict[str, Any]:
    """A request that the route does something with."""
    photo = photo_of(7 if route.path == "/v1/people" else 0, shift=9)
    if route.photos:
        return {
            "json": {name: as_json(photo, several=many) for name, many in route.photos.items()} | route.json
        }
    return {"json": route.json} if route.json else {}


def as_json(photo: bytes, *, several: bool) -> Any:
    """A photo as base64 for JSON, in a list where the field holds several."""
    text = base64.b64encode(photo).decode()
    return [text] if several else text


def start(folder: Path, detector: Path, embedder: Path, **settings: Any) -> TestClient:
    """A service that is not entered yet."""
    looks = write_plain_attributes(folder / "attributes.onnx").path
    chosen = ServiceSettings(
        gallery=str(folder / "people.db"), detector=str(detector), model=str(embedder), workers=1,
        attributes=str(looks), **settings,
    )  # fmt: skip
    return TestClient(create_app(chosen), base_url="http://127.0.0.1", raise_server_exceptions=False)


def fill(http: TestClient, settings: ServiceSettings) -> Guarded:
    """Waits until it is ready; then makes keys of every scope, and two people."""
    for _ in range(600):
        if http.get("/v1/ready").status_code == 200:
            break
        time.sleep(0.05)
    keys = KeyStore(settings.keys_path)
    key = {scope: keys.create(scope, [scope])[0] for scope in SCOPES}
    guarded = Guarded(http, keys, settings, key)
    headers = {"Authorization": f"Bearer {key['admin']}"}
    for number, name in enumerate(("Ada", "Grace")):
        files = [("photos", (f"{shift}.png", photo_of(number, shift=shift), "image/png")) for shift in (0, 3)]
        answer = http.post("/v1/people", headers=headers, data={"name": name}, files=files)
        assert answer.status_code == 201, answer.text
    people = {p["name"]: p["id"] for p in http.get("/v1/people", headers=headers).json()["people"]}
    guarded.person = people["Ada"]
    assert people == {"Ada": 1, "Grace": 2}
    detail = http.get(f"/v1/people/{guarded.person}", headers=headers).json()
    guarded.sample = detail["samples"][0]["id"]
    return guarded


def in_an_hour() -> datetime:
    """A time to expire at."""
    return datetime.now(UTC) + timedelta(hours=1)


def assert_refused(answer: Any, *codes: str) -> None:
    """Refused as a request that is wrong in itself, in the form of a problem."""
    assert answer.status_code in {400, 413, 415, 422}, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert not codes or problem["code"] in codes, problem
    assert "Traceback" not in answer.text


def assert_bad_photo(route: Route, answer: Any, *codes: str) -> None:
    """The photo is refused; of photos to group it is named as the bad one, and the others are done."""
    if route.path == "/v1/cluster":
        assert answer.status_code == 200, answer.text
        [photo] = answer.json()["photos"]
        assert photo["error"]
        assert photo["faces"] == []
    else:
        assert_refused(answer, *codes)


def other_photos(route: Route, name: str) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Good uploads for the route's other photo fields."""
    return [(field, ("b.png", photo_of(1), "image/png")) for field in route.photos if field != name]


def json_with(guarded: Guarded, route: Route, name: str, value: Any) -> Any:
    """The answer to JSON that is good but for one field."""
    body = good_request(route)["json"] | {name: value}
    return guarded.ask(route, guarded.key[route.scope or ""], json=body)


def upload_of(guarded: Guarded, route: Route, name: str, data: bytes, file: str = "a.png") -> Any:
    """The answer to an upload in one field; the others are good."""
    fields = {key: str(value) for key, value in route.json.items()}
    files = [(name, (file, data, "image/png")), *other_photos(route, name)]
    return guarded.ask(route, guarded.key[route.scope or ""], data=fields, files=files)
