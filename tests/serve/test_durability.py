"""What was answered is on disk, whatever happens to the process or the disk; what was deleted is nowhere."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from abuse_tools import assert_one_entry_each, unique_photo

from facewise.gallery import Gallery

PHOTOS = 3
GROUPS = ("crew", "night")


def form(name: str, first: int, photos: int = PHOTOS) -> dict[str, object]:
    """A person to enrol, with photos nobody else has."""
    files = [("photos", (f"{first + i}.png", unique_photo(first + i), "image/png")) for i in range(photos)]
    return {"data": {"name": name, "groups": list(GROUPS)}, "files": files}


class Load:
    """Clients that enrol one person after another, and note what was answered."""

    def __init__(self, url: str, start: int) -> None:
        self.url, self.next = url, start
        self.enrolled: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.unsure: set[str] = set()
        self.other: list[str] = []
        self.lock = threading.Lock()

    def work(self) -> None:
        with httpx.Client(base_url=self.url, timeout=120) as http:
            try:
                while True:
                    self.one(http)
            except httpx.TransportError:
                return

    def one(self, http: httpx.Client) -> None:
        with self.lock:
            number, self.next = self.next, self.next + 1
        name = f"Person {number}"
        answer = http.post("/v1/people", **form(name, number * PHOTOS))
        if answer.status_code != 201:
            self.other.append(answer.text)
            return
        with self.lock:
            self.enrolled[name] = answer.json()["person"]["id"]
        if number % 5 == 0:  # some go again
            with self.lock:
                self.unsure.add(name)
                person = self.enrolled.pop(name)
            if http.delete(f"/v1/people/{person}").status_code == 204:
                with self.lock:
                    self.unsure.discard(name)
                    self.deleted.add(name)


def kill_under_load(start_server, tmp_path: Path, kills: int, seed: int) -> None:
    chance, gallery = random.Random(seed), tmp_path / "people.db"
    enrolled: dict[str, int] = {}
    deleted: set[str] = set()
    number, acknowledged = 0, 0
    for _ in range(kills):
        server = start_server(gallery=gallery, threads=2)
        load = Load(server.url, number)
        clients = [threading.Thread(target=load.work) for _ in range(3)]
        for client in clients:
            client.start()
        deadline = time.monotonic() + 120
        while not load.enrolled and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.8))
        server.process.send_signal(signal.SIGKILL)
        for client in clients:
            client.join()
        server.process.wait()
        assert load.other == []
        acknowledged += len(load.enrolled) + len(load.deleted)
        number = load.next
        enrolled |= load.enrolled
        deleted |= load.deleted
        with Gallery.open(gallery, create=False) as opened:
            assert opened.check() == []
            people = {person.name: person for person in opened.people()}
        lost = [name for name, person in enrolled.items() if people.get(name) is None]
        assert lost == [], "acknowledged enrolments are lost"
        assert all(people[name].id == person for name, person in enrolled.items())
        assert {name: p.samples for name, p in people.items() if p.samples != PHOTOS} == {}, "partial people"
        assert {name: p.groups for name, p in people.items() if p.groups != GROUPS} == {}, "without groups"
        assert deleted.isdisjoint(people), "deleted people are back"
    assert acknowledged >= kills


def test_kill_under_load_twice(start_server, tmp_path):
    kill_under_load(start_server, tmp_path, 2, 1)


@pytest.mark.slow
def test_kill_under_load_twenty_times(start_server, tmp_path):
    kill_under_load(start_server, tmp_path, 20, 2)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["all on it", "gallery alone"])
def test_a_full_disk(start_server, tmp_path, small_disk, elsewhere):
    """Also where keys and audit log are on the full disk, and where they are not."""
    gallery = small_disk / "people.db"
    options = ["--audit", str(tmp_path / "audit")] if elsewhere else []
    server = start_server("--keep", "photo", *options, gallery=gallery)
    with httpx.Client(base_url=server.url, timeout=120) as http:
        answers = [http.post("/v1/people", **form("First", 0))]
        assert answers[0].status_code == 201, answers[0].text
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:  # leaves some hundred KiB
            free = os.statvfs(small_disk)
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - 300_000)))
        number = 1
        while answers[-1].status_code == 201 and number < 300:
            answers.append(http.post("/v1/people", **form(f"Person {number}", number * PHOTOS)))
            number += 1
        refused = answers.pop()
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        known = {one.json()["person"]["name"]: one.json()["person"]["id"] for one in answers}

        def intact() -> None:
            listed = http.get("/v1/people", params={"limit": 1000}).json()["people"]
            assert {one["name"]: one["id"] for one in listed} == known
            assert {one["samples"] for one in listed} == {PHOTOS}

        intact()
        again = http.post("/v1/people", **form("Again", 10_000))
        assert again.status_code == 507
        assert http.get("/v1/ready").status_code == 200
        intact()
        ballast.unlink()
        later = http.post("/v1/people", **form("Later", 20_000))
        assert later.status_code == 201, later.text
        known["Later"] = later.json()["person"]["id"]
        intact()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(120) == 0
    assert_one_entry_each(gallery, tmp_path / "audit" if elsewhere else Path(f"{gallery}.audit"))
    with Gallery.open(gallery, create=False) as opened:
        assert opened.check() == []
        assert {person.name for person in opened.people()} == set(known)


def windows(data: bytes, others: bytes = b"") -> list[bytes]:
    """Pieces of 24 bytes all through `data` that are not in `others` and not of one byte."""
    pieces = {data[at : at + 24] for at in range(0, len(data) - 24, 24)}
    return [piece for piece in pieces if len(set(piece)) > 6 and piece not in others]


def found_in(folder: Path, pieces: list[bytes]) -> set[str]:
    """Names of the files of a folder in which one of the pieces is."""
    content = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name for name, data in content.items() if any(piece in data for piece in pieces)}


@pytest.mark.parametrize("whole", ["person", "sample", "merged"])
def test_what_is_deleted_is_in_no_file(start_server, tmp_path, whole):
    """Templates and kept photos: in no file of the gallery's folder, while it runs and afterwards."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    server = start_server("--keep", "photo", gallery=folder / "people.db")
    with httpx.Client(base_url=server.url, timeout=120) as http:
        ids = [
            http.post("/v1/people", **form(name, 100 * i)).json()["person"]["id"]
            for i, name in enumerate(("Ada", "Grace", "Edsger"))
        ]
        kept = {
            sample["id"]: http.get(f"/v1/people/{person}/samples/{sample['id']}/photo").content
            for person in ids
            for sample in http.get(f"/v1/people/{person}").json()["samples"]
        }
        gone, stay = (
            (list(kept)[:1], list(kept)[1:]) if whole == "sample" else (list(kept)[:3], list(kept)[3:])
        )
        vectors = []
        for i in range(len(gone)):
            sent = {"photo": ("a.png", unique_photo(i), "image/png")}
            face = http.post("/v1/embed", files=sent).json()["faces"][0]
            vectors.append(np.array(face["embedding"], dtype=np.float32))
        others = b"".join(kept[sample] for sample in stay)
        pieces = [piece for sample in gone for piece in windows(kept[sample], others)]
        rows = [vector.tobytes()[at : at + 16] for vector in vectors for at in range(0, 112, 16)]
        assert found_in(folder, rows), "the search finds templates that are there"
        assert pieces
        assert found_in(folder, pieces), "the search finds photos that are there"
        http.post("/v1/identify", files={"photo": ("a.png", unique_photo(1), "image/png")})
        if whole == "sample":
            assert http.delete(f"/v1/people/{ids[0]}/samples/{gone[0]}").status_code == 204
        else:
            person = ids[0]
            if whole == "merged":
                answer = http.post(f"/v1/people/{ids[1]}/merge", json={"from": ids[0]})
                assert answer.status_code == 200, answer.text
                person = ids[1]
                gone, stay = list(kept)[:6], list(kept)[6:]
                others = b"".join(kept[sample] for sample in stay)
                pieces = [piece for sample in gone for piece in windows(kept[sample], others)]
            assert http.delete(f"/v1/people/{person}").status_code == 204
        assert found_in(folder, rows) == set()
        assert found_in(folder, pieces) == set()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(120) == 0
    assert found_in(folder, rows) == set()
    assert found_in(folder, pieces) == set()
    with Gallery.open(folder / "people.db", create=False) as opened:
        assert opened.check() == []


def test_a_stop_finishes_what_was_accepted(start_server, tmp_path):
    server = start_server(threads=2)
    photos = [("photos", (f"{i}.png", unique_photo(i, size=(480, 640)), "image/png")) for i in range(40)]
    with httpx.Client(base_url=server.url, timeout=120) as http, ThreadPoolExecutor(5) as pool:
        asked = [
            pool.submit(http.post, "/v1/cluster", data={"threshold": "0.5"}, files=photos) for _ in range(3)
        ]
        asked += [pool.submit(http.post, "/v1/people", **form(f"P{i}", 1000 + 10 * i)) for i in range(2)]
        metrics = 0.0
        deadline = time.monotonic() + 120
        while metrics < 5 and not all(one.done() for one in asked) and time.monotonic() < deadline:
            text = httpx.get(f"{server.url}/v1/metrics", timeout=120).text
            metrics = next(
                float(line.split()[-1]) for line in text.splitlines()
                if "requests_inside" in line and not line.startswith("#")
            )  # fmt: skip
        inside = [one for one in asked if not one.done()]
        assert inside, "the requests were over before the stop"
        server.process.send_signal(signal.SIGTERM)
        assert [one.result().status_code for one in asked] == [200] * 3 + [201] * 2
    assert server.process.wait(120) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/v1/health", timeout=120)
    with Gallery.open(tmp_path / "people.db", create=False) as opened:
        assert {person.name for person in opened.people()} == {"P0", "P1"}
