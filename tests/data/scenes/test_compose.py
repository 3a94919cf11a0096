"""Composed scenes: reproducible, and true."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from facewise.data.scenes import KINDS, Mixture, Pool, compose, face_free
from facewise.errors import SettingError
from scene_photos import drawn_store


def only(kind, **options):
    return Mixture(**{name: float(name == kind) for name in KINDS}, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_detector_file):
    return drawn_store(tmp_path_factory.mktemp("scenes"), tiny_detector_file)


@pytest.fixture(scope="module")
def pool(store):
    return Pool(store, held_out=False)


def same(a, b):
    return (
        a.kind == b.kind
        and np.array_equal(a.image, b.image)
        and np.array_equal(a.boxes, b.boxes)
        and np.array_equal(a.landmarks, b.landmarks)
        and np.array_equal(a.ignore, b.ignore)
    )


def test_a_scene_is_the_same_whatever_came_before_and_wherever(pool):
    forward = [compose(pool, 5, number, (128, 160)) for number in range(6)]
    other = pickle.loads(pickle.dumps(pool))
    backward = [compose(other, 5, number, (128, 160)) for number in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not same(forward[0], compose(pool, 6, 0, (128, 160)))
    assert not same(forward[0], forward[1])


@pytest.mark.parametrize("kind", KINDS)
def test_truth_lies_where_it_can(pool, kind):
    faces = 0
    for number in range(12):
        scene = compose(pool, 1, number, (160, 192), only(kind))
        assert scene.kind == kind
        assert scene.image.shape == (160, 192, 3)
        assert scene.image.dtype == np.uint8
        edge = np.array([192, 160, 192, 160])
        assert (scene.boxes >= -1e-3).all()
        assert (scene.boxes <= edge + 1e-3).all()
        assert (scene.boxes[:, 2:] >= scene.boxes[:, :2]).all()
        assert (scene.landmarks[scene.seen] >= 0).all()
        assert (scene.landmarks[scene.seen] <= [192, 160]).all()
        counted = scene.boxes[~scene.ignore]
        assert ((counted[:, 2:] - counted[:, :2]).min(axis=1, initial=np.inf) >= 11).all()
        faces += len(counted)
    assert (faces == 0) == (kind == "empty")


def test_landmarks_of_whole_faces_lie_in_their_boxes(pool):
    for number in range(20):
        scene = compose(pool, 2, number, (192, 192), only("crowd"))
        whole = ~scene.ignore & scene.seen.all(axis=1)
        for box, marks in zip(scene.boxes[whole], scene.landmarks[whole], strict=True):
            margin = 0.15 * (box[2:] - box[:2])
            assert (marks >= box[:2] - margin).all()
            assert (marks <= box[2:] + margin).all()


def test_crowds_have_many_faces_that_do_not_hide_each_other(pool):
    scenes = [compose(pool, 3, number, (320, 320), only("crowd", smallest=16)) for number in range(12)]
    counts = [len(scene.boxes) for scene in scenes]
    assert max(counts) > 8
    assert max(counts) <= 30
    assert min(counts) >= 1
    ignored = sum(int(scene.ignore.sum()) for scene in scenes)
    assert ignored < 0.25 * sum(counts)


def test_plain_photos_keep_their_pixels(store, pool):
    found = 0
    for number in range(8):
        scene = compose(pool, 4, number, (96, 96), only("plain", developed=0))
        pixels = [store[i].levels[0] for i in range(len(store)) if not store.held_out[i]]
        found += any(
            np.array_equal(scene.image, p) or np.array_equal(scene.image, p[:, ::-1]) for p in pixels
        )
    assert found == 8


def test_held_out_photos_are_in_no_other_scenes(store):
    for held_out in (False, True):
        pool, rng = Pool(store, held_out=held_out), np.random.default_rng(0)
        keys = {pool.real(rng).key for _ in range(60)} | {pool.drawn(rng).key for _ in range(60)}
        assert keys == {key for key, out in zip(store.keys, store.held_out, strict=True) if out == held_out}


def test_the_halves_of_what_is_held_out_share_no_photo(store):
    seen = []
    for half in (0, 1):
        pool, rng = Pool(store, held_out=True, half=half), np.random.default_rng(0)
        seen.append({pool.real(rng).key for _ in range(60)})
    assert all(seen)
    assert not seen[0] & seen[1]


def test_face_free_pictures_differ_and_repeat(pool):
    pictures = [face_free(pool, 0, number, (60, 80)) for number in range(4)]
    assert all(picture.shape == (60, 80, 3) for picture in pictures)
    np.testing.assert_array_equal(pictures[2], face_free(pool, 0, 2, (60, 80)))
    assert not np.array_equal(pictures[0], pictures[1])


def test_shares_that_are_none_are_refused():
    with pytest.raises(SettingError, match="add up to 1"):
        Mixture(plain=0.9)
