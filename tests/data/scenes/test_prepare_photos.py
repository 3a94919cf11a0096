"""Pseudo-labels: what several looks agree on, kept on disk, made once."""

from __future__ import annotations

import numpy as np
import pytest

from facewise.data.scenes import PhotoStore, prepare, prepare_photos
from facewise.data.scenes.labels import label
from facewise.data.scenes.prepare import clear_of
from facewise.data.synthetic import SyntheticSource
from facewise.errors import DatasetError
from facewise.types import Face
from scene_photos import drawn_store, labeller
from tiny_models import landmarks_of


class Discs:
    """Photos of discs, two of each person."""

    def __init__(self, draw, count=12):
        self.name, self.draw = "discs", draw
        self.keys = tuple(f"{i:02d}.png" for i in range(count))
        self.labels = np.arange(count) // 2
        self.names = tuple(f"P{i}" for i in range(count // 2))
        self.reads = 0

    def read(self, index):
        self.reads += 1
        return self.draw([] if index == 5 else [(70 + index, 60, 48)], size=(120, 180))


def test_labels_are_where_the_face_is(tiny_detector_file, drawn_photo):
    found = label(labeller(tiny_detector_file), drawn_photo([(80.5, 61, 50)], size=(140, 200)))
    assert found.sure.tolist() == [True]
    assert found.usable
    np.testing.assert_allclose(found.boxes[0], [55.5, 36, 105.5, 86], atol=1.5)
    np.testing.assert_allclose(found.landmarks[0], landmarks_of(80.5, 61, 50), atol=1.0)
    assert len(found.anything) >= 1


class Fickle:
    """Sees the face elsewhere, or not, from the second look on."""

    def __init__(self, shift, *, blind=0):
        self.shift, self.blind, self.looks = shift, blind, 0

    def detect(self, image, *, threads=None):  # noqa: ARG002
        self.looks += 1
        if self.looks > 4 - self.blind:
            return []
        scale = image.shape[0] / 100
        mirrored = self.looks % 2 == 0
        box = np.array([30, 30, 70, 80], np.float32)
        marks = np.array([[40, 45], [60, 45], [50, 55], [42, 66], [58, 66]], np.float32)
        marks = marks + (self.shift if self.looks > 1 else 0)
        if mirrored:  # the photo is symmetric
            marks = np.array([100, 0]) + marks[[1, 0, 2, 4, 3]] * np.array([-1, 1])
        return [Face(box * scale, 0.9, (marks * scale).astype(np.float32))]


@pytest.mark.parametrize(
    ("detector", "sure"),
    [(Fickle(0), True), (Fickle(0, blind=1), True), (Fickle(0, blind=2), False), (Fickle(15), False)],
)
def test_looks_that_contradict_each_other_are_not_learned_from(detector, sure):
    found = label(detector, np.zeros((100, 100, 3), np.uint8))
    assert len(found.boxes) == 1
    assert found.usable == sure
    assert len(found.anything) == 1


def test_photos_without_an_agreed_face_are_left_out_and_counted(tmp_path, tiny_detector_file, drawn_photo):
    store = prepare_photos(
        tmp_path, {"discs": Discs(drawn_photo)}, labeller(tiny_detector_file), held_out=0.4
    )
    assert store.dropped == ("discs/05.png",)
    assert len(store) == 11
    assert "discs/05.png" not in store.keys
    by_person = {}
    for key, out in zip(store.keys, store.held_out, strict=True):
        by_person.setdefault(int(key[6:8]) // 2, set()).add(bool(out))
    assert all(len(kinds) == 1 for kinds in by_person.values()), "a person is held out whole"
    assert 0 < store.held_out.sum() < len(store)


def test_work_that_was_cut_off_goes_on(tmp_path, tiny_detector_file, drawn_photo, monkeypatch):
    monkeypatch.setattr(prepare, "_PART", 4)
    source, detector = Discs(drawn_photo), labeller(tiny_detector_file)
    whole = prepare_photos(tmp_path / "a", {"discs": source}, detector)
    (tmp_path / "a" / "00001.npz").unlink()
    (tmp_path / "a" / "00002.npz").unlink()
    with pytest.raises(DatasetError, match="prepare them again"):
        PhotoStore(tmp_path / "a")
    source.reads = 0
    again = prepare_photos(tmp_path / "a", {"discs": source}, detector)
    assert source.reads == 8
    assert again.keys == whole.keys
    for i in range(len(whole)):
        np.testing.assert_array_equal(again[i].levels[0], source.read(int(whole.keys[i][6:8])))
        np.testing.assert_array_equal(again[i].boxes, whole[i].boxes)


def test_other_photos_in_the_same_folder_are_refused(tmp_path, tiny_detector_file, drawn_photo):
    detector = labeller(tiny_detector_file)
    prepare_photos(tmp_path, {"discs": Discs(drawn_photo, 4)}, detector)
    with pytest.raises(DatasetError, match="other photos"):
        prepare_photos(tmp_path, {"discs": Discs(drawn_photo, 6)}, detector)


def test_pixels_cut_short_are_noticed(tmp_path, tiny_detector_file, drawn_photo):
    prepare_photos(tmp_path, {"discs": Discs(drawn_photo, 4)}, labeller(tiny_detector_file))
    path = tmp_path / "00000.pixels"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DatasetError, match="damaged"):
        PhotoStore(tmp_path)


def test_drawn_people_bring_their_truth(tmp_path, tiny_detector_file):
    store = drawn_store(tmp_path, tiny_detector_file, people=2)
    source = SyntheticSource(2, 2, seed=3, size=96, difficulty=0.2)
    assert store.drawn.all()
    for i in range(len(store)):
        np.testing.assert_allclose(store[i].landmarks[0], source.truth(i).landmarks, atol=1e-4)
        np.testing.assert_array_equal(store[i].levels[0], source.read(i))
        assert store[i].levels[1].shape[:2] == (48, 48)


def test_clear_places_hold_no_face():
    image = np.zeros((200, 300, 3), np.uint8)
    boxes = np.array([[100, 60, 160, 130], [20, 90, 60, 140]], np.float32)
    found = clear_of(boxes, image)
    assert len(found) >= 2
    for x1, y1, x2, y2 in found:
        assert 0 <= x1 < x2 <= 300
        assert 0 <= y1 < y2 <= 200
        for box in boxes:
            assert x2 <= box[0] or x1 >= box[2] or y2 <= box[1] or y1 >= box[3]
