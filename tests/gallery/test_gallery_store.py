import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, SIZE, face_of, sample

from facewise.errors import GalleryError
from facewise.gallery import Space
from facewise.gallery.schema import MIGRATIONS
from facewise.gallery.sqlite import SqliteStore

SPACE = Space(FINGERPRINT, "fake", SIZE, False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.db"


@pytest.fixture
def store(path):
    store = SqliteStore(path)
    yield store
    store.close()


def put(store, name, *shots, person=None):
    return store.add([(name, [sample(person or name, shot) for shot in shots])], SPACE).added[0]


def test_a_file_that_is_being_made_is_not_taken_for_another_kind(path, monkeypatch):
    other = []

    class Slow(sqlite3.Connection):
        def execute(self, statement, *values):
            answer = super().execute(statement, *values)
            if statement == "PRAGMA application_id" and not other:  # which is 0 yet
                other.append(threading.Thread(target=lambda: SqliteStore(path).close()))
                other[0].start()
                other[0].join(0.5)
            return answer

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, **how | {"factory": Slow}))
    with contextlib.closing(SqliteStore(path)) as store:
        other[0].join()
        put(store, "ada", 1)
        assert store.check() == []


def edit(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(*statement) if isinstance(statement, tuple) else db.execute(statement)
    db.commit()
    db.close()


def files(path):
    return [p for p in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if p.exists()]


def test_a_new_file_is_private_durable_and_ours(path, store):
    put(store, "ada", 1)
    for file in files(path):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pragma = {
        p: store._db.execute(f"PRAGMA {p}").fetchone()[0]
        for p in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert store._db.execute("PRAGMA secure_delete").fetchone()[0] == 1
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_what_was_stored_is_there_after_reopening(path, store):
    put(store, "ada", 1, 2)
    store.close()
    again = SqliteStore(path, create=False)
    loaded = again.load()
    assert np.array_equal(loaded.rows, [face_of("ada", 1), face_of("ada", 2)])
    assert again.space() == SPACE
    assert [s.fingerprint for s in again.person("ada").samples] == [FINGERPRINT] * 2
    again.close()


def test_a_missing_file_is_not_made_unless_asked(path):
    with pytest.raises(GalleryError, match="no gallery"):
        SqliteStore(path, create=False)
    assert not path.exists()
    with pytest.raises(GalleryError, match="cannot be created"):
        SqliteStore(path.parent / "nowhere" / "people.db")
    with pytest.raises(GalleryError, match="is a folder"):
        SqliteStore(path.parent)


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 100, b"x", os.urandom(9000)])
def test_a_file_that_is_no_database_is_refused_untouched(path, content):
    path.write_bytes(content)
    with pytest.raises(GalleryError, match="not a Facewise gallery"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_untouched(path):
    edit(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="not a Facewise gallery"):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert files(path) == [path]


def test_a_newer_schema_is_refused(path):
    SqliteStore(path).close()
    edit(path, "PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="newer Facewise"):
        SqliteStore(path)


def test_an_empty_file_becomes_a_gallery(path):
    path.touch()
    store = SqliteStore(path)
    assert store.people() == []
    store.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_told_in_a_sentence(path, seed):
    store = SqliteStore(path)
    for i in range(60):
        put(store, f"person {i}", 1, 2)
    before = store.load().rows, store.people()
    store.close()
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    if seed % 3 == 0:
        del data[int(rng.integers(200, len(data) - 1)) :]
    else:
        at = int(rng.integers(0, len(data) - 6000))
        data[at : at + 5000] = rng.bytes(5000)
    path.write_bytes(data)
    try:
        store = SqliteStore(path)
    except GalleryError:
        return
    if not store.check():  # it has hit the unused part of a page: then nothing is lost
        assert np.array_equal(store.load().rows, before[0])
        assert store.people() == before[1]
    for use in (store.load, store.people, store.samples, lambda: put(store, "late", 1)):
        with contextlib.suppress(GalleryError):  # and nothing else is raised
            use()
    store.close()


def test_an_enrolment_is_whole_or_absent(store):
    put(store, "ada", 1)
    bad = sample("bob", 3)
    object.__setattr__(bad, "created", object())  # fails in the middle of the transaction
    with pytest.raises(GalleryError):
        store.add([("bob", [sample("bob", 1), sample("bob", 2), bad])], SPACE)
    assert [p.name for p in store.people()] == ["ada"]
    put(store, "bob", 1)
    assert store.check() == []


def test_a_full_disk_is_told_and_everything_before_stays(path, store):
    put(store, "ada", 1)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(GalleryError, match="disk is full"):
        put(store, "bob", *range(400))
    assert [p.name for p in store.people()] == ["ada"]
    store._db.execute("PRAGMA max_page_count = 100000")
    assert len(put(store, "bob", *range(400)).stored) == 400
    assert store.check() == []


def test_a_busy_file_is_told(path, store):
    put(store, "ada", 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(GalleryError, match="busy"):
        put(store, "bob", 1)
    other.close()
    assert put(store, "bob", 1).stored == (0,)


def leftovers(path, embeddings):
    """How many of these have any 32 bytes left in any file of the gallery."""
    data = b"".join(file.read_bytes() for file in files(path))
    blobs = [e.astype("<f4").tobytes() for e in embeddings]
    return sum(any(blob[i : i + 32] in data for i in range(0, len(blob) - 31, 32)) for blob in blobs)


@pytest.mark.parametrize("size", [SIZE, 512])
def test_deleted_embeddings_are_in_no_file(path, store, size):
    space = Space(FINGERPRINT, "fake", size, False)
    people = [f"person {i}" for i in range(40)]
    for name in people:
        store.add([(name, [sample(name, shot, size) for shot in range(3)])], space)
    rng = np.random.default_rng(0)
    gone = [str(name) for name in rng.permutation(people)[:25]]
    kept = [name for name in people if name not in gone]
    assert leftovers(path, [face_of(name, 0, size) for name in gone]) == 25  # the search does find them
    for name in gone:
        store.remove(name)
    store.remove_sample(store.person(kept[0]).samples[0].id)
    dead = [face_of(name, shot, size) for name in gone for shot in range(3)] + [face_of(kept[0], 0, size)]
    assert leftovers(path, dead) == 0
    assert leftovers(path, [face_of(name, 2, size) for name in kept]) == len(kept)
    assert store.check() == []


def test_a_removed_or_changed_name_is_in_no_file(path, store):
    for i in range(50):
        put(store, f"Rumpelstilzchen {i}", 1, person=str(i))
    for i in range(50):
        store.rename(f"Rumpelstilzchen {i}", f"somebody {i}") if i % 2 else store.remove(
            f"Rumpelstilzchen {i}"
        )
    assert not any(b"Rumpel" in file.read_bytes() for file in files(path))


def test_a_reader_that_keeps_deleted_bytes_alive_is_told(path, store):
    put(store, "ada", 1)
    put(store, "bob", 1)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM samples").fetchone()
    store._db.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(GalleryError, match="another process is still reading"):
        store.remove("ada")
    assert [p.name for p in store.people()] == ["bob"]
    reader.close()
    store.remove("bob")
    assert leftovers(path, [face_of("ada", 1), face_of("bob", 1)]) == 0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (("UPDATE vectors SET data = zeroblob(128) WHERE id = 1",), "Sample 1 is not of unit length"),
        (
            ("UPDATE vectors SET data = x'0011' WHERE id = 2",),
            "Sample 2 has 2 bytes where 128 are needed",
        ),
        (
            ("UPDATE vectors SET data = ? WHERE id = 3", (np.full(SIZE, np.nan, "<f4").tobytes(),)),
            "Sample 3 is not",
        ),
        (("UPDATE samples SET fingerprint = 'ff' WHERE id = 1",), "Sample 1 is of the model ff"),
        (("DELETE FROM samples WHERE person_id = 1",), "'ada' has no samples"),
        (("DELETE FROM people WHERE id = 1",), "points to nothing in people"),
        (("UPDATE people SET name = '  x' WHERE id = 1",), "is not a name as Facewise keeps them"),
        (("DELETE FROM meta",), "no meta row"),
    ],
)
def test_check_tells_each_kind_of_damage(path, store, damage, told):
    put(store, "ada", 1, 2)
    put(store, "bob", 1)
    assert store.check() == []
    edit(path, damage)
    for use in (store.load, store.samples, store.people):
        with contextlib.suppress(GalleryError):  # and nothing else is raised
            use()
    assert any(told in problem for problem in store.check())


def test_two_processes_enrolling_at_once_lose_nothing(path):
    """Also: all of them create the file at the same moment."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[3]); from test_gallery_store import *\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        "for i in range(25):\n"
        "    put(store, f'{sys.argv[2]} {i}', 1, 2); put(store, 'shared', int(sys.argv[2]) * 100 + i)\n"
        "store.close()"
    )
    here = str(Path(__file__).parent)
    runs = [subprocess.Popen([sys.executable, "-c", code, str(path), str(i), here]) for i in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    store = SqliteStore(path, create=False)
    assert {p.name: p.samples for p in store.people()} == {
        "shared": 75,
        **{f"{process} {i}": 2 for process in range(3) for i in range(25)},
    }
    assert store.check() == []
    store.close()


def test_threads_share_a_store(path, store):
    def work(thread):
        for i in range(20):
            put(store, f"{thread} {i}", 1)
            store.load()

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.people()) == 80
    assert store.check() == []
