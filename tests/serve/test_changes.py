"""A change and its entry are one: each has exactly one, whatever becomes of the request, process or disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

pytest.importorskip("fastapi")

from abuse_tools import assert_one_entry_each, unique_photo
from starlette.testclient import TestClient

from facewise.errors import StorageFullError
from facewise.gallery import Gallery
from facewise.gallery.rekey import rekey
from facewise.serve.app import create_app
from facewise.serve.audit import CHANGES, AuditLog, look_through
from facewise.serve.people import People
from facewise.serve.settings import Limits, ServiceSettings
from facewise.vault import new_key_file

HOST = "http://127.0.0.1"


def enrol(client, name: str, number: int = 1):
    files = [("photos", ("a.png", unique_photo(number), "image/png"))]
    return client.post("/v1/people", data={"name": name, "quality": "off"}, files=files)


def entries(settings: ServiceSettings) -> list[tuple[str, str, list[int], int | None]]:
    """Changes, in order: what, how it ended, who, how many samples."""
    found = AuditLog(settings.audit_path).newest(10_000)
    return [
        (e["action"], e.get("code", "ok"), e.get("people", []), e.get("samples"))
        for e in reversed(found)
        if e["action"] in CHANGES
    ]


@pytest.fixture
def made(tmp_path, tiny_pipeline):
    """`made(**limits)`: a service on one gallery, again and again as if it had been killed before."""
    opened = []

    def make(**limits: float) -> SimpleNamespace:
        gallery = Gallery.open(tmp_path / "people.db", pipeline=tiny_pipeline)
        settings = ServiceSettings(
            gallery=str(tmp_path / "people.db"), auth=False, workers=1, limits=Limits(**limits)
        )
        app = create_app(settings, gallery=gallery)
        opened.append((app.state.service, gallery))
        client = TestClient(app, base_url=HOST, raise_server_exceptions=False)
        return SimpleNamespace(client=client, service=app.state.service, settings=settings, gallery=gallery)

    yield make
    for service, gallery in opened:
        with suppress(Exception):
            service.close()
            gallery.close()


def waiting(real, state):
    def wait(self, *args):
        state.begun.set()
        assert state.go.wait(60)
        return real(self, *args)

    return wait


@pytest.fixture
def held(monkeypatch):
    """Changes of people wait until they are let go on; `.begun` says when one does."""
    state = SimpleNamespace(begun=threading.Event(), go=threading.Event())
    for name in ("enrol", "remove", "merge", "change", "add", "remove_sample"):
        monkeypatch.setattr(People, name, waiting(getattr(People, name), state))
    yield state
    state.go.set()


def settled(one: SimpleNamespace) -> None:
    """Waits until threads have no work."""
    one.service.begin(lambda: None).result(60)
    one.service._io.shutdown(wait=True)


def test_a_change_that_outlives_its_request_has_one_entry_that_says_done(made, held):
    one = made(request_seconds=0.2)
    answer = enrol(one.client, "Ada")
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert held.begun.is_set()
    assert entries(one.settings) == []  # nobody knows yet
    held.go.set()
    settled(one)
    person = one.gallery.show("Ada")
    assert entries(one.settings) == [("person.enrol", "ok", [person.id], 1)]


def test_one_that_fails_after_its_request_is_one_failure(made, held):
    one = made(request_seconds=0.2)
    assert one.client.delete("/v1/people/77").status_code == 504
    held.go.set()
    settled(one)
    assert entries(one.settings) == [("person.delete", "not_found", [], None)]


def test_what_never_began_is_a_failure_and_is_not_done(made):
    one = made(request_seconds=0.3)
    assert enrol(one.client, "Ada").status_code == 201
    person = one.gallery.show("Ada").id
    go = threading.Event()
    real = one.service.ready_to_change

    def ready() -> None:
        real()
        for _ in range(8):  # others have all threads
            one.service.begin(lambda: go.wait(60))

    one.service.ready_to_change = ready
    assert one.client.delete(f"/v1/people/{person}").status_code == 504
    go.set()
    settled(one)
    assert one.gallery.show("Ada").id == person
    assert entries(one.settings)[1:] == [("person.delete", "timeout", [], None)]


def test_each_kind_tells_who_and_how_much(made):
    one = made()
    ada, bela = (enrol(one.client, name, i).json()["person"]["id"] for i, name in ((1, "Ada"), (25, "Bela")))
    files = [("photos", (f"{i}.png", unique_photo(i), "image/png")) for i in (41, 42)]
    added = one.client.post(f"/v1/people/{bela}/samples", data={"quality": "off"}, files=files)
    assert added.status_code == 201, added.text
    again = one.client.post(f"/v1/people/{bela}/samples", data={"quality": "off"}, files=files)
    assert again.status_code == 201
    one.client.patch(f"/v1/people/{ada}", json={"name": "Ada L."})
    one.client.patch(f"/v1/people/{ada}", json={"name": "Ada L.", "groups": ["staff"]})
    one.client.patch(f"/v1/people/{ada}", json={"name": "Ada L."})
    sample = one.gallery.person(bela).samples[0].id
    assert one.client.delete(f"/v1/people/{bela}/samples/{sample}").status_code == 204
    assert one.client.post(f"/v1/people/{ada}/merge", json={"from": bela}).status_code == 200
    assert one.client.delete(f"/v1/people/{ada}").status_code == 204
    assert enrol(one.client, "", 3).status_code == 422
    assert entries(one.settings) == [
        ("person.enrol", "ok", [ada], 1), ("person.enrol", "ok", [bela], 1), ("samples.add", "ok", [bela], 2),
        ("samples.add", "ok", [bela], 0), *[("person.change", "ok", [ada], None)] * 3,
        ("sample.delete", "ok", [bela], 1), ("person.merge", "ok", [ada, bela], 2),
        ("person.delete", "ok", [ada], 3),
    ]  # fmt: skip


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before its entry", "after its entry"])
def test_a_process_that_ends_between_change_and_entry_loses_and_doubles_none(made, moment, monkeypatch):
    one = made()
    assert enrol(one.client, "Ada").status_code == 201
    real = AuditLog.adopt

    def killed(self, notes):
        if moment == "after its entry":
            real(self, notes)
        raise Killed

    monkeypatch.setattr(AuditLog, "adopt", killed)
    with suppress(Killed):
        enrol(one.client, "Bela", 25)
    monkeypatch.undo()
    two = made()
    people = [two.gallery.show(name).id for name in ("Ada", "Bela")]
    assert entries(two.settings) == [("person.enrol", "ok", [person], 1) for person in people]
    three = made()
    assert len(entries(three.settings)) == 2
    assert [one.wrong for one in look_through(three.settings.audit_path).values()] == [[], [], []]


def test_an_entry_that_finds_no_room_waits_for_it(made, monkeypatch):
    one = made()
    real = AuditLog.write

    def full(self, lines, **how):
        raise StorageFullError("The disk is full.")

    monkeypatch.setattr(AuditLog, "write", full)
    assert enrol(one.client, "Ada").status_code == 201
    assert one.client.delete("/v1/people/1").status_code == 507  # nothing more until it is on record
    monkeypatch.setattr(AuditLog, "write", real)
    assert enrol(one.client, "Bela", 25).status_code == 201
    assert [entry[:2] for entry in entries(one.settings)] == [("person.enrol", "ok")] * 2
    with closing(sqlite3.connect(one.settings.gallery)) as db:
        assert db.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_a_deletion_whose_bytes_stay_for_now_is_done_all_the_same(made):
    one = made()
    person = enrol(one.client, "Ada").json()["person"]["id"]
    one.gallery._store._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(one.settings.gallery, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM samples").fetchone()
        answer = one.client.delete(f"/v1/people/{person}")
        assert "its bytes stay" in answer.json()["detail"]
    assert entries(one.settings)[1:] == [("person.delete", "ok", [person], 1)]


def test_a_new_key_takes_notes_along(made, tmp_path, monkeypatch):
    one = made()
    monkeypatch.setattr(AuditLog, "adopt", lambda *_: (_ for _ in ()).throw(StorageFullError("full")))
    enrol(one.client, "Ada")
    one.service.close()
    one.gallery.close()
    monkeypatch.undo()
    new_key_file(tmp_path / "key")
    rekey(tmp_path / "people.db", None, tmp_path / "key")
    monkeypatch.setenv("FACEWISE_KEY_FILE", str(tmp_path / "key"))
    assert [entry[:2] for entry in entries(made().settings)] == [("person.enrol", "ok")]


def test_a_gallery_changed_without_its_key_is_no_fault_of_the_client(
    made, tmp_path, monkeypatch, photo_bytes, caplog
):
    new_key_file(tmp_path / "key")
    monkeypatch.setenv("FACEWISE_KEY_FILE", str(tmp_path / "key"))
    one = made()
    ada = enrol(one.client, "Ada").json()["person"]["id"]
    enrol(one.client, "Bela", 25)
    with closing(sqlite3.connect(one.settings.gallery)) as db, db:
        db.execute("UPDATE samples SET person_id = 3 - person_id")
    for answer in (
        one.client.post("/v1/identify", files={"photo": photo_bytes(0)}, data={"threshold": "0.5"}),
        one.client.get(f"/v1/people/{ada}"),
        one.client.delete(f"/v1/people/{ada}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "gallery_unavailable")
    assert "is damaged" in caplog.text
    enrol(one.client, "Carl", 40)
    assert one.gallery.check()  # what was added makes nothing good


def test_searches_go_on_without_reading_the_gallery_again(made, photo_bytes, monkeypatch):
    one = made()
    enrol(one.client, "Ada")
    one.client.post("/v1/identify", files={"photo": photo_bytes(0)}, data={"threshold": "0.5"})
    read = []
    store = type(one.gallery._store)
    for name in ("keys", "load"):
        monkeypatch.setattr(store, name, lambda *_, name=name: read.append(name))
    enrol(one.client, "Bela", 25)
    answer = one.client.post("/v1/identify", files={"photo": photo_bytes(0)}, data={"threshold": "0.5"})
    assert (answer.json()["gallery"]["people"], read) == (2, [])


def test_looking_at_people_and_at_the_log_is_recorded(made):
    one = made()
    person = enrol(one.client, "Ada").json()["person"]["id"]
    for path in ("people", f"people/{person}", "audit", "me", "models"):
        assert one.client.get(f"/v1/{path}").status_code == 200
    assert one.client.get("/v1/people/77").status_code == 404
    found = [(e["action"], e["outcome"], e.get("people")) for e in AuditLog(one.settings.audit_path).newest()]
    assert found[::-1][1:] == [
        ("people.list", "ok", [person]), ("person.show", "ok", [person]), ("audit.read", "ok", None),
        ("person.show", "failed", None),
    ]  # fmt: skip


def test_a_key_that_fails_fast_is_counted_and_fills_nothing(made):
    one = made()
    for _ in range(100):
        assert one.client.delete("/v1/people/77").status_code == 404
    found = AuditLog(one.settings.audit_path).newest(1000)
    assert 60 <= len(found) < 75  # and one more every three seconds
    one.service._failing._buckets.clear()  # a while later
    one.client.delete("/v1/people/77")
    newest = AuditLog(one.settings.audit_path).newest(1)[0]
    assert (newest["code"], newest["unrecorded"]) == ("not_found", 100 - len(found))


# Of a real process


def ask(server, chance: random.Random, number: int) -> None:
    client = httpx.Client(base_url=server.url, timeout=60)
    with client, suppress(httpx.HTTPError):
        people = [person["id"] for person in client.get("/v1/people").json()["people"]]
        match chance.randrange(6) if len(people) > 2 else 0:
            case 0 | 1 | 2:
                enrol(client, f"Person {number}", number)
            case 3:
                client.delete(f"/v1/people/{chance.choice(people)}")
            case 4:
                into, from_ = chance.sample(people, 2)
                client.post(f"/v1/people/{into}/merge", json={"from": from_})
            case _:
                client.patch(f"/v1/people/{chance.choice(people)}", json={"groups": [f"group {number}"]})


def lock_for_a_while(gallery: Path, chance: random.Random) -> None:
    with closing(sqlite3.connect(gallery, isolation_level=None, timeout=10)) as db, suppress(sqlite3.Error):
        db.execute("BEGIN IMMEDIATE")
        time.sleep(chance.uniform(0, 0.6))
        db.execute("ROLLBACK")


def rounds(start_server, tmp_path: Path, number: int, seed: int) -> None:
    """So many changes, in rounds of ten at once that end by kill -9, time limits and locks among them."""
    chance = random.Random(seed)
    gallery = tmp_path / "people.db"
    asked = 0
    while asked < number:
        server = start_server("--timeout", "0.4", threads=1)
        for _ in range(2):
            threads = [
                threading.Thread(
                    target=ask, args=(server, random.Random(asked + i), 10_000 * seed + asked + i)
                )
                for i in range(10)
            ]
            threads.append(threading.Thread(target=lock_for_a_while, args=(gallery, chance)))
            for thread in threads:
                thread.start()
            asked += 10
            for thread in threads[: chance.randrange(len(threads))]:
                thread.join()
        time.sleep(chance.uniform(0, 0.5))
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        for thread in threads:
            thread.join()
    server = start_server(threads=1)  # what was left is put on record
    os.kill(server.process.pid, signal.SIGTERM)
    server.process.wait()
    assert_one_entry_each(gallery, Path(f"{gallery}.audit"))


def test_every_change_has_one_entry_through_kills_locks_and_time(start_server, tmp_path):
    rounds(start_server, tmp_path, 20, 1)


@pytest.mark.slow
def test_every_change_of_five_hundred_has_one_entry(start_server, tmp_path):
    rounds(start_server, tmp_path, 500, 2)
