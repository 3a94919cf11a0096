"""The store of crops: it holds what the source has, refuses damage, is found again, names what it drops."""

import errno
import hashlib
import json
import os
import pickle
import threading
from collections import namedtuple

import cv2
import numpy as np
import pytest

from facewise.data import store_build
from facewise.data.source import FileSource, Source, Subset, check
from facewise.data.store import CropStore
from facewise.data.store_build import build_store, cached_store, identity
from facewise.errors import DatasetError, FacewiseError

SIZE = 16


def picture(seed, height=SIZE, width=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


@pytest.fixture
def source(tmp_path):
    """Seven photos of three people."""
    keys = [f"{name}/{i}.png" for name, photos in (("ada", 3), ("ben", 1), ("cy", 3)) for i in range(photos)]
    for seed, key in enumerate(keys):
        write(tmp_path / "photos" / key, picture(seed))
    return FileSource(
        "people", tmp_path / "photos", keys, np.array([0, 0, 0, 1, 2, 2, 2]), ["ada", "ben", "cy"]
    )


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))


def count_reads(monkeypatch):
    reads = []
    read = FileSource.read
    monkeypatch.setattr(FileSource, "read", lambda self, index: reads.append(index) or read(self, index))
    return reads


def test_a_store_is_a_source_of_the_same_crops(source, tmp_path):
    told = []
    store = build_store(source, tmp_path / "s", SIZE, threads=3, progress=lambda *at: told.append(at))
    for same in (store, CropStore.open(tmp_path / "s"), pickle.loads(pickle.dumps(store))):
        assert isinstance(same, Source)
        check(same)
        assert (same.name, same.keys, same.names) == (source.name, source.keys, source.names)
        np.testing.assert_array_equal(same.labels, source.labels)
        assert (len(same), same.size, same.dropped, same.resized) == (7, SIZE, (), 0)
        for i in range(7):
            np.testing.assert_array_equal(same.read(i), source.read(i))
        np.testing.assert_array_equal(same.take([5, 0, 5]), [source.read(i) for i in (5, 0, 5)])
        assert same.data_hash == store.data_hash
        same.verify()
    assert told == [(i + 1, 7) for i in range(7)]
    assert np.load(tmp_path / "s" / "crops.npy").shape == (7, SIZE, SIZE, 3)
    store.read(0)[:] = 0  # a copy
    store.verify()
    assert len(pickle.dumps(store)) < 7 * SIZE * SIZE * 3


def test_the_data_hash_is_of_key_person_and_pixels_and_not_of_order(source, tmp_path):
    store = build_store(source, tmp_path / "s", SIZE)
    total = hashlib.sha256()
    for i in range(7):
        person, pixels = source.names[source.labels[i]], hashlib.sha256(source.read(i).tobytes()).hexdigest()
        total.update(json.dumps([source.keys[i], person, pixels]).encode())
    assert store.data_hash == total.hexdigest()
    turned = build_store(Subset(source, [6, 2, 4, 0, 1, 5, 3]), tmp_path / "t", SIZE)
    assert turned.data_hash == store.data_hash == store.subset([6, 5, 4, 3, 2, 1, 0]).data_hash
    others = [
        build_store(Subset(source, range(6)), tmp_path / "u", SIZE),
        build_store(source, tmp_path / "v", SIZE * 2),
        build_store(
            FileSource("p", source.root, source.keys, source.labels, ["ada", "bo", "cy"]),
            tmp_path / "w",
            SIZE,
        ),
    ]
    assert len({store.data_hash, *(other.data_hash for other in others)}) == 4


def test_a_subset_is_some_crops(source, tmp_path):
    store = build_store(source, tmp_path / "s", SIZE)
    part = store.subset([5, 3])
    assert (part.keys, part.names, part.labels.tolist()) == (("cy/1.png", "ben/0.png"), ("ben", "cy"), [1, 0])
    kept = store.subset([5, 3], keep_names=True)
    assert (kept.names, kept.labels.tolist()) == (source.names, [2, 1])
    for again in (part, kept, pickle.loads(pickle.dumps(part)), store.subset([1, 5, 3]).subset([1, 2])):
        np.testing.assert_array_equal(again.take([0, 1]), [source.read(5), source.read(3)])
        np.testing.assert_array_equal(again.read(1), source.read(3))
        assert again.data_hash == part.data_hash
        again.verify()
    assert part.data_hash == build_store(Subset(source, [3, 5]), tmp_path / "t", SIZE).data_hash
    assert np.shares_memory(part._pixels, store._pixels)


def test_photos_that_cannot_be_used_are_named_and_people_without_any_left_out(source, tmp_path):
    (source.root / "ada/1.png").write_bytes(b"no photo")
    (source.root / "cy/2.png").unlink()
    write(source.root / "ben/0.png", picture(1, 20, 30))
    store = build_store(source, tmp_path / "s", SIZE)
    assert [one.key for one in store.dropped] == ["ada/1.png", "ben/0.png", "cy/2.png"]
    assert "30 × 20 pixels, not square" in store.dropped[1].reason
    assert all("Cannot read" in store.dropped[i].reason for i in (0, 2))
    assert store.keys == ("ada/0.png", "ada/2.png", "cy/0.png", "cy/1.png")
    assert (store.names, store.labels.tolist()) == (("ada", "cy"), [0, 0, 1, 1])
    np.testing.assert_array_equal(store.read(1), source.read(2))
    store.verify()
    for key in store.keys:
        (source.root / key).write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="None of the 7 photos of people"):
        build_store(source, tmp_path / "t", SIZE)
    assert not (tmp_path / "t" / "crops.npy").exists()


def test_photos_of_another_size_are_resized_and_counted(source, tmp_path):
    large, small = picture(50, 2 * SIZE, 2 * SIZE), np.full((5, 5, 3), 77, np.uint8)
    write(source.root / "ada/0.png", large)
    write(source.root / "ada/1.png", small)
    store = build_store(source, tmp_path / "s", SIZE)
    assert store.resized == 2
    means = large.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    np.testing.assert_allclose(store.read(0), means, atol=0.51)
    assert (store.read(1) == 77).all()


def test_the_second_time_nothing_is_read(source, monkeypatch):
    reads = count_reads(monkeypatch)
    first = cached_store(source, SIZE)
    assert len(reads) == 7
    assert cached_store(source, SIZE).data_hash == first.data_hash
    assert len(reads) == 7
    cached_store(source, SIZE, rebuild=True)
    assert len(reads) == 14
    cached_store(source, SIZE + 1)
    assert len(reads) == 21
    cached_store(Subset(source, [0, 1]), SIZE)
    assert len(reads) == 23


def test_a_changed_photo_is_noticed(source):
    first = cached_store(source, SIZE)
    path = source.root / "ada/0.png"
    info = path.stat()
    write(path, picture(99))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 10**9))
    second = cached_store(source, SIZE)
    assert second.folder != first.folder
    np.testing.assert_array_equal(second.read(0), picture(99))


@pytest.mark.parametrize(
    "damage", ["cut pixels", "no pixels", "index", "label", "empty index", "other", "shape"]
)
def test_a_damaged_store_is_refused_and_built_anew(source, damage):
    store = cached_store(source, SIZE)
    index, crops = store.folder / "index.json", store.folder / "crops.npy"
    if damage == "cut pixels":
        os.truncate(crops, crops.stat().st_size - 1)
    elif damage == "no pixels":
        crops.unlink()
    elif damage == "index":
        index.write_bytes(index.read_bytes()[:-9])
    elif damage == "label":
        whole = json.loads(index.read_text())
        whole["index"]["labels"][0] = 1
        index.write_text(json.dumps(whole))
    elif damage == "other":
        index.write_text('["another", "file"]')
    elif damage == "shape":
        np.save(crops, np.zeros((6, SIZE, SIZE, 3), np.uint8))
    else:
        index.write_bytes(b"")
    with pytest.raises(DatasetError, match="build"):
        CropStore.open(store.folder)
    again = cached_store(source, SIZE)
    assert again.data_hash == store.data_hash
    again.verify()


def test_a_changed_pixel_is_found_by_verifying(source):
    store = cached_store(source, SIZE)
    with (store.folder / "crops.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(DatasetError, match=r"cy/2\.png .*damaged"):
        CropStore.open(store.folder).verify()


def test_a_full_disk_is_told_and_leaves_no_pieces(source, monkeypatch, tmp_path):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(store_build.shutil, "disk_usage", lambda _: Usage(9, 9, 100))
    with pytest.raises(FacewiseError, match="FACEWISE_HOME"):
        build_store(source, tmp_path / "s", SIZE)
    monkeypatch.undo()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_build, "_header", full)
    with pytest.raises(FacewiseError, match="No space left"):
        build_store(source, tmp_path / "s", SIZE)
    assert {path.name for path in (tmp_path / "s").iterdir()} <= {".lock"}


def test_an_interrupted_rebuild_is_no_store(source, monkeypatch, tmp_path):
    old = build_store(source, tmp_path / "s", SIZE)
    monkeypatch.setattr(store_build, "write_bytes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_store(Subset(source, [0, 1]), tmp_path / "s", SIZE)
    with pytest.raises(DatasetError, match="no finished store"):
        CropStore.open(tmp_path / "s")
    old.verify()  # whoever had it open keeps it


def test_of_several_that_ask_at_once_one_builds(source, monkeypatch):
    reads, found = count_reads(monkeypatch), []
    threads = [
        threading.Thread(target=lambda: found.append(cached_store(source, SIZE).data_hash)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 7
    assert len(set(found)) == 1
    assert len(found) == 4


class Drawn:
    """A source whose photos are no files."""

    name, keys, names, labels = "drawn", ("0", "1"), ("x", "y"), np.array([0, 1])

    def __init__(self, seed):
        self.seed = seed

    def read(self, index):
        return picture(self.seed + index)


def test_a_source_that_says_nothing_of_itself_is_built_each_time():
    assert identity(Drawn(0)) is None
    for seed in (0, 5):
        np.testing.assert_array_equal(cached_store(Drawn(seed), SIZE).read(1), picture(seed + 1))


def test_a_source_can_say_what_it_is():
    one, same, other = Drawn(0), Drawn(0), Drawn(5)
    one.identity = same.identity = "seed 0"
    other.identity = "seed 5"
    assert (
        cached_store(one, SIZE).folder == cached_store(same, SIZE).folder != cached_store(other, SIZE).folder
    )
    assert identity(Subset(one, [0])) != identity(one)


def test_a_store_can_be_made_from_a_store(source, tmp_path):
    store = build_store(source, tmp_path / "s", SIZE)
    half = cached_store(store.subset([0, 3, 6]), SIZE // 2)
    assert (half.size, half.resized, half.keys) == (8, 3, ("ada/0.png", "ben/0.png", "cy/2.png"))
    assert cached_store(store.subset([0, 3, 6]), SIZE // 2).folder == half.folder


def test_unprintable_keys_come_back(tmp_path):
    odd = Drawn(0)
    odd.keys = ("a\udcff.png", 'näme "quoted"\n.png')
    assert build_store(odd, tmp_path / "s", SIZE).keys == odd.keys


@pytest.mark.parametrize(("size", "threads"), [(0, 1), (16, 0)])
def test_sizes_and_threads_are_positive(source, tmp_path, size, threads):
    with pytest.raises(FacewiseError, match="at least 1"):
        build_store(source, tmp_path / "s", size, threads=threads)
