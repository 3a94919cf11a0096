"""What each anchor should say."""

from __future__ import annotations

import numpy as np
import pytest

from facewise.boxes import intersection_over_union
from facewise.data.scenes import Scene
from facewise.detection.base import make_decoder
from facewise.nn.detectors.small import MIN_SIZES, STRIDES, VARIANCES
from facewise.training.detection.targets import anchors_of, assign, joined

SIZE = (96, 128)
OPTIONS = {"name": "retinaface", "strides": STRIDES, "min_sizes": MIN_SIZES, "variances": VARIANCES}


def scene_of(boxes, ignore=None, seen=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    unit = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    marks = boxes[:, None, :2] + unit * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Scene(
        np.zeros((*SIZE, 3), np.uint8),
        "drawn",
        boxes,
        marks.astype(np.float32),
        np.ones((len(boxes), 5), bool) if seen is None else np.array(seen),
        np.zeros(len(boxes), bool) if ignore is None else np.array(ignore),
    )


def decoded(targets, anchors):
    """The faces that anchors would show which say exactly what they should."""
    boxes, marks = np.zeros((1, anchors, 4), np.float32), np.zeros((1, anchors, 10), np.float32)
    boxes[0, targets.places], marks[0, targets.places] = targets.boxes, targets.landmarks
    scores = (targets.labels == 1).astype(np.float32)[None]
    return make_decoder(OPTIONS).decode([boxes, scores, marks], SIZE, 0.5)[0]


def test_anchors_that_say_what_they_should_show_the_faces():
    scene = scene_of([[10, 12, 40, 52], [60, 20, 76, 42], [80, 5, 127, 60]])
    targets = assign(scene)
    found = decoded(targets, len(anchors_of(SIZE)))
    overlaps = intersection_over_union(found.boxes[:, None], scene.boxes[None])
    np.testing.assert_allclose(overlaps.max(axis=1), 1, atol=1e-3)
    assert set(overlaps.argmax(axis=1)) == {0, 1, 2}, "every face has an anchor"
    np.testing.assert_allclose(found.landmarks, scene.landmarks[overlaps.argmax(axis=1)], atol=1e-2)
    corners = anchors_of(SIZE)
    corners = np.concatenate(
        [corners[:, :2] - corners[:, 2:] / 2, corners[:, :2] + corners[:, 2:] / 2], axis=1
    )
    best = intersection_over_union(corners[:, None], scene.boxes[None]).max(axis=1)
    assert (targets.labels[best >= 0.35] == 1).all()
    assert (targets.labels[best < 0.1] == 0).all()


def test_what_is_to_be_ignored_is_neither_learned_nor_denied():
    ignored = assign(scene_of([[10, 12, 40, 52]], ignore=[True]))
    assert (ignored.labels == 1).sum() == 0
    assert (ignored.labels == -1).sum() > 0
    undecided = anchors_of(SIZE)[ignored.labels == -1]
    assert (np.abs(undecided[:, 0] - 25) < 60).all()
    both = assign(scene_of([[10, 12, 40, 52], [10, 12, 40, 52]], ignore=[True, False]))
    np.testing.assert_array_equal(both.places, assign(scene_of([[10, 12, 40, 52]])).places)


def test_landmarks_that_are_not_seen_have_no_weight():
    targets = assign(scene_of([[10, 12, 40, 52]], seen=[[True, False, True, True, False]]))
    assert len(targets.places)
    np.testing.assert_array_equal(
        targets.weights, np.tile([1, 1, 0, 0, 1, 1, 1, 1, 0, 0], (len(targets.places), 1))
    )


def teacher_for(scene, shift, score=0.9, marks_shift=0.0):
    """Raw answers that show the first face, moved by `shift` pixels, at every anchor."""
    anchors = anchors_of(SIZE)
    middle = (scene.boxes[0, :2] + scene.boxes[0, 2:]) / 2 + shift
    extent = scene.boxes[0, 2:] - scene.boxes[0, :2]
    boxes = np.concatenate(
        [(middle - anchors[:, :2]) / (0.1 * anchors[:, 2:]), np.log(extent / anchors[:, 2:]) / 0.2], axis=1
    )
    marks = (scene.landmarks[0] + shift + marks_shift - anchors[:, None, :2]) / (0.1 * anchors[:, None, 2:])
    return (
        boxes.astype(np.float32),
        np.full(len(anchors), score, np.float32),
        marks.reshape(-1, 10).astype(np.float32),
    )


@pytest.mark.parametrize(
    ("shift", "score", "marks_shift", "followed"),
    [(1.0, 0.9, 0.0, True), (1.0, 0.4, 0.0, False), (20.0, 0.9, 0.0, False), (0.0, 0.9, 6.0, False)],
)
def test_a_teacher_is_followed_where_it_is_right(shift, score, marks_shift, followed):
    scene = scene_of([[30, 22, 70, 76]])
    truth = assign(scene)
    teacher = teacher_for(scene, shift, score, marks_shift)
    targets = assign(scene, teacher)
    found = decoded(targets, len(targets.labels)).landmarks.mean(axis=0)
    expected = scene.landmarks[0] + (shift if followed else 0)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert set(truth.places) <= set(targets.places)
    if followed:
        assert len(targets.places) > len(truth.places), "anchors beside the face where it sees it too"


def test_a_batch_joins_scenes():
    scenes = [
        assign(scene_of([[10, 12, 40, 52]])),
        assign(scene_of([])),
        assign(scene_of([[60, 20, 76, 42]])),
    ]
    batch = joined(scenes)
    assert batch.labels.shape == (3, len(anchors_of(SIZE)))
    flat = batch.labels.reshape(-1)
    assert (flat[batch.places] == 1).all()
    assert int((flat == 1).sum()) == len(batch.places) == len(batch.boxes) == len(batch.weights)
