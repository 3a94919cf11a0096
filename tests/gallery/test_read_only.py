"""A gallery that cannot be written, as on a container's volume or a snapshot: read as ever, changed not."""

import os
import shutil
import sqlite3
import subprocess

import pytest
from gallery_fakes import FINGERPRINT, face_of

from facewise.errors import GalleryError, ReadOnlyError
from facewise.gallery import Gallery, Sample, live, snapshot
from facewise.gallery.rekey import rekey
from facewise.vault import new_key_file


def mount(*words):
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("A read-only file system needs root and mount: NOT TESTED HERE.")
    done = subprocess.run(["mount", *words], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"It cannot be mounted: NOT TESTED HERE ({done.stderr.decode().strip()}).")


@pytest.fixture
def folder(tmp_path):
    """Where the gallery is written."""
    (tmp_path / "written").mkdir()
    return tmp_path / "written"


@pytest.fixture
def view(tmp_path, folder):
    """The same folder, as one who may only read it has it."""
    seen = tmp_path / "read"
    seen.mkdir()
    mount("--bind", str(folder), str(seen))
    try:
        mount("-o", "remount,bind,ro", str(seen))
        yield seen
    finally:
        subprocess.run(["umount", "-l", str(seen)], check=True)


def enrol(gallery, *names):
    for name in names:
        photo = Sample(face_of(name, 0), photo=b"\xff\xd8" + name.encode())
        gallery.enroll_embeddings(name, [photo], fingerprint=FINGERPRINT)


def names(gallery):
    return [person.name for person in gallery.people()]


def best(gallery, name):
    (found,) = gallery.identify_embeddings(face_of(name, 1), fingerprint=FINGERPRINT)
    return found.candidates[0].name


@pytest.mark.parametrize("encrypted", [False, True])
def test_it_is_read_and_not_changed(folder, view, tmp_path, encrypted):
    key = None
    if encrypted:
        key = tmp_path / "k"
        new_key_file(key)
    with Gallery.open(folder / "g.db", key_file=key) as gallery:
        enrol(gallery, "Ada", "Bob")
    before = (folder / "g.db").read_bytes()
    with Gallery.open(view / "g.db", key_file=key) as gallery:
        assert names(gallery) == ["Ada", "Bob"]
        assert best(gallery, "Bob") == "Bob"
        assert gallery.photo(gallery.show("Ada").samples[0].id) == b"\xff\xd8Ada"
        assert gallery.check() == []
        assert gallery.export(tmp_path / "e.npz") == 2
        for change in (
            lambda: enrol(gallery, "Cid"),
            lambda: gallery.remove("Ada"),
            lambda: gallery.rename("Ada", "Eve"),
            lambda: gallery.merge("Ada", "Bob"),
        ):
            with pytest.raises(ReadOnlyError, match="cannot be written, it is read-only here"):
                change()
        assert names(gallery) == ["Ada", "Bob"]
    with pytest.raises(GalleryError, match="cannot be written, it is read-only here"):
        rekey(view / "g.db", key, None)
    assert (folder / "g.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["g.db"]


def test_what_others_write_meanwhile_is_seen(folder, view):
    with Gallery.open(folder / "g.db") as theirs:
        enrol(theirs, "Ada")
    with Gallery.open(view / "g.db") as ours:
        assert best(ours, "Bob") == "Ada"
        with Gallery.open(folder / "g.db") as theirs:
            enrol(theirs, "Bob")
            assert best(ours, "Bob") == "Bob"
            theirs.remove("Ada")
            assert best(ours, "Ada") == "Bob"
            enrol(theirs, "Cid")
            assert names(ours) == ["Bob", "Cid"]
        assert names(ours) == ["Bob", "Cid"]
        with Gallery.open(folder / "g.db") as theirs:
            enrol(theirs, "Dan")
        assert best(ours, "Dan") == "Dan"


def test_a_log_that_nobody_has_open_is_not_passed_over(folder, view, tmp_path):
    with Gallery.open(folder / "g.db") as gallery:
        enrol(gallery, "Ada")
        for name in ("g.db", "g.db-wal"):
            shutil.copy(folder / name, tmp_path / name)
    for path in folder.iterdir():
        path.unlink()
    for name in ("g.db", "g.db-wal"):  # as after a power cut
        shutil.copy(tmp_path / name, folder / name)
    assert (folder / "g.db-wal").stat().st_size
    with pytest.raises(GalleryError, match=r"changes in g\.db-wal that cannot be read .* copy both files"):
        Gallery.open(view / "g.db")


def test_an_index_beside_it_is_used_and_left(folder, view, monkeypatch):
    monkeypatch.setattr(live, "SMALL", 3)
    people = [f"person {i}" for i in range(8)]
    with Gallery.open(folder / "g.db") as gallery:
        enrol(gallery, *people)
        best(gallery, people[0])
    index = snapshot.path_of(str(folder / "g.db"))
    if not index.exists():
        with Gallery.open(folder / "g.db") as gallery:
            best(gallery, people[0])
    with Gallery.open(folder / "g.db") as gallery:  # the index is of before this
        gallery.merge(people[1], people[2])
        enrol(gallery, "new")
    before = index.read_bytes()
    with Gallery.open(view / "g.db") as gallery:
        assert best(gallery, people[2]) == people[1]
        assert best(gallery, "new") == "new"
        with Gallery.open(folder / "g.db") as theirs:
            theirs.remove(people[5])
        assert best(gallery, people[5]) != people[5]
    assert index.exists()
    assert len(index.read_bytes()) == len(before)


def test_one_of_an_older_facewise_says_what_to_do(folder, view):
    with Gallery.open(folder / "g.db"):
        pass
    db = sqlite3.connect(folder / "g.db")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(GalleryError, match="of an older Facewise, and read-only here: open it once"):
        Gallery.open(view / "g.db")


def test_a_missing_one_is_told(view):
    with pytest.raises(GalleryError, match="cannot be created: Read-only file system"):
        Gallery.open(view / "g.db")
    with pytest.raises(GalleryError, match="There is no gallery"):
        Gallery.open(view / "g.db", create=False)
