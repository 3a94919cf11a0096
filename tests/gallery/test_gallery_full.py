"""A full disk: told in a sentence, everything before intact, and it goes on when there is room again."""

import contextlib
import os
import shutil
import subprocess

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, face_of

from facewise.errors import FacewiseError, StorageFullError
from facewise.gallery import Gallery, Sample
from facewise.gallery.rekey import rekey
from facewise.vault import new_key_file


@pytest.fixture
def disk(tmp_path):
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("A small file system needs root and mount: NOT TESTED HERE.")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(
            f"A small file system cannot be mounted: NOT TESTED HERE ({done.stderr.decode().strip()})."
        )
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=["plain", "encrypted"])
def key(request, tmp_path):
    if request.param == "plain":
        return None
    new_key_file(tmp_path / "k")
    return tmp_path / "k"


def photo(i):
    return b"\xff\xd8" + np.random.default_rng(i).bytes(10_000)


def enrol(gallery, i):
    samples = [Sample(face_of(f"person {i}", shot, 512), photo=photo(i)) for shot in range(3)]
    gallery.enroll_embeddings(f"person {i}", samples, fingerprint=FINGERPRINT)


def enrol_until_full(gallery, i):
    """How many people are in it then, and what was said."""
    while True:
        try:
            enrol(gallery, i)
        except StorageFullError as error:
            return i, str(error)
        i += 1


def fill_up(path):
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**12))


def whole(gallery, count):
    assert gallery.check() == []
    assert {p.name: p.samples for p in gallery.people()} == {f"person {i}": 3 for i in range(count)}
    probes = np.stack([face_of(f"person {i}", 1, 512) for i in range(count)])
    found = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, top=1)
    assert [f.candidates[0].name for f in found] == [f"person {i}" for i in range(count)]
    assert all(gallery.photo(s.id) == photo(0) for s in gallery.show("person 0").samples)


def test_a_full_disk_during_enrolment(disk, key):
    path = disk / "people.db"
    with Gallery.open(path, key_file=key) as gallery:
        enrol(gallery, 0)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2**20))  # somebody else's file, which goes later
        done, told = enrol_until_full(gallery, 1)
        assert f"The disk is full, so the gallery {path} was not changed" in told
        assert 1 < done < 100
        whole(gallery, done)
        with pytest.raises(StorageFullError):
            enrol(gallery, done)
        whole(gallery, done)
        ballast.unlink()
        enrol(gallery, done)
        whole(gallery, done + 1)
    with Gallery.open(path, create=False, key_file=key) as gallery:
        whole(gallery, done + 1)


def test_reopened_while_the_disk_is_full(disk):
    path = disk / "people.db"
    with Gallery.open(path) as gallery:
        for i in range(5):
            enrol(gallery, i)
    fill_up(disk / "ballast")
    before = path.read_bytes()
    try:
        with Gallery.open(path, create=False) as gallery:
            enrol_until_full(gallery, 5)
    except StorageFullError:  # there was not even room for the log's index
        assert path.read_bytes() == before
    (disk / "ballast").unlink()
    with Gallery.open(path, create=False) as gallery:
        whole(gallery, len(gallery.people()))
        assert len(gallery.people()) >= 5


def test_a_new_gallery_on_a_full_disk(disk):
    fill_up(disk / "ballast")
    with pytest.raises(StorageFullError):
        Gallery.open(disk / "people.db")
    (disk / "ballast").unlink()
    with Gallery.open(disk / "people.db") as gallery:
        enrol(gallery, 0)
        whole(gallery, 1)


def some(path, key):
    """A gallery of 1 MiB of photos of which half are gone, and its people."""
    with Gallery.open(path, key_file=key) as gallery:
        done = 0
        while path.stat().st_size < 2**20:
            enrol(gallery, done)
            done += 1
            gallery.rename(f"person {done - 1}", "somebody")  # which writes the log into the file
            gallery.rename("somebody", f"person {done - 1}")
    return done


@pytest.mark.parametrize("left", [0, 2, 9, 40])
@pytest.mark.parametrize("what", ["remove", "merge", "rename", "rekey", "export"])
def test_done_or_not_at_all_on_a_full_disk(disk, tmp_path, key, what, left):
    """With room for so many pages of 4 KiB."""
    path, out, new = disk / "people.db", disk / "out.npz", tmp_path / "new.key"
    new_key_file(new)
    done = some(path, key)
    fill_up(disk / "ballast")
    with (disk / "ballast").open("r+b") as file:
        file.truncate(max(0, (disk / "ballast").stat().st_size - 4096 * left))
    before, now = {f"person {i}" for i in range(done)}, key
    after = {"remove": before - {"person 1"}, "merge": before - {"person 1"},
             "rename": before - {"person 1"} | {"somebody"}}.get(what, before)  # fmt: skip
    try:
        if what == "rekey":
            rekey(path, key, new)
            now = new
        else:
            with Gallery.open(path, key_file=key, create=False) as gallery:
                match what:
                    case "remove":
                        gallery.remove("person 1")
                    case "merge":
                        gallery.merge("person 0", "person 1")
                    case "rename":
                        gallery.rename("person 1", "somebody")
                    case "export":
                        gallery.export(out)
    except FacewiseError as error:
        # One that says so is done, but its bytes are still in the log.
        after = after if str(error).startswith("This is removed from the gallery") else before
    (disk / "ballast").unlink()
    with Gallery.open(path, create=False, key_file=now) as gallery:
        assert gallery.check() == []
        assert {person.name for person in gallery.people()} == after
        probes = np.stack([face_of(f"person {i}", 1, 512) for i in range(2, done)])
        found = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, top=1)
        assert [f.candidates[0].name for f in found] == [f"person {i}" for i in range(2, done)]
    names = {file.name for file in disk.iterdir()}
    assert names <= {"people.db", "out.npz"}
    if "out.npz" in names:
        with Gallery.open(disk / "copy.db") as copy:
            copy.import_(out)
            assert {person.name for person in copy.people()} == before


def test_no_room_to_rekey(disk, tmp_path):
    path, key = disk / "people.db", tmp_path / "new.key"
    new_key_file(key)
    with Gallery.open(path) as gallery:
        done = 0
        while path.stat().st_size < 1.2 * 2**20:
            enrol(gallery, done)
            done += 1
            gallery.rename(f"person {done - 1}", "somebody")  # which writes the log into the file
            gallery.rename("somebody", f"person {done - 1}")
    with pytest.raises(StorageFullError):
        rekey(path, None, key)
    assert [f.name for f in disk.iterdir()] == ["people.db"]
    with Gallery.open(path, create=False) as gallery:
        whole(gallery, done)
