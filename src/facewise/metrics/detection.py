"""Average precision of a detector: how many faces it finds, at how many false alarms, over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.boxes import intersection_over_first, intersection_over_union
from facewise.errors import SettingError

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionCurve:
    """Precision over recall.

    Attributes:
        average_precision: Area under precision over recall, precision made to fall; NaN without any face.
        faces: How many there were to find.
        recall: (D,) after each detection, the most confident first.
        precision: (D,) likewise.
        scores: (D,) of the detections that count.
    """

    average_precision: float
    faces: int
    recall: _Floats
    precision: _Floats
    scores: _Floats

    def recall_at(self, threshold: float) -> float:
        """Share of the faces found by detections at or above a score."""
        passed = int((self.scores >= threshold).sum())
        return float(self.recall[passed - 1]) if passed else 0.0


class DetectionMeter:
    """Average precision over pictures (Everingham et al. 2010, PASCAL VOC, sec. 4.2, at every recall).

    In each picture the detections, the most confident first, take the face not yet taken that they overlap
    most. One without a face counts as false, unless it lies on what is to be ignored, or its size is out of
    the range that is asked for (Lin et al. 2014, COCO, 1405.0312).

    Examples:
        >>> meter = DetectionMeter()
        >>> meter.update([[0, 0, 10, 10]], [0.9], [[1, 0, 10, 10]])
        >>> meter.compute().average_precision
        1.0
    """

    def __init__(self, overlap: float = 0.5, *, size: tuple[float, float] = (0.0, np.inf)) -> None:
        """Begin.

        Args:
            overlap: Intersection over union from which a detection is a face.
            size: Only faces whose shorter side is at least the first and below the second, in pixels.

        Raises:
            SettingError: The overlap is not in (0, 1].
        """
        if not 0 < overlap <= 1:
            raise SettingError(f"The overlap must be above 0 and at most 1, not {overlap}.")
        self.overlap, self.size = overlap, size
        self._scores: list[_Floats] = []
        self._hits: list[NDArray[np.bool_]] = []
        self._faces = 0

    def update(
        self, boxes: ArrayLike, scores: ArrayLike, truth: ArrayLike, ignore: ArrayLike | None = None
    ) -> None:
        """Add a picture.

        Args:
            boxes: (D, 4) found: x1, y1, x2, y2.
            scores: (D,) of them.
            truth: (F, 4) to be found.
            ignore: (F,) True for what is neither to be found nor a false alarm; None is none of them.

        Raises:
            SettingError: Shapes that do not belong together.
        """
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        confidence = np.asarray(scores, np.float64).reshape(-1)
        faces = np.asarray(truth, np.float64).reshape(-1, 4)
        ignored = np.zeros(len(faces), bool) if ignore is None else np.asarray(ignore, bool).reshape(-1)
        if len(found) != len(confidence) or len(faces) != len(ignored):
            raise SettingError("Each box needs one score, and each face one ignore flag.")
        order = np.argsort(-confidence, kind="stable")
        found, confidence = found[order], confidence[order]
        ignored = ignored | ~self._in_range(faces)
        counted = np.flatnonzero(~ignored)
        hit, dropped = self._match(found, faces, counted, ignored)
        kept = ~dropped
        self._scores.append(confidence[kept])
        self._hits.append(hit[kept])
        self._faces += len(counted)

    def _match(
        self, found: _Floats, faces: _Floats, counted: NDArray[np.intp], ignored: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        overlaps = intersection_over_union(found[:, None], faces[None])
        inside = intersection_over_first(found[:, None], faces[None])
        free = np.ones(len(faces), bool)
        hit, dropped = np.zeros(len(found), bool), ~self._in_range(found)
        for i in range(len(found)):
            open_faces = counted[free[counted]]
            if len(open_faces):
                best = open_faces[int(np.argmax(overlaps[i, open_faces]))]
                if overlaps[i, best] >= self.overlap:
                    free[best], hit[i], dropped[i] = False, True, False
                    continue
            on_ignored = np.maximum(overlaps[i], inside[i])[ignored] >= self.overlap
            dropped[i] |= bool(on_ignored.any())
        return hit, dropped

    def _in_range(self, boxes: _Floats) -> NDArray[np.bool_]:
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
        found: NDArray[np.bool_] = (sides >= self.size[0]) & (sides < self.size[1])
        return found

    def compute(self) -> DetectionCurve:
        """The curve over all pictures so far."""
        scores = np.concatenate([np.empty(0), *self._scores])
        order = np.argsort(-scores, kind="stable")
        hits = np.concatenate([np.empty(0, bool), *self._hits])[order]
        right = np.cumsum(hits)
        precision = right / np.arange(1, len(hits) + 1)
        recall = right / max(1, self._faces)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        area = float((falling * hits).sum() / self._faces) if self._faces else float("nan")
        return DetectionCurve(area, self._faces, recall, precision, scores[order])
