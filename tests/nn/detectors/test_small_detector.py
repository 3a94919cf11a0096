"""The small detector: anchors of any picture, few parameters, and scores that can be shifted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facewise.detection.base import make_decoder
from facewise.nn.detectors.small import MIN_SIZES, STRIDES, VARIANCES, SmallDetector

torch.set_num_threads(1)

OPTIONS = {"name": "retinaface", "strides": STRIDES, "min_sizes": MIN_SIZES, "variances": VARIANCES}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SmallDetector(8, (8, 16, 16, 16), (0, 1, 1, 1), (8, 16, 8)).eval()


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (33, 31), (117, 331), (250, 250), (64, 200), (7, 9)])
def test_any_picture_gives_as_many_numbers_as_the_decoder_wants(network, size):
    with torch.inference_mode():
        outputs = [out.numpy() for out in network(torch.randn(2, 3, *size))]
    faces = make_decoder(OPTIONS).decode(outputs, size, 0.001)
    assert len(faces) == 2
    assert all(len(found.scores) for found in faces)
    assert ((outputs[1] > 0) & (outputs[1] < 1)).all()


def test_what_ships_has_fewer_than_half_a_million_parameters():
    assert sum(p.numel() for p in SmallDetector().parameters()) <= 500_000


def test_before_training_hardly_anything_is_a_face():
    with torch.inference_mode():
        _, scores, _ = SmallDetector().eval()(torch.randn(1, 3, 64, 64))
    assert float(scores.mean()) == pytest.approx(0.01, abs=0.005)


def test_shifting_the_scores_shifts_them_and_nothing_else(network):
    picture = torch.randn(1, 3, 70, 90)
    with torch.inference_mode():
        before = network.logits(picture)
        network.shift_scores(1.5)
        after = network.logits(picture)
        network.shift_scores(-1.5)
    torch.testing.assert_close(after[1], before[1] + 1.5)
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[2], before[2])


def test_an_anchor_sees_what_lies_around_it(network):
    """Order: strides, rows, columns, sizes; a change in one corner moves that corner's numbers most."""
    picture = torch.zeros(1, 3, 256, 256)
    other = picture.clone()
    other[:, :, 200:216, 40:56] = 2
    with torch.inference_mode():
        change = (network.logits(picture)[1] - network.logits(other)[1]).abs()[0, : 32 * 32 * 2]
    row, column = np.unravel_index(int(change.reshape(32, 32, 2).amax(dim=2).argmax()), (32, 32))
    assert abs(row - 26) <= 6
    assert abs(column - 6) <= 6
