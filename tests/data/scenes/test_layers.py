"""Photos put over a picture: pixels and truth move together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facewise.data.scenes.layer import Layer, faces_of, moved, paste, similarity
from scene_photos import blob_photo

POINTS = np.array([[62.3, 60.1], [100.8, 63.2], [80.5, 82.4], [66.0, 103.7], [97.2, 105.9]])
WHOLE = (0.0, 0.0, 160.0, 160.0)


def centroid(image, point, radius=9):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    weight = image[..., 0] * (np.hypot(x - point[0], y - point[1]) < radius)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(12))
def test_pixels_land_where_the_landmarks_do(seed):
    rng = np.random.default_rng(seed)
    mirror = bool(seed % 2)
    scale = float(rng.uniform(0.45, 2.0))
    matrix = similarity(
        scale,
        float(rng.uniform(-math.pi / 4, math.pi / 4)),
        (80, 83),
        tuple(rng.uniform(100, 156, 2)),
        mirror=mirror,
    )
    layer = Layer(blob_photo(POINTS), matrix, WHOLE)
    picture = np.zeros((256, 256, 3), np.uint8)
    paste(picture, layer)
    faces = faces_of([layer], (256, 256))
    assert len(faces.boxes) == 1
    order = [1, 0, 2, 4, 3] if mirror else range(5)
    expected = moved(POINTS.astype(np.float32), matrix)[list(order)]
    np.testing.assert_allclose(faces.landmarks[0], expected, atol=1e-3)
    for point, seen in zip(faces.landmarks[0], faces.seen[0], strict=True):
        if seen and (point > 12).all() and (point < 244).all():
            np.testing.assert_allclose(centroid(picture, point, 9 * max(scale, 1)), point, atol=0.35)


def test_an_eye_at_the_left_stays_at_the_left_in_the_mirror():
    matrix = similarity(1.0, 0.0, (80, 80), (80, 80), mirror=True)
    faces = faces_of([Layer(blob_photo(POINTS), matrix, WHOLE)], (160, 160))
    left, right, _, left_mouth, right_mouth = faces.landmarks[0][:, 0]
    assert left < right
    assert left_mouth < right_mouth


def test_a_photo_as_it_is_keeps_every_pixel():
    rng = np.random.default_rng(0)
    photo = blob_photo(POINTS)
    photo.levels[0][:] = rng.integers(0, 256, photo.levels[0].shape)
    for mirror in (False, True):
        picture = np.zeros((200, 220, 3), np.uint8)
        source = (160.0, 0.0) if mirror else (0.0, 0.0)
        paste(picture, Layer(photo, similarity(1.0, 0.0, source, (7, 11), mirror=mirror), WHOLE))
        expected = photo.levels[0][:, ::-1] if mirror else photo.levels[0]
        np.testing.assert_array_equal(picture[11:171, 7:167], expected)


def test_what_lies_over_a_face_hides_it():
    photo = blob_photo(POINTS)
    below = Layer(photo, similarity(1.0, 0.0, (0, 0), (0, 0)), WHOLE)
    middle = float(photo.boxes[0, [0, 2]].mean())
    blank = blob_photo(POINTS + 500)
    over = Layer(blank, similarity(1.0, 0.0, (0, 0), (middle, 0)), (0.0, 0.0, 100.0, 160.0))
    alone, faces = faces_of([below], (160, 160)), faces_of([below, over], (160, 160))
    assert alone.share[0] == 1
    assert alone.seen[0].all()
    np.testing.assert_allclose(alone.boxes[0], photo.boxes[0], atol=1.5)
    assert faces.share[0] == pytest.approx(0.5, abs=0.06)
    assert faces.boxes[0][2] == pytest.approx(middle, abs=6)
    np.testing.assert_array_equal(faces.seen[0], [True, False, POINTS[2, 0] < middle, True, False])
    assert faces_of([over, below], (160, 160)).share[0] == 1, "what lies under it does not"


def test_what_is_outside_the_picture_or_the_part_is_not_seen():
    photo = blob_photo(POINTS)
    outside = Layer(photo, similarity(1.0, 0.0, (80, 80), (0, 80)), WHOLE)
    faces = faces_of([outside], (160, 160))
    assert faces.share[0] == pytest.approx(0.5, abs=0.1)
    assert faces.boxes[0][0] >= 0
    part = Layer(
        photo, similarity(1.0, 0.0, (0, 0), (0, 0)), (0.0, 0.0, 160.0, float(photo.boxes[0][1]) + 30)
    )
    assert faces_of([part], (160, 160)).share[0] < 0.5
    away = Layer(photo, similarity(1.0, 0.0, (0, 0), (900, 900)), WHOLE)
    assert len(faces_of([away], (160, 160)).boxes) == 0


def test_a_soft_edge_fades_and_its_middle_does_not():
    photo = blob_photo(POINTS)
    photo.levels[0][:] = 200
    picture = np.zeros((160, 160, 3), np.uint8)
    paste(picture, Layer(photo, similarity(1.0, 0.0, (0, 0), (20, 20)), (0.0, 0.0, 120.0, 120.0), soft=0.1))
    assert picture[80, 80, 0] == 200
    assert 0 < picture[80, 26, 0] < 200
    assert picture[80, 15].max() == 0
