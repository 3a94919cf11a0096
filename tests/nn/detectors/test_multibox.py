"""The loss of a detector, written down anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facewise.nn.detectors.multibox import AnchorTargets, MultiBoxLoss

torch.set_num_threads(1)


def targets_of(rng, images, anchors, dtype=torch.float32):
    labels = rng.choice([-1, 0, 0, 0, 1], size=(images, anchors)).astype(np.int8)
    places = np.flatnonzero(labels.reshape(-1) == 1)
    return AnchorTargets(
        torch.from_numpy(labels),
        torch.from_numpy(places),
        torch.from_numpy(rng.normal(0, 1, (len(places), 4))).to(dtype),
        torch.from_numpy(rng.normal(0, 2, (len(places), 10))).to(dtype),
        torch.from_numpy(rng.integers(0, 2, (len(places), 10))).to(dtype),
    )


def smooth(x, beta):
    x = abs(x)
    return x * x / (2 * beta) if x < beta else x - beta / 2


def naive(outputs, targets, loss):
    boxes, scores, marks = (out.double().numpy() for out in outputs)
    labels, places = targets.labels.numpy(), targets.places.tolist()
    images, anchors = labels.shape
    faces = max(len(places), images)
    of_faces, of_none = [], []
    for i in range(images):
        for a in range(anchors):
            probability = 1 / (1 + math.exp(-scores[i, a]))
            if labels[i, a] == 1:
                of_faces.append(-math.log(probability))
            elif labels[i, a] == 0:
                of_none.append(-math.log(1 - probability))
    of_none.sort(reverse=True)
    kept = max(round(loss.negatives * len(of_faces)), loss.least * images)
    score = (sum(of_faces) + sum(of_none[:kept])) / faces
    box = mark = 0.0
    for p, place in enumerate(places):
        i, a = divmod(place, anchors)
        for k in range(4):
            box += smooth(boxes[i, a, k] - float(targets.boxes[p, k]), loss.box_beta)
        for k in range(10):
            apart = marks[i, a, k] - float(targets.landmarks[p, k])
            mark += float(targets.weights[p, k]) * smooth(apart, loss.landmark_beta)
    return score, loss.box_weight * box / faces, loss.landmark_weight * mark / faces


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_what_it_says(seed, dtype):
    rng = np.random.default_rng(seed)
    outputs = tuple(
        torch.from_numpy(rng.normal(0, 1.5, shape)).to(dtype) for shape in ((3, 40, 4), (3, 40), (3, 40, 10))
    )
    targets = targets_of(rng, 3, 40)
    loss = MultiBoxLoss(negatives=1.5, least=2, box_weight=0.7, landmark_weight=1.3)
    total, parts = loss(outputs, targets)
    expected = naive(outputs, targets, loss)
    found = [float(parts[name]) for name in ("score", "box", "landmark")]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(float(total), sum(expected), rtol=1e-5)


def test_a_batch_without_faces_teaches_too():
    outputs = (torch.zeros(2, 9, 4), torch.zeros(2, 9, requires_grad=True), torch.zeros(2, 9, 10))
    empty = AnchorTargets(
        torch.zeros(2, 9, dtype=torch.int8),
        torch.empty(0, dtype=torch.int64),
        torch.empty(0, 4),
        torch.empty(0, 10),
        torch.empty(0, 10),
    )
    total, parts = MultiBoxLoss(least=3)(outputs, empty)
    total.backward()
    assert float(parts["score"].detach()) == pytest.approx(3 * math.log(2))
    assert int((outputs[1].grad != 0).sum()) == 6


def test_undecided_anchors_have_no_gradient():
    rng = np.random.default_rng(1)
    targets = targets_of(rng, 2, 30)
    scores = torch.zeros(2, 30, requires_grad=True)
    total, _ = MultiBoxLoss(least=1000)((torch.zeros(2, 30, 4), scores, torch.zeros(2, 30, 10)), targets)
    total.backward()
    assert ((scores.grad == 0) == (targets.labels == -1)).all()
