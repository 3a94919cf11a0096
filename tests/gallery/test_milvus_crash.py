"""A writer that dies before a request to Milvus, each in turn: all of its change is there, or nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conformance import SPACE, Place, put, with_photo
from gallery_fakes import FINGERPRINT, face_of, sample

from facewise.errors import GalleryError
from facewise.gallery.milvus_head import Lease
from facewise.gallery.milvus_link import Link
from facewise.gallery.vectors import VectorGallery

pytest.importorskip("milvus_lite")

PHOTO = b"\xff\xd8\xff" + bytes(60_000)
WRITES = ("insert", "upsert", "delete", "delete_where", "create", "drop")


class Death(BaseException):
    """The process is gone: nothing of it runs any more."""


class Mortal:
    """Lets so many requests through that write, and none after the last."""

    def __init__(self, link, lives):
        self.lives = lives
        for name in WRITES:
            setattr(link, name, self._guarded(getattr(link, name)))

    def _guarded(self, request):
        def ask(*args, **kwargs):
            if self.lives <= 0:
                raise Death
            self.lives -= 1
            return request(*args, **kwargs)

        return ask


@pytest.fixture
def place(tmp_path):
    place = Place("milvus lite", tmp_path)
    yield place
    place.close()


def prepared(place):
    store = place.open()
    put(store, "ada", 1, 2, groups=["staff"], photo=PHOTO)
    put(store, "bob", 1, 2, groups=["guests"], photo=PHOTO)
    put(store, "cid", 5, person="ada")
    return store


def content(store):
    """All that a reader sees, and that a search finds."""
    people = store.people()
    gallery = VectorGallery(store)
    probes = np.stack([face_of("ada", 9), face_of("bob", 9)])
    found = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, top=9) if store.space() else []
    assert {c.name for f in found for c in f.candidates} == {p.name for p in people}
    return (
        [(p.name, p.id, p.samples, p.groups) for p in people],
        sorted((s.name, s.id, store.photo(s.id) is not None) for s, _ in store.samples()),
        [[(c.name, c.similarity) for c in f.candidates] for f in found],
    )


def several():
    """Someone new with two photos, more for somebody known, new groups for both."""
    return [
        ("dee", [with_photo(sample("dee", 1), PHOTO), sample("dee", 2)]),
        ("ada", [sample("ada", 7), sample("ada", 8)]),
    ]


CHANGES = {
    "add": lambda store: store.add(several(), SPACE, {"dee": ["staff"], "ada": ["night"]}),
    "remove": lambda store: store.remove("ada"),
    "remove_sample": lambda store: store.remove_sample(1),
    "rename": lambda store: store.rename("ada", "Ada"),
    "rename and regroup": lambda store: store.rename("ada", "Ada", ["day", "night"]),
    "merge": lambda store: store.merge("ada", "bob"),
    "set_groups": lambda store: store.set_groups("ada", ["x", "y"]),
}


@pytest.mark.parametrize(
    "change", [c if c == "add" else pytest.param(c, marks=pytest.mark.slow) for c in CHANGES]
)
def test_a_crash_at_any_request(tmp_path, change):
    (tmp_path / "whole").mkdir()
    whole = Place("milvus lite", tmp_path / "whole")
    store = prepared(whole)
    before = content(store)
    CHANGES[change](store)
    after = content(store)
    assert before != after
    whole.close()
    seen = set()
    for lives in range(100):
        folder = tmp_path / str(lives)
        folder.mkdir()
        place = Place("milvus lite", folder)
        reader = prepared(place)
        writer = place.open()
        Mortal(writer._link, lives)
        try:
            CHANGES[change](writer)
            died = False
        except Death:
            died = True
        for_readers = content(reader)
        assert for_readers in (before, after)
        again = place.open(create=False)
        assert content(again) == for_readers  # what was seen once stays
        assert again.check() == []
        if for_readers == before:
            CHANGES[change](again)
            assert [p.name for p in again.people()] == [name for name, *_ in after[0]]
        assert put(again, "eve", 1).stored == (0,)
        assert again.check() == []
        place.close()
        seen.add(for_readers == after)
        if not died:
            break
    assert not died
    assert seen == {False, True}


def test_a_crash_in_the_first_enrolment(tmp_path):
    for lives in range(40):
        folder = tmp_path / str(lives)
        folder.mkdir()
        place = Place("milvus lite", folder)
        writer = place.open()
        Mortal(writer._link, lives)
        try:
            writer.add(several(), SPACE)
            died = False
        except Death:
            died = True
        again = place.open(create=False)
        assert len(again.people()) in {0, 2}
        assert (again.space() is None) == (again.people() == [])
        again.add(several(), SPACE)
        assert [(p.name, p.samples) for p in again.people()] == [("ada", 2), ("dee", 2)]
        assert again.check() == []
        place.close()
        if not died:
            return
    pytest.fail("never whole")


def test_a_request_that_fails_is_undone_at_once(place, monkeypatch):
    store = prepared(place)
    before = content(store)
    insert = store._link.insert

    def failing(collection, rows):
        if collection.endswith("_people"):
            raise GalleryError("The server has no room.")
        insert(collection, rows)

    monkeypatch.setattr(store._link, "insert", failing)
    with pytest.raises(GalleryError, match="no room"):
        put(store, "dee", 1)
    assert content(store) == before
    monkeypatch.undo()
    assert put(store, "dee", 1).stored == (0,)
    assert store.check() == []


ENROL = """
import sys
from conformance import SPACE
from gallery_fakes import sample
from facewise.gallery.uri import open_store

store = open_store(sys.argv[1])
for i in range(60):
    store.add([(f"person {i}", [sample(f"person {i}", shot) for shot in range(3)])], SPACE)
    print("enrolled", i, flush=True)
"""


def killed(place, after, pause):
    """Starts enrolling, kills it, and says who was acknowledged."""
    here = str(Path(__file__).parent)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path])}
    run = subprocess.Popen(
        [sys.executable, "-c", ENROL, place.uri], stdout=subprocess.PIPE, text=True, env=env
    )
    lines = [run.stdout.readline() for _ in range(after)]
    time.sleep(pause)
    run.send_signal(signal.SIGKILL)
    lines += run.stdout.readlines()
    run.wait()
    return {f"person {line.split()[1]}" for line in lines if line.endswith("\n")}


@pytest.mark.parametrize(("after", "pause"), [(3, 0.01), pytest.param(25, 0.03, marks=pytest.mark.slow)])
def test_a_killed_process(place, after, pause):
    there = killed(place, after, pause)
    store = place.open(create=False)
    assert store.check() == []
    people = {p.name: p.samples for p in store.people()}
    assert there <= set(people)
    assert len(people) <= len(there) + 1
    assert set(people.values()) == {3}


def test_a_file_in_use_by_another_process_is_told(place):
    place.open()
    code = "import sys; from facewise.gallery.uri import open_store; open_store(sys.argv[1])"
    run = subprocess.run([sys.executable, "-c", code, place.uri], capture_output=True, text=True, check=False)
    assert "in use by another process" in run.stderr.splitlines()[-1]


# One writer at a time on a server: the lease, on a Milvus Lite file with a clock of its own.


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def leases(place):
    store = place.open()
    clock = Clock()
    collection = store._tables.head
    return clock, [
        Lease(store._link, collection, clock=clock, sleep=clock.sleep, stale=30, patience=90) for _ in "ab"
    ]


def test_a_lease_has_one_holder(leases):
    clock, (one, two) = leases
    one.take()

    def alive(seconds):
        clock.now += seconds
        one.beat()

    two._sleep = lambda _seconds: alive(5)
    with pytest.raises(GalleryError, match="busy: another process"):
        two.take()
    one.give()
    two.take()
    two.give()


def test_a_dead_writers_lease_is_taken_over_but_no_living_ones(leases):
    clock, (one, two) = leases
    one.take()
    begun = clock.now
    two.take()
    assert 30 < clock.now - begun < 40
    clock.now += 16
    with pytest.raises(GalleryError, match="has taken over"):
        one.beat()
    two.beat()
    two.give()
    assert len(list(one._link.rows(one._collection, f"id >= {1 << 48}", []))) == 0


def test_a_server_that_is_not_there_is_told_at_once():
    with pytest.raises(GalleryError, match="does not answer"):
        Link("http://127.0.0.1:1", "milvus://127.0.0.1:1/people", timeout=3)
