"""What is deleted is gone: its bytes, plain or sealed, are searched for in every file of the folder."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, face_of

from facewise.errors import GalleryError
from facewise.gallery import Sample, Space
from facewise.gallery.beside import written_anew
from facewise.gallery.rekey import rekey
from facewise.gallery.sqlite import SqliteStore
from facewise.vault import new_key_file

WINDOW = 16
"""Bytes of what was deleted that must not be found together."""


def jpeg(rng, least=300, most=60_000):
    return b"\xff\xd8\xff" + rng.bytes(int(rng.integers(least, most)))


def sample(rng, name, size, photo):
    return Sample(
        face_of(name, int(rng.integers(1 << 30)), size),
        "x" * int(rng.integers(0, 300)),  # rows of unlike lengths: pages are rebuilt in more ways
        rng.bytes(32).hex(),
        photo=jpeg(rng) if photo else None,
    )


def blobs(path):
    """Everything that is in a cell now, by sample: what the file holds, sealed or not."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = {number: [] for (number,) in db.execute("SELECT id FROM samples")}
    for table, column in (("vectors", "vector"), ("photos", "photo")):
        rows = db.execute(f"SELECT samples.id, data FROM samples JOIN {table} ON {table}.id = {column}")
        for number, data in rows:
            found[number].append(data.rstrip(b"\0"))
    db.close()
    return found


def leftovers(folder, dead):
    """How many of these byte strings have a window left in any file of the folder."""
    windows = {blob[i : i + WINDOW] for blob in dead for i in range(0, len(blob) - WINDOW + 1, WINDOW)}
    windows.discard(bytes(WINDOW))
    data = b"\0\0\0\0".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    # All offsets of the files at once: a set of windows is searched in one pass.
    first = {w[:4] for w in windows}
    if not first:
        return 0
    heads = np.frombuffer(data, "u1").astype(np.uint32)
    words = heads[:-3] | heads[1:-2] << 8 | heads[2:-1] << 16 | heads[3:] << 24
    wanted = np.array([int.from_bytes(w, "little") for w in first], np.uint32)
    places = np.flatnonzero(np.isin(words, wanted))
    return len({data[p : p + WINDOW] for p in places.tolist()} & windows)


@pytest.fixture(params=["plain", "encrypted"])
def key(request, tmp_path_factory):
    if request.param == "plain":
        return None
    path = tmp_path_factory.mktemp("keys") / "people.key"
    new_key_file(path)
    return path


@pytest.mark.parametrize("size", [32, 512])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_done_no_byte_of_the_deleted_stays(tmp_path, key, size, seed):
    rng = np.random.default_rng(seed)
    path, space = tmp_path / "people.db", Space(FINGERPRINT, "fake", size, False)
    store = SqliteStore(path, key_file=key)
    vectors, photos, dead = {}, {}, []

    def note_gone(gone, sealed):
        for number in gone:
            dead.extend([vectors.pop(number).astype("<f4").tobytes(), photos.pop(number) or b""])
            dead.extend(sealed[number])

    for step in range(45):
        names = [person.name for person in store.people()]
        doing = rng.random()
        if doing < 0.5 or len(names) < 3:
            name = f"person {step}"
            given = [sample(rng, name, size, rng.random() < 0.3) for _ in range(int(rng.integers(1, 8)))]
            added = store.add([(name, given)], space).added[0]
            for i, number in zip(added.stored, added.samples, strict=True):
                vectors[number], photos[number] = given[i].embedding, given[i].photo
            continue
        sealed = blobs(path)
        one, other = (str(name) for name in rng.choice(names, 2, replace=False))
        if doing < 0.75:
            note_gone(store.remove(one).gone, sealed)
        elif doing < 0.85:
            note_gone(store.merge(one, other)[1].gone, sealed)
        elif len(samples := store.person(one).samples) > 1:
            note_gone(store.remove_sample(samples[0].id).gone, sealed)
        if step % 10 == 9:
            assert leftovers(tmp_path, dead) == 0
    assert len(dead) > 30
    live = [vectors[n].astype("<f4").tobytes() for n in vectors] if key is None else []
    assert leftovers(tmp_path, live) >= len(live)  # the search does find what is there
    keys = store.keys()
    assert sorted(keys.samples.tolist()) == sorted(vectors)
    assert np.array_equal(np.lexsort((keys.samples, keys.people)), np.arange(len(vectors)))
    assert np.array_equal(store.vectors(np.array(list(vectors))), np.stack(list(vectors.values())))
    assert {n: store.photo(n) for n in photos} == photos
    assert store.check() == []
    store.close()
    assert leftovers(tmp_path, dead) == 0
    if key is not None:
        assert leftovers(tmp_path, [v.astype("<f4").tobytes() for v in vectors.values()]) == 0
        assert leftovers(tmp_path, [p for p in photos.values() if p]) == 0


def test_the_room_of_the_deleted_is_used_again(tmp_path):
    rng = np.random.default_rng(0)
    path, space = tmp_path / "people.db", Space(FINGERPRINT, "fake", 512, False)
    store = SqliteStore(path)

    def cycle():
        store.add([("ada", [sample(rng, "ada", 512, False) for _ in range(20)])], space)
        store.remove("ada")

    store.add([("bob", [sample(rng, "bob", 512, False)])], space)
    cycle()
    size = path.stat().st_size
    for _ in range(20):
        cycle()
    assert path.stat().st_size <= size + 2 * 16384  # the history of states grows a little
    store.close()


def half_done(path):
    """Where a rekeying that was killed has left what it had written."""
    db = sqlite3.connect(path)
    (gallery,) = db.execute("SELECT gallery FROM meta").fetchone()
    db.close()
    return written_anew(path, gallery)


def test_opening_leaves_no_byte_of_a_killed_rekeying(tmp_path):
    path = tmp_path / "people.db"
    SqliteStore(path).close()
    half = half_done(path)
    half.write_bytes(b"of everybody")
    with half.open("rb") as handle:
        SqliteStore(path).close()
        assert handle.read().strip(b"\0") == b""
    assert [f.name for f in tmp_path.iterdir()] == ["people.db"]


def test_rekeying_leaves_no_byte_of_the_old(tmp_path, key):
    rng = np.random.default_rng(7)
    folder = tmp_path / "gallery"
    folder.mkdir()
    path, space = folder / "people.db", Space(FINGERPRINT, "fake", 512, False)
    store = SqliteStore(path, key_file=key)
    given = [sample(rng, "ada", 512, True) for _ in range(8)]
    numbers = store.add([("ada", given)], space, {"ada": ["staff"]}).added[0].samples
    store.add([("bob", [sample(rng, "bob", 512, False)])], space)
    store.remove("bob")
    state = store.state()
    store.close()
    new_key = tmp_path / "new.key"
    new_key_file(new_key)
    now = key
    for target in (new_key, None, new_key, new_key):
        old = [blob for each in blobs(path).values() for blob in each]
        (folder / "people.db.index").write_bytes(b"FWINDEX1" + old[0])
        half_done(path).write_bytes(old[1])
        (folder / f"{half_done(path).name}-wal").write_bytes(old[0])
        with path.open("rb") as handle:  # the old file itself, as who undeletes it finds it
            assert rekey(path, now, target) == 8
            assert handle.read().strip(b"\0") == b""
        now = target
        assert leftovers(folder, old) == 0
        assert [f.name for f in folder.iterdir()] == ["people.db"]
        assert path.stat().st_mode & 0o077 == 0
        store = SqliteStore(path, create=False, key_file=now)
        assert [(p.name, p.samples, p.groups) for p in store.people()] == [("ada", 8, ("staff",))]
        assert np.array_equal(store.vectors(np.array(numbers)), [s.embedding for s in given])
        assert [store.photo(n) for n in numbers] == [s.photo for s in given]
        assert store.check() == []
        assert not store.descends_from(state)  # a saved index of the old is not taken for one of this
        late = store.add([("late", [sample(rng, "late", 512, False)])], space).added[0].samples[0]
        assert late > 9  # not even the number of the removed one
        store.remove("late")
        store.close()


def test_a_gallery_in_use_is_not_rekeyed(tmp_path):
    path, key = tmp_path / "people.db", tmp_path / "k"
    new_key_file(key)
    store = SqliteStore(path)
    store.add([("ada", [Sample(face_of("ada"))])], Space(FINGERPRINT, "fake", 32, False))
    with pytest.raises(GalleryError, match="in use"):
        rekey(path, None, key)
    assert [p.name for p in store.people()] == ["ada"]
    store.close()
    assert rekey(path, None, key) == 1
    with pytest.raises(GalleryError, match="is encrypted"):
        rekey(path, None, key)


REKEY = """
import sys
from pathlib import Path
from facewise.gallery.beside import written_anew
from facewise.gallery.rekey import rekey
print("now", flush=True)
for i in range(100):
    a, b = sys.argv[2:4] if i % 2 == 0 else sys.argv[3:1:-1]
    rekey(Path(sys.argv[1]), a, b)
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_rekeying(tmp_path, seed):
    path, keys = tmp_path / "people.db", [tmp_path / "a.key", tmp_path / "b.key"]
    for key in keys:
        new_key_file(key)
    store = SqliteStore(path, key_file=keys[0])
    given = [Sample(face_of("ada", i, 512)) for i in range(200)]
    store.add([("ada", given)], Space(FINGERPRINT, "fake", 512, False))
    store.close()
    run = subprocess.Popen(
        [sys.executable, "-c", REKEY, str(path), *map(str, keys)], stdout=subprocess.PIPE, env=os.environ
    )
    run.stdout.readline()
    time.sleep(float(np.random.default_rng(seed).uniform(0.01, 0.3)))
    run.send_signal(signal.SIGKILL)
    run.communicate()
    for key, other in (keys, keys[::-1]):
        try:
            store = SqliteStore(path, create=False, key_file=key)
        except GalleryError:
            continue
        assert store.check() == []
        assert np.array_equal(store.load().rows, [s.embedding for s in given])
        store.close()
        rekey(path, key, other)
        assert {f.name for f in tmp_path.iterdir()} == {"people.db", "a.key", "b.key"}
        break
    else:
        pytest.fail("no key opens the gallery")


DELETE = """
import sys
from pathlib import Path
from facewise.gallery.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for person in store.people()[:-1]:
    print(person.name, flush=True)
    store.remove(person.name)
"""


def test_killed_while_deleting_the_bytes_go_with_the_next_opening(tmp_path):
    path, space = tmp_path / "people.db", Space(FINGERPRINT, "fake", 32, False)
    store = SqliteStore(path)
    for i in range(60):
        store.add([(f"person {i:02}", [Sample(face_of(f"person {i:02}"))])], space)
    store.close()
    run = subprocess.Popen([sys.executable, "-c", DELETE, str(path)], stdout=subprocess.PIPE, text=True)
    for _ in range(20):
        run.stdout.readline()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    store = SqliteStore(path)
    there = {person.name for person in store.people()}
    gone = [f"person {i:02}" for i in range(60) if f"person {i:02}" not in there]
    assert len(gone) >= 18
    assert leftovers(tmp_path, [face_of(name).astype("<f4").tobytes() for name in gone]) == 0
    assert store.check() == []
    store.close()


def test_names_are_not_encrypted_and_embeddings_are(tmp_path):
    """What `docs/security.md` says of the file."""
    key = tmp_path / "k"
    new_key_file(key)
    store = SqliteStore(tmp_path / "people.db", key_file=key)
    photo = b"\xff\xd8" + os.urandom(5000)
    store.add([("Rumpelstilzchen", [Sample(face_of("r"), "r.jpg", photo=photo)])],
              Space(FINGERPRINT, "fake", 32, False), {"Rumpelstilzchen": ["spinners"]})  # fmt: skip
    store.close()
    data = Path(tmp_path / "people.db").read_bytes()
    assert b"Rumpelstilzchen" in data
    assert b"spinners" in data
    assert leftovers(tmp_path, [photo, face_of("r").astype("<f4").tobytes()]) == 0
