"""Average precision against a naive reckoning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import SettingError
from facewise.metrics.detection import DetectionMeter


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def inside(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / ((a[2] - a[0]) * (a[3] - a[1]))


def naive(pictures, overlap=0.5):
    """One detection at a time over all pictures, precision and recall written down after each."""
    rows = [
        (score, p, box)
        for p, (boxes, scores, _, _) in enumerate(pictures)
        for box, score in zip(boxes, scores, strict=True)
    ]
    rows.sort(key=lambda row: -row[0])
    taken, outcomes = set(), []
    for _, p, box in rows:
        _, _, truth, ignore = pictures[p]
        best, where = 0.0, None
        for f, face in enumerate(truth):
            if not ignore[f] and (p, f) not in taken and iou(box, face) > best:
                best, where = iou(box, face), f
        if where is not None and best >= overlap:
            taken.add((p, where))
            outcomes.append(True)
        elif not any(
            ignore[f] and max(iou(box, face), inside(box, face)) >= overlap for f, face in enumerate(truth)
        ):
            outcomes.append(False)
    faces = sum(not flag for _, _, _, ignore in pictures for flag in ignore)
    if faces == 0:
        return math.nan
    area, right = 0.0, 0
    points = []
    for count, outcome in enumerate(outcomes, start=1):
        right += outcome
        points.append((right / faces, right / count, outcome))
    for i, (_, _, outcome) in enumerate(points):
        if outcome:
            area += max(precision for _, precision, _ in points[i:]) / faces
    return area


def drawn(seed):
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(int(rng.integers(1, 6))):
        corner, extent = rng.uniform(0, 100, (5, 2)), rng.uniform(5, 40, (5, 2))
        truth = np.concatenate([corner, corner + extent], axis=1)[: int(rng.integers(0, 6))]
        ignore = rng.random(len(truth)) < 0.25
        near = truth[rng.integers(0, len(truth), 6)] if len(truth) else np.empty((0, 4))
        far = rng.uniform(0, 100, (3, 2))
        boxes = np.concatenate([near + rng.normal(0, 3, near.shape), np.concatenate([far, far + 20], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        pictures.append((boxes, rng.random(len(boxes)), truth, ignore))
    return pictures


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_average_precision_is_the_naive_one(seed):
    pictures, meter = drawn(seed), DetectionMeter()
    for picture in pictures:
        meter.update(*picture)
    np.testing.assert_allclose(meter.compute().average_precision, naive(pictures), atol=1e-12)


def test_known_cases():
    meter = DetectionMeter()
    meter.update([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8], [[0, 0, 10, 10], [20, 20, 30, 30]])
    curve = meter.compute()
    assert curve.average_precision == pytest.approx(0.5)
    assert curve.faces == 2
    assert curve.recall_at(0.5) == 0.5
    assert curve.recall_at(0.95) == 0
    twice = DetectionMeter()
    twice.update([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8], [[0, 0, 10, 10]])
    assert twice.compute().average_precision == 1
    assert twice.compute().precision.tolist() == [1, 0.5]


def test_only_faces_of_a_size_count():
    meter = DetectionMeter(size=(8, 20))
    meter.update(
        [[0, 0, 10, 10], [100, 100, 150, 150], [0, 100, 3, 103], [200, 200, 210, 210]],
        [0.9, 0.8, 0.7, 0.6],
        [[0, 0, 10, 10], [100, 100, 150, 150]],
    )
    curve = meter.compute()
    assert curve.faces == 1
    assert curve.average_precision == 1
    assert curve.scores.tolist() == [0.9, 0.6], "what is of another size is neither right nor wrong"


def test_nothing_to_find():
    meter = DetectionMeter()
    meter.update([[0, 0, 5, 5]], [0.4], [])
    assert math.isnan(meter.compute().average_precision)
    assert math.isnan(DetectionMeter().compute().average_precision)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(SettingError, match="one score"):
        DetectionMeter().update([[0, 0, 1, 1]], [], [])
    with pytest.raises(SettingError, match="overlap"):
        DetectionMeter(0)
