"""Pseudo-labels: what a detector says of a photo, where several looks at it agree.

One look is noisy: the public RetinaFace moves its landmarks by 4.5 % of the eye distance (median over LFW)
when the photo is mirrored. The mean over looks is steadier, and looks that contradict each other tell which
answers not to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.boxes import intersection_over_union
from facewise.detection import Detector, non_maximum_suppression
from facewise.types import Face, FloatArray, Image

SCALES = (1.0, 1.3)
"""Every photo is looked at in these sizes, each as it is and mirrored."""

LEAST_SCORE = 0.05
"""The detector's threshold for labelling: whatever it takes for a face at all is no background."""

MIRRORED = np.array([1, 0, 2, 4, 3])
"""Order of the five landmarks in the mirror."""

_SURE_SCORE = 0.5
_DOUBTFUL_SCORE = 0.25
_SAME = 0.5
_LANDMARKS_APART = 0.06
_BOXES_ALIKE = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Faces of one photo.

    Attributes:
        boxes: (F, 4) float32 `[x1, y1, x2, y2]`, the main face first.
        landmarks: (F, 5, 2) float32.
        sure: (F,) whether the looks agree; the others may be faces and must be neither learned nor denied.
        anything: (K, 4) float32 boxes of all that was taken for a face in any look, however faintly.
    """

    boxes: FloatArray
    landmarks: FloatArray
    sure: NDArray[np.bool_]
    anything: FloatArray

    @property
    def usable(self) -> bool:
        """Whether the looks agree on the photo's main face."""
        return len(self.sure) > 0 and bool(self.sure[0])


def label(detector: Detector, image: Image) -> Labels:
    """Look at a photo in several ways and keep what they agree on.

    Args:
        detector: With a score threshold of `LEAST_SCORE`.
        image: (H, W, 3) RGB uint8.
    """
    looks = [_look(detector, image, scale, mirror=mirror) for scale in SCALES for mirror in (False, True)]
    taken: list[set[int]] = [set() for _ in looks]
    faces = []
    for start, look in enumerate(looks):
        for i, face in enumerate(look):
            if i in taken[start] or face.score < _DOUBTFUL_SCORE:
                continue
            same = [face]
            taken[start].add(i)
            for other in range(start + 1, len(looks)):
                match = _match(face, looks[other], taken[other])
                if match is not None:
                    taken[other].add(match)
                    same.append(looks[other][match])
            faces.append(_merge(same, len(looks), seen_first=start == 0))
    boxes = np.array([face[0] for face in faces], np.float32).reshape(-1, 4)
    marks = np.array([face[1] for face in faces], np.float32).reshape(-1, 5, 2)
    every = [face for look in looks for face in look]
    return Labels(boxes, marks, np.array([face[2] for face in faces], bool), _distinct(every))


def _look(detector: Detector, image: Image, scale: float, *, mirror: bool) -> list[Face]:
    height, width = image.shape[:2]
    size = (round(width * scale), round(height * scale))
    seen = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    seen = np.ascontiguousarray(seen[:, ::-1] if mirror else seen, np.uint8)
    ratio = np.array([width / size[0], height / size[1]], np.float32)
    found = []
    for face in detector.detect(seen, threads=1):
        box, marks = face.box * np.tile(ratio, 2), face.landmarks * ratio
        if mirror:
            box = np.array([width - box[2], box[1], width - box[0], box[3]], np.float32)
            marks = (np.array([width, 0], np.float32) + marks * np.array([-1, 1], np.float32))[MIRRORED]
        found.append(Face(box, face.score, marks.astype(np.float32)))
    return found


def _match(face: Face, others: Sequence[Face], taken: set[int]) -> int | None:
    if not others:
        return None
    overlaps = intersection_over_union(face.box, np.stack([other.box for other in others]))
    overlaps[list(taken)] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _SAME else None


def _merge(same: Sequence[Face], looks: int, *, seen_first: bool) -> tuple[FloatArray, FloatArray, bool]:
    boxes, marks = np.stack([f.box for f in same]), np.stack([f.landmarks for f in same])
    box, mark = boxes.mean(axis=0), marks.mean(axis=0)
    size = float(np.sqrt(max(np.prod(box[2:] - box[:2]), 1e-6)))
    apart = float(np.linalg.norm(marks - mark, axis=2).mean(axis=1).max()) / size
    sure = (
        seen_first
        and len(same) >= looks - 1
        and float(np.mean([f.score for f in same])) >= _SURE_SCORE
        and apart <= _LANDMARKS_APART
        and bool((intersection_over_union(boxes, box) >= _BOXES_ALIKE).all())
    )
    return box, mark, sure


def _distinct(faces: Sequence[Face]) -> FloatArray:
    if not faces:
        return np.empty((0, 4), np.float32)
    boxes = np.stack([face.box for face in faces])
    scores = np.array([face.score for face in faces], np.float32)
    return boxes[non_maximum_suppression(boxes, scores, 0.6)]
