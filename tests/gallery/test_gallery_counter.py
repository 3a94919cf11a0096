"""An older copy in a gallery's place: told by a counter that is kept elsewhere."""

import errno
import os
import shutil
import sqlite3
import stat
import threading

import pytest
from gallery_fakes import FINGERPRINT, SIZE, sample

from facewise.errors import FacewiseError, GalleryError, SettingError, StorageFullError, UnusableGalleryError
from facewise.gallery import Gallery, Space
from facewise.gallery.counter import COUNTER_FILE_VARIABLE
from facewise.gallery.rekey import rekey
from facewise.gallery.sqlite import SqliteStore
from facewise.vault import new_key_file

SPACE = Space(FINGERPRINT, "fake", SIZE, False)


@pytest.fixture
def key(tmp_path):
    new_key_file(tmp_path / "k")
    return tmp_path / "k"


@pytest.fixture
def counter(tmp_path):
    (tmp_path / "safe").mkdir()
    return tmp_path / "safe" / "counters"


def enrol(path, key, counter, *names):
    store = SqliteStore(path, key_file=key, counter_file=counter)
    for name in names:
        store.add([(name, [sample(name)])], SPACE)
    store.close()


def test_an_older_copy_is_refused(tmp_path, key, counter):
    path, copy = tmp_path / "p.db", tmp_path / "copy.db"
    enrol(path, key, counter, "ada")
    shutil.copy(path, copy)
    latest = tmp_path / "latest.db"
    store = SqliteStore(path, key_file=key, counter_file=counter)
    store.remove("ada")
    store.close()
    shutil.copy(path, latest)
    shutil.copy(copy, path)
    for _ in range(2):
        with pytest.raises(GalleryError, match=r"not the latest: it has seen 1 changes, and .* knows of 2"):
            SqliteStore(path, key_file=key, counter_file=counter)
    with pytest.raises(GalleryError, match="is not the latest"):
        rekey(path, key, None, counter)
    SqliteStore(path, key_file=key).close()  # who asks for no counter is told nothing
    shutil.copy(latest, path)
    store = SqliteStore(path, key_file=key, counter_file=counter)
    assert store.people() == []
    store.close()


def test_the_number_in_an_older_copy_cannot_be_raised(tmp_path, key, counter):
    path, copy = tmp_path / "p.db", tmp_path / "copy.db"
    enrol(path, key, counter, "ada")
    shutil.copy(path, copy)
    enrol(path, key, counter, "bob")
    for changes in (
        "generation = 2",
        "generation = 3",
        "generation = 2, state = (SELECT state FROM now.meta)",
    ):
        db = sqlite3.connect(copy)
        db.execute(f"ATTACH '{path}' AS now")
        db.execute(f"UPDATE meta SET {changes}")
        db.commit()
        db.close()
        with pytest.raises(GalleryError, match=r"damaged|not the latest"):
            SqliteStore(copy, key_file=key, counter_file=counter)


def test_a_copy_that_went_its_own_way_is_refused(tmp_path, key, counter):
    path, copy = tmp_path / "p.db", tmp_path / "copy.db"
    enrol(path, key, counter, "ada")
    shutil.copy(path, copy)
    enrol(path, key, counter, "bob")
    enrol(copy, key, None, "eve")
    with pytest.raises(GalleryError, match=r"has seen 2 changes, and .* knows of 2 others"):
        SqliteStore(copy, key_file=key, counter_file=counter)


def test_it_can_be_told_that_an_older_copy_is_to_be_the_latest(tmp_path, key, counter):
    path, copy = tmp_path / "p.db", tmp_path / "copy.db"
    enrol(path, key, counter, "ada")
    enrol(tmp_path / "other.db", key, counter, "x")
    shutil.copy(path, copy)
    enrol(path, key, counter, "bob")
    with pytest.raises(GalleryError) as told:
        SqliteStore(copy, key_file=key, counter_file=counter)
    gallery = str(told.value).split("begins with ")[1].split()[0]
    lines = counter.read_text().splitlines(keepends=True)
    counter.write_text("".join(line for line in lines if not line.startswith(gallery)))
    assert len(counter.read_text().splitlines()) == len(lines) - 1
    enrol(copy, key, counter, "carl")
    enrol(tmp_path / "other.db", key, counter, "y")


def test_what_was_changed_without_the_counter_is_the_latest(tmp_path, key, counter):
    path = tmp_path / "p.db"
    enrol(path, key, counter, "ada")
    enrol(path, key, None, "bob", "carl")
    enrol(path, key, counter)
    copy = path.read_bytes()
    enrol(path, key, counter, "dora")
    path.write_bytes(copy)
    with pytest.raises(GalleryError, match="is not the latest"):
        enrol(path, key, counter)


def test_every_change_counts_and_reading_does_not(tmp_path, key, counter):
    path, store = tmp_path / "p.db", SqliteStore(tmp_path / "p.db", key_file=key, counter_file=counter)
    assert path.exists()
    seen = [counter.read_text()]
    store.add([("ada", [sample("ada"), sample("ada", 2)]), ("bob", [sample("bob")])], SPACE)
    for change in (
        lambda: store.rename("ada", "eve"),
        lambda: store.set_groups("eve", ["g"]),
        lambda: store.remove_sample(1),
        lambda: store.merge("eve", "bob"),
        lambda: store.remove("eve"),
    ):
        seen.append(counter.read_text())
        store.load(), store.people(), store.check()
        store.add([], SPACE)
        assert counter.read_text() == seen[-1]
        change()
        assert counter.read_text() != seen[-1]
    assert stat.S_IMODE(counter.stat().st_mode) == 0o600
    before = counter.read_text()
    with pytest.raises(GalleryError, match=r"no 'nobody'|There is no"):
        store.remove("nobody")
    assert counter.read_text() == before
    store.close()


def test_after_a_new_key_no_copy_of_before_is_the_latest(tmp_path, key, counter, monkeypatch):
    monkeypatch.setenv(COUNTER_FILE_VARIABLE, str(counter))
    path = tmp_path / "p.db"
    enrol(path, key, None, "ada")
    copy = path.read_bytes()
    new_key_file(tmp_path / "new")
    rekey(path, key, tmp_path / "new")
    with Gallery.open(path, key_file=tmp_path / "new") as gallery:
        assert gallery.check() == []
    path.write_bytes(copy)
    with pytest.raises(GalleryError, match="is not the latest"):
        Gallery.open(path, key_file=key)


@pytest.mark.parametrize("content", [b"", b"precious", b"# facewise counters 1\nx\n", b"\xff" * 99])
def test_what_is_no_counter_is_left_alone(tmp_path, key, counter, content):
    counter.write_bytes(content)
    with pytest.raises(FacewiseError, match=r"left alone|is damaged"):
        enrol(tmp_path / "p.db", key, counter, "ada")
    assert counter.read_bytes() == content
    counter.unlink()
    (tmp_path / "theirs").write_bytes(b"# facewise counters 1\n")
    counter.symlink_to(tmp_path / "theirs")
    with pytest.raises(FacewiseError, match="left alone"):
        enrol(tmp_path / "p.db", key, counter, "ada")


def test_where_it_cannot_be_written_nothing_changes(tmp_path, key, counter):
    path = tmp_path / "p.db"
    store = SqliteStore(path, key_file=key, counter_file=counter)
    store.add([("ada", [sample("ada")])], SPACE)
    before = store.state()
    shutil.rmtree(counter.parent)
    counter.parent.write_bytes(b"a file")
    with pytest.raises(UnusableGalleryError, match=r"was not changed, .* Cannot write"):
        store.remove("ada")
    assert store.state() == before
    assert [p.name for p in store.people()] == ["ada"]
    assert store.check() == []
    store.close()
    with pytest.raises(FacewiseError):
        SqliteStore(path, key_file=key, counter_file=counter)


def test_no_room_to_count_is_a_full_disk(tmp_path, key, counter, monkeypatch):
    store = SqliteStore(tmp_path / "p.db", key_file=key, counter_file=counter)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFullError, match="was not changed"):
            store.add([("ada", [sample("ada")])], SPACE)
    assert store.people() == []
    store.add([("ada", [sample("ada")])], SPACE)
    assert store.check() == []
    store.close()
    assert sorted(f.name for f in counter.parent.iterdir()) == ["counters", "counters.lock"]


def test_one_that_others_can_write_is_refused(tmp_path, key, counter):
    enrol(tmp_path / "p.db", key, counter, "ada")
    counter.chmod(0o622)
    with pytest.raises(SettingError, match="chmod go-w"):
        enrol(tmp_path / "p.db", key, counter)


def test_a_name_beside_the_gallery_is_refused(tmp_path, key):
    with pytest.raises(SettingError, match=r"The counter file .* has the name"):
        enrol(tmp_path / "p.db", key, tmp_path / "p.db-wal")


def test_many_writers_at_once_are_no_older_copies(tmp_path, key, counter):
    path, wrong = tmp_path / "p.db", []
    enrol(path, key, counter)

    def write(number):
        try:
            for i in range(8):
                enrol(path, key, counter, f"{number} {i}")
        except FacewiseError as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    with Gallery.open(path, key_file=key, counter_file=counter) as gallery:
        assert len(gallery.people()) == 32
        assert gallery.check() == []
