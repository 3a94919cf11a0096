"""What each anchor of a scene should say: from the scene's truth, and from a detector that is imitated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facewise.boxes import intersection_over_union
from facewise.data.scenes import Scene
from facewise.detection.retinaface import anchors_of as anchors_at
from facewise.nn.detectors.multibox import AnchorTargets
from facewise.nn.detectors.small import MIN_SIZES, STRIDES, VARIANCES
from facewise.types import FloatArray

FACE = 0.35
"""Overlap of an anchor with a face from which it shows the face, as in RetinaFace's training."""

_FORCED = 0.15
_NEAR = 0.28
_TEACHER_SURE = 0.5
_TEACHER_MAYBE = 0.2
_TEACHER_RIGHT = 0.6
_LANDMARKS_APART = 0.06

Answer = tuple[FloatArray, FloatArray, FloatArray]
"""A detector's raw answer to one picture: (A, 4), (A,), (A, 10)."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneTargets:
    """Of one scene; see `AnchorTargets`."""

    labels: NDArray[np.int8]
    places: NDArray[np.int64]
    boxes: FloatArray
    landmarks: FloatArray
    weights: FloatArray


def anchors_of(size: tuple[int, int]) -> FloatArray:
    """(A, 4) centre x, centre y, width, height of the anchors of a picture of (height, width)."""
    return anchors_at(size, STRIDES, MIN_SIZES)


def assign(scene: Scene, teacher: Answer | None = None) -> SceneTargets:
    """Give each anchor its face.

    An anchor shows the face it overlaps most with, if by `FACE`; each face has at least its best anchor.
    Where a teacher is given and its answer at an anchor is right (by the truth), that answer is the target:
    its landmarks depend on where the face lies between anchors, which a mean over many looks cannot say.

    Args:
        scene: With truth.
        teacher: Raw answer of a detector with the same anchors to the same pixels.
    """
    anchors = anchors_of((scene.image.shape[0], scene.image.shape[1]))
    labels = np.zeros(len(anchors), np.int8)
    counted = ~scene.ignore
    boxes, marks, seen = scene.boxes[counted], scene.landmarks[counted], scene.seen[counted]
    corners = np.concatenate(
        [anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], axis=1
    )
    best, overlap = np.zeros(len(anchors), np.int64), np.zeros(len(anchors), np.float32)
    if len(boxes):
        overlaps = intersection_over_union(corners[:, None], boxes[None])
        best, overlap = overlaps.argmax(axis=1), overlaps.max(axis=1)
        labels[overlap >= FACE] = 1
        for face, anchor in enumerate(overlaps.argmax(axis=0)):
            if overlaps[anchor, face] >= _FORCED:
                labels[anchor], best[anchor] = 1, face
    labels[_undecided(corners, anchors, scene.boxes[scene.ignore]) & (labels == 0)] = -1
    if teacher is not None:
        _follow(teacher, anchors, labels, boxes, best, overlap)
    places = np.flatnonzero(labels == 1)
    target = _encoded(anchors[places], boxes[best[places]], marks[best[places]]) if len(places) else _NONE
    box_target, mark_target = target
    weights = np.repeat(seen[best[places]].astype(np.float32), 2, axis=1) if len(places) else _NONE[1]
    if teacher is not None and len(places):
        right = _right(teacher, anchors, places, boxes[best[places]], marks[best[places]])
        box_target[right], mark_target[right] = teacher[0][places[right]], teacher[2][places[right]]
        weights[right] = 1
    return SceneTargets(labels, places, box_target, mark_target, weights)


_NONE = (np.empty((0, 4), np.float32), np.empty((0, 10), np.float32))


def _undecided(corners: FloatArray, anchors: FloatArray, ignored: FloatArray) -> NDArray[np.bool_]:
    """Anchors on what is to be ignored."""
    if not len(ignored):
        return np.zeros(len(corners), bool)
    sides = np.sqrt(np.maximum(np.prod(ignored[:, 2:] - ignored[:, :2], axis=1), 1e-6))
    centre = anchors[:, None, :2]
    inside = ((centre >= ignored[None, :, :2]) & (centre <= ignored[None, :, 2:])).all(axis=2)
    alike = (anchors[:, None, 2] < 4 * sides) & (anchors[:, None, 2] > sides / 4)
    return np.asarray(
        ((inside & alike) | (intersection_over_union(corners[:, None], ignored[None]) >= _NEAR)).any(axis=1)
    )


def _follow(
    teacher: Answer,
    anchors: FloatArray,
    labels: NDArray[np.int8],
    boxes: FloatArray,
    best: NDArray[np.int64],
    overlap: FloatArray,
) -> None:
    """Anchors beside a face where the teacher sees it too are faces; where it half does, undecided."""
    if not len(boxes):
        return
    near = np.flatnonzero((labels == 0) & (overlap > 0.1) & (teacher[1] > _TEACHER_MAYBE))
    if not len(near):
        return
    right = intersection_over_union(_decoded_boxes(anchors[near], teacher[0][near]), boxes[best[near]])
    hits = (right >= _TEACHER_RIGHT) & (teacher[1][near] >= _TEACHER_SURE)
    labels[near] = np.where(hits, 1, np.where(right >= 0.3, -1, 0))


def _right(
    teacher: Answer, anchors: FloatArray, places: NDArray[np.int64], boxes: FloatArray, marks: FloatArray
) -> NDArray[np.bool_]:
    """Where the teacher's answer is near the truth."""
    chosen = anchors[places]
    close = intersection_over_union(_decoded_boxes(chosen, teacher[0][places]), boxes) >= _TEACHER_RIGHT
    shown = chosen[:, None, :2] + teacher[2][places].reshape(-1, 5, 2) * VARIANCES[0] * chosen[:, None, 2:]
    size = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6))
    apart = np.linalg.norm(shown - marks, axis=2).mean(axis=1) / size
    found: NDArray[np.bool_] = close & (apart <= _LANDMARKS_APART) & (teacher[1][places] >= _TEACHER_SURE)
    return found


def _encoded(anchors: FloatArray, boxes: FloatArray, marks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offsets of boxes and landmarks from anchors, what `RetinaFaceDecoder` undoes."""
    shift, stretch = VARIANCES
    centre, side = anchors[:, :2], anchors[:, 2:]
    middle, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    box = np.concatenate([(middle - centre) / (shift * side), np.log(extent / side) / stretch], axis=1)
    mark = (marks - centre[:, None]) / (shift * side[:, None])
    return box.astype(np.float32), mark.reshape(-1, 10).astype(np.float32)


def _decoded_boxes(anchors: FloatArray, offsets: FloatArray) -> FloatArray:
    shift, stretch = VARIANCES
    middle = anchors[:, :2] + offsets[:, :2] * shift * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * stretch, 10)) / 2
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def joined(scenes: Sequence[SceneTargets]) -> AnchorTargets:
    """Targets of a batch of scenes of one size."""
    anchors = len(scenes[0].labels)
    return AnchorTargets(
        labels=torch.from_numpy(np.stack([scene.labels for scene in scenes])),
        places=torch.from_numpy(
            np.concatenate([scene.places + i * anchors for i, scene in enumerate(scenes)])
        ),
        boxes=torch.from_numpy(np.concatenate([scene.boxes for scene in scenes])),
        landmarks=torch.from_numpy(np.concatenate([scene.landmarks for scene in scenes])),
        weights=torch.from_numpy(np.concatenate([scene.weights for scene in scenes])),
    )
