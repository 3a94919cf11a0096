"""What lies beside a gallery and is not its own: not a byte of it changes, whatever its name."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, face_of
from nasty import KINDS, everything, put_beside

from facewise.errors import FacewiseError, GalleryError, SettingError
from facewise.files import write_bytes
from facewise.gallery import Gallery, Sample, Space, live, rekey, snapshot
from facewise.gallery.sqlite import SqliteStore
from facewise.vault import new_key_file, read_key_file

SPACE = Space(FINGERPRINT, "fake", 32, False)
PEOPLE = [f"person {i}" for i in range(60)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """An index is kept from 20 samples on."""
    monkeypatch.setattr(live, "SMALL", 20)
    monkeypatch.delenv("FACEWISE_KEY_FILE", raising=False)


def enrol(path, key=None):
    with Gallery.open(path, key_file=key) as gallery:
        gallery._store.add([(name, [Sample(face_of(name))]) for name in PEOPLE], SPACE)


def found(gallery, names):
    probes = np.stack([face_of(name) for name in names])
    hits = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, top=1)
    return [hit.candidates[0].name for hit in hits]


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("old.key", "new.key"):
        new_key_file(folder / name)
    return folder / "old.key", folder / "new.key"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_others_is_touched(tmp_path, keys, kind):
    path = tmp_path / "gallery" / "g.db"
    path.parent.mkdir()
    put_beside(path, kind, tmp_path / "elsewhere")
    before = everything(tmp_path)
    enrol(path)
    with Gallery.open(path) as gallery:
        assert found(gallery, PEOPLE[:3]) == PEOPLE[:3]
        gallery.remove(PEOPLE[0])
        gallery.merge(PEOPLE[1], PEOPLE[2])
        assert gallery.export(path.with_name("export.npz")) == 59
    path.with_name("export.npz").unlink()
    for now, then in ((None, keys[0]), keys, (keys[1], None)):
        assert rekey.rekey(path, now, then) == 59
    with Gallery.open(path) as gallery:
        assert found(gallery, PEOPLE[3:9]) == PEOPLE[3:9]
        assert gallery.check() == []
    after = everything(tmp_path)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) == {str(path)}


@pytest.mark.parametrize("name", ["t.db.rekey.key", "t.db.rekey", "t.db.index.key", "t.db.rekey-wal"])
def test_a_new_key_beside_the_gallery_stays(tmp_path, name):
    path, key = tmp_path / "t.db", tmp_path / name
    enrol(path)
    new_key_file(key)
    before = key.read_bytes()
    assert rekey.rekey(path, None, key) == 60
    assert key.read_bytes() == before
    with Gallery.open(path, key_file=key) as gallery:
        assert found(gallery, PEOPLE[:3]) == PEOPLE[:3]


OURS = ("t.db", "t.db-wal", "t.db-shm", "t.db-journal", "t.db.index", "t.db.index.lock", "t.db.keys",
        "t.db.keys-wal", "t.db.audit", "t.db.audit.1", "t.db.audit.lock")  # fmt: skip


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("way", ["name", "link", "to it"])
def test_a_key_in_the_place_of_our_files_is_refused(tmp_path, name, way):
    path, made = tmp_path / "gallery" / "t.db", tmp_path / "made.key"
    path.parent.mkdir()
    new_key_file(made)
    beside = path.with_name(name)
    key = tmp_path / "link.key" if way == "to it" else beside
    if beside != path:
        shutil.move(made, beside) if way != "link" else beside.symlink_to(made)
    if way == "to it":
        key.symlink_to(beside)
    elif way == "name":
        key = path.parent / ".." / "gallery" / name
    before = everything(tmp_path)
    for use in (lambda: SqliteStore(path, key_file=key), lambda: rekey.rekey(path, None, key)):
        with pytest.raises(SettingError, match=r"has the name of a file that .* keeps beside the gallery"):
            use()
    assert everything(tmp_path) == before


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["key", "copy", "link", "folder"])
def test_what_lies_where_sqlite_writes_is_not_written_over(tmp_path, keys, ending, kind):
    path = tmp_path / "t.db"
    enrol(path)
    beside = path.with_name(path.name + ending)
    if kind == "link":
        beside.symlink_to(keys[0])
    elif kind == "folder":
        beside.mkdir()
    else:
        shutil.copy(keys[0] if kind == "key" else path, beside)
    before = everything(tmp_path)
    with pytest.raises(GalleryError, match=f"t.db{ending} is in the way"):
        Gallery.open(path)
    with pytest.raises(GalleryError, match="is in the way"):
        rekey.is_encrypted(path)
    with pytest.raises(GalleryError, match="is in the way"):
        rekey.rekey(path, None, keys[1])
    assert everything(tmp_path) == before


def test_logs_of_sqlite_are_none_of_others(tmp_path):
    path, copy = tmp_path / "t.db", tmp_path / "copy"
    copy.mkdir()
    with Gallery.open(path) as gallery:
        gallery._store.add([("ada", [Sample(face_of("ada"))])], SPACE)
        with Gallery.open(path) as other:  # while the shared memory is in use, here and
            assert [p.name for p in other.people()] == ["ada"]
        for file in tmp_path.glob("t.db*"):  # as a process that is killed leaves it
            shutil.copy(file, copy)
    with Gallery.open(copy / "t.db") as gallery:
        assert [p.name for p in gallery.people()] == ["ada"]


def test_the_old_stays_where_the_new_key_opens_nothing(tmp_path, keys, monkeypatch):
    path, (old, new) = tmp_path / "t.db", keys
    enrol(path, old)
    content = new.read_bytes()
    write = rekey._write

    def lose(*given):
        done = write(*given)
        new.unlink()
        return done

    def change(*given):
        done = lose(*given)
        new_key_file(new)  # somebody else's key has taken its place
        return done

    for spoil, told in ((lose, "cannot be read"), (change, "another key")):
        monkeypatch.setattr(rekey, "_write", spoil)
        with pytest.raises(FacewiseError, match=told):
            rekey.rekey(path, old, new)
        new.unlink(missing_ok=True)
        new.write_bytes(content)
        new.chmod(0o600)
        with Gallery.open(path, key_file=old) as gallery:
            assert found(gallery, PEOPLE[:3]) == PEOPLE[:3]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["keys", "t.db"]


def test_what_is_written_differently_does_not_take_the_olds_place(tmp_path, keys, monkeypatch):
    path = tmp_path / "t.db"
    enrol(path)
    copy = rekey._copy_samples

    def slip(old, read, new, write, size):
        done = copy(old, read, new, write, size)
        new.execute("UPDATE samples SET person_id = 3 - person_id WHERE person_id IN (1, 2)")
        return done

    monkeypatch.setattr(rekey, "_copy_samples", slip)
    with pytest.raises(GalleryError, match=r"differently|damaged"):
        rekey.rekey(path, None, keys[0])
    with Gallery.open(path) as gallery:
        assert found(gallery, PEOPLE[:3]) == PEOPLE[:3]


def test_a_gallery_with_a_second_name_is_not_rekeyed(tmp_path, keys):
    path = tmp_path / "t.db"
    enrol(path)
    (tmp_path / "backup.db").hardlink_to(path)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="second name"):
        rekey.rekey(path, None, keys[0])
    assert path.read_bytes() == before


def test_an_index_with_a_second_name_is_left_to_it(tmp_path, keys):
    path, index, backup = tmp_path / "t.db", tmp_path / "t.db.index", tmp_path / "backup"
    enrol(path)
    with Gallery.open(path) as gallery:
        found(gallery, PEOPLE[:1])
    backup.hardlink_to(index)
    before = backup.read_bytes()
    with Gallery.open(path) as gallery:
        assert found(gallery, PEOPLE[:3]) == PEOPLE[:3]
        gallery.remove(PEOPLE[0])
        assert not index.exists()
        gallery.merge(PEOPLE[1], PEOPLE[2])
        assert found(gallery, PEOPLE[1:2]) == PEOPLE[1:2]
    assert backup.read_bytes() == before
    index.unlink(missing_ok=True)
    index.hardlink_to(backup)
    rekey.rekey(path, None, keys[0])
    assert backup.read_bytes() == before
    assert not index.exists()


def test_through_a_link_the_index_of_the_file_goes(tmp_path, keys):
    real, link = tmp_path / "real.db", tmp_path / "link.db"
    enrol(real)
    link.symlink_to(real)
    with Gallery.open(link) as gallery:
        found(gallery, PEOPLE[:1])
    # As an older Facewise has left one.
    shutil.copy(tmp_path / "real.db.index", tmp_path / "link.db.index")
    rekey.rekey(link, None, keys[0])
    assert link.is_symlink()
    names = sorted(f.name for f in tmp_path.iterdir() if not f.name.endswith(".lock"))
    assert names == ["keys", "link.db", "real.db"]
    with Gallery.open(link, key_file=keys[0]) as gallery:
        assert found(gallery, PEOPLE[:1]) == PEOPLE[:1]


def test_another_processs_index_is_cleaned_too(tmp_path):
    path = tmp_path / "t.db"
    enrol(path)
    with Gallery.open(path) as one, Gallery.open(path) as other:
        found(one, PEOPLE[:1])
        (tmp_path / "t.db.index").unlink()
        found(other, PEOPLE[:1])  # writes it anew
        one.remove(PEOPLE[7])
        held = [f for f in tmp_path.iterdir() if face_of(PEOPLE[7]).tobytes() in f.read_bytes()]
        assert held == []
        assert found(other, PEOPLE[8:9]) == PEOPLE[8:9]


def test_half_written_indexes_of_the_killed_go(tmp_path, keys):
    path = tmp_path / "t.db"
    enrol(path)
    mark = hashlib.sha256(b"t.db.index").hexdigest()[:12]
    left = tmp_path / f".{mark}-01234567.index"
    left.write_bytes(b"FWINDEX1" + face_of("person 0").tobytes())
    with left.open("rb") as file:
        rekey.rekey(path, None, keys[0])
        assert not file.read().strip(b"\0")
    assert not left.exists()


def test_a_link_to_nothing_makes_no_gallery_elsewhere(tmp_path):
    (tmp_path / "t.db").symlink_to(tmp_path / "nowhere.db")
    with pytest.raises(GalleryError, match="link to nothing"):
        Gallery.open(tmp_path / "t.db")
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize("what", ["t.db", "t.db-wal", "other.db", "old.key", "t.db.index"])
def test_results_take_no_place_of_keys_and_galleries(tmp_path, keys, what):
    path = tmp_path / "t.db"
    enrol(path, keys[0])
    enrol(tmp_path / "other.db")
    with Gallery.open(path, key_file=keys[0]) as gallery:
        gallery.rename(PEOPLE[0], "ada")
        target = keys[0] if what == "old.key" else tmp_path / what
        before = target.read_bytes() if target.exists() else None
        with pytest.raises(FacewiseError, match=r"is a key|is a database|of the gallery itself"):
            gallery.export(target)
        assert (target.read_bytes() if target.exists() else None) == before
    if before is not None and what != "t.db-wal":
        with pytest.raises(FacewiseError, match=r"is a key|is a database"):
            write_bytes(target, b"result")
        assert read_key_file(keys[0])


@pytest.mark.skipif(os.name != "posix", reason="owners")
def test_an_index_of_another_user_is_not_used(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("To give a file away needs root.")
    path, index = tmp_path / "t.db", tmp_path / "t.db.index"
    enrol(path)
    with Gallery.open(path) as gallery:
        found(gallery, PEOPLE[:1])
    os.chown(index, 12345, -1)
    before = index.read_bytes()
    with pytest.raises(snapshot.ForeignError, match="another user"):
        snapshot.read(index)
    with Gallery.open(path) as gallery:
        gallery.remove(PEOPLE[0])
    assert index.read_bytes() == before
