"""The audit log through the service: what cannot be recorded is not done, what was done is told as done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from guarded import ROUTES, Guarded, Route, fill, photo_of, start

from facewise.serve.audit import AuditLog
from facewise.serve.settings import ServiceSettings


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("audited")
    with start(folder, tiny_detector_file, tiny_embedder_file) as http:
        yield fill(http, ServiceSettings(gallery=str(folder / "people.db")))


class Disk:
    """The disk under the audit log, which a test fills."""

    def __init__(self, log: Path) -> None:
        self._logs = [log.with_name(log.name + ending) for ending in ("", ".changes", ".refused")]
        self._write = os.write
        self.full = False

    def __call__(self, file: int, data: bytes) -> int:
        if self.full and any(os.path.samestat(os.fstat(file), log.stat()) for log in self._logs):
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(file, data)


@pytest.fixture
def disk(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(guarded.settings.audit_path)
    monkeypatch.setattr(os, "write", disk)
    return disk


LOOKS = [route for route in ROUTES if route.scope == "identify" and route.photos]
CHANGES = [route for route in ROUTES if route.scope in {"enrol", "admin"} and route.method != "GET"]


def assert_full(answer: Any) -> None:
    assert answer.status_code == 507, answer.text
    assert answer.json()["code"] == "storage_full"
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize("route", [*LOOKS, *CHANGES], ids=str)
def test_on_a_full_disk_nothing_is_done_that_cannot_be_recorded(
    guarded: Guarded, disk: Disk, route: Route
) -> None:
    before = guarded.state()
    disk.full = True
    admin = {"X-API-Key": guarded.key["admin"]}
    # This fake fills up without the file system knowing; the first entry that does not fit tells.
    assert_full(guarded.http.post("/v1/detect", headers=admin, files={"photo": photo_of(0)}))
    assert_full(guarded.ask(route, guarded.key["admin"]))
    disk.full = False
    assert guarded.http.post("/v1/detect", headers=admin, files={"photo": photo_of(0)}).status_code == 200
    newest = AuditLog(guarded.settings.audit_path).newest(2)
    assert newest[0]["action"] == "detect"
    assert newest[1]["action"] == "audit.lost"
    assert guarded.state() == before


def test_refusals_stay_refusals_on_a_full_disk(guarded: Guarded, disk: Disk) -> None:
    disk.full = True
    assert guarded.http.get("/v1/people").status_code == 401
    assert guarded.http.delete("/v1/people/1", headers={"X-API-Key": guarded.key["enrol"]}).status_code == 403
    assert guarded.http.get("/v1/health").status_code == 200


def test_what_was_done_is_told_as_done_and_its_entry_is_kept(guarded: Guarded, disk: Disk) -> None:
    """The disk fills up between the change and its entry: 507 would say that nothing was stored."""
    admin = {"X-API-Key": guarded.key["admin"]}
    guarded.http.post("/v1/detect", headers=admin, files={"photo": photo_of(0)})  # nothing is owed any more
    disk.full = True
    files = {"photos": ("a.png", photo_of(4), "image/png")}
    made = guarded.http.post("/v1/people", headers=admin, data={"name": "Mary"}, files=files)
    assert made.status_code == 201, made.text
    assert_full(guarded.http.delete(f"/v1/people/{made.json()['person']['id']}", headers=admin))
    disk.full = False
    gone = guarded.http.delete(f"/v1/people/{made.json()['person']['id']}", headers=admin)
    assert gone.status_code == 204
    entries = guarded.http.get("/v1/audit", headers=admin, params={"limit": 3}).json()["entries"]
    assert [entry["action"] for entry in entries][:2] == ["person.delete", "person.enrol"]
    assert entries[0]["people"] == entries[1]["people"] == [made.json()["person"]["id"]]
