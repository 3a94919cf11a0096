"""Five points to a crop: the fit against least squares, the warp by hand, pose on turned heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import FacewiseError, SettingError
from facewise.geometry import TEMPLATE_112, align, pose, sharpness, similarity_transform, template
from mutations import picture

PUBLISHED = [
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
]
PHOTO = picture(200, 160)
EYES_AND_MOUTH = np.array([[80, 70], [110, 66], [97, 85], [86, 103], [108, 100]], dtype=np.float32)


def lstsq_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity [a -b tx; b a ty] by linear least squares: another way to the same optimum."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows, dtype=float), np.array(values, dtype=float), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The pixel at (x, y), black outside."""
    total = np.zeros(3)
    x0, y0 = math.floor(x), math.floor(y)
    for column in (x0, x0 + 1):
        for row in (y0, y0 + 1):
            if 0 <= column < image.shape[1] and 0 <= row < image.shape[0]:
                total += image[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def crop_by_hand(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    crop = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            x, y, _ = inverse @ (column, row, 1)
            crop[row, column] = bilinear(image, x, y)
    return crop


finite = st.floats(-300, 300)
angles = st.floats(-math.pi, math.pi)


@settings(max_examples=100)
@given(angles, st.floats(0.05, 20), finite, finite)
def test_recovers_any_rotation_scale_and_shift(angle: float, scale: float, dx: float, dy: float) -> None:
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    target = TEMPLATE_112 @ turn.T + (dx, dy)
    matrix = similarity_transform(TEMPLATE_112, target)
    np.testing.assert_allclose(matrix, np.column_stack([turn, (dx, dy)]), atol=1e-8 * max(1, scale * 100))


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_is_the_least_squares_similarity(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    source, noise = rng.normal(0, 40, (points, 2)), rng.normal(0, 15, (points, 2))
    target = source @ rng.normal(0, 1, (2, 2)) + rng.normal(0, 50, 2) + noise
    expected = lstsq_similarity(source, target)
    np.testing.assert_allclose(similarity_transform(source, target), expected, atol=1e-8)


def test_two_points_are_enough() -> None:
    matrix = similarity_transform([[0, 0], [1, 0]], [[5, 5], [5, 7]])
    np.testing.assert_allclose(matrix, [[0, -2, 5], [2, 0, 5]], atol=1e-12)


def test_reflections_are_excluded() -> None:
    mirrored = TEMPLATE_112 * (-1, 1)
    matrix = similarity_transform(mirrored, TEMPLATE_112)
    assert np.linalg.det(matrix[:, :2]) >= 0
    np.testing.assert_allclose(matrix, lstsq_similarity(mirrored, TEMPLATE_112), atol=1e-9)


def test_a_batch_is_solved_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    batch = rng.normal(100, 30, (4, 3, 5, 2))
    batch[1, 1] = TEMPLATE_112 * (-1, 1)  # one that would be a reflection, among others that would not
    together = similarity_transform(batch, TEMPLATE_112)
    assert together.shape == (4, 3, 2, 3)
    for i in range(4):
        for j in range(3):
            np.testing.assert_allclose(together[i, j], lstsq_similarity(batch[i, j], TEMPLATE_112), atol=1e-9)


def test_is_computed_in_double_precision() -> None:
    far = (TEMPLATE_112 + 1e6).astype(np.float64)
    np.testing.assert_allclose(similarity_transform(far, TEMPLATE_112)[:, :2], np.eye(2), atol=1e-7)
    assert similarity_transform(TEMPLATE_112.astype(np.float32), TEMPLATE_112).dtype == np.float64


@pytest.mark.parametrize(
    "points",
    [
        np.full((5, 2), 7.0),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
        np.ones((1, 2)),
        np.ones((5, 3)),
    ],
    ids=["one place", "nan", "inf", "one point", "three coordinates"],
)
def test_points_without_a_transform(points: np.ndarray) -> None:
    with pytest.raises(SettingError):
        similarity_transform(points, TEMPLATE_112[: len(points)])
    with pytest.raises(SettingError):
        align(PHOTO, points)


def test_one_bad_face_among_several_is_told() -> None:
    with pytest.raises(SettingError, match="one place"):
        align(PHOTO, np.stack([EYES_AND_MOUTH, np.full((5, 2), 3.0)]))


def test_targets_must_match() -> None:
    with pytest.raises(SettingError, match=r"\(4, 2\)"):
        similarity_transform(TEMPLATE_112, TEMPLATE_112[:4])


def test_template() -> None:
    published = np.array(PUBLISHED)
    np.testing.assert_array_equal(template(), published)
    np.testing.assert_array_equal(template(112), published)
    np.testing.assert_allclose(template(224), published * 2)
    np.testing.assert_allclose(template(160), published * 160 / 112)
    np.testing.assert_allclose(template(128), published + np.array([8, 0]))
    np.testing.assert_allclose(template(256), published * 2 + np.array([16, 0]))


@pytest.mark.parametrize("size", [0, -112])
def test_no_template_of_no_size(size: int) -> None:
    with pytest.raises(FacewiseError):
        template(size)


def test_the_template_cannot_be_changed_by_accident() -> None:
    points = template(112)
    points += 100
    np.testing.assert_array_equal(template(112), PUBLISHED)
    with pytest.raises(ValueError, match="read-only"):
        TEMPLATE_112[0, 0] = 0


@pytest.mark.parametrize("size", [48, 112])
def test_a_crop_is_sampled_bilinearly(size: int) -> None:
    matrix = lstsq_similarity(EYES_AND_MOUTH, template(size))
    by_hand = crop_by_hand(PHOTO, matrix, size)
    crop = align(PHOTO, EYES_AND_MOUTH, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    # OpenCV samples at 1/32 of a pixel on a picture whose noise has a spread of 12 grey levels.
    assert np.abs(crop - by_hand).mean() < 0.6
    assert np.abs(crop - by_hand).max() < 6


def test_the_landmarks_land_on_the_template() -> None:
    photo = np.zeros((300, 300, 3), np.uint8)
    angle, scale = 0.4, 2.0
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (TEMPLATE_112 - 56) @ turn.T + 150
    rows, columns = np.mgrid[0:300, 0:300]
    for (x, y), (u, v) in zip(points, TEMPLATE_112, strict=True):
        spot = np.clip(8 - np.hypot(columns - x, rows - y), 0, 1) * 255
        photo[...] = np.rint(spot)[..., None]
        weight = align(photo, points)[..., 0].astype(float)
        crop_rows, crop_columns = np.mgrid[0:112, 0:112]
        assert (weight * crop_columns).sum() / weight.sum() == pytest.approx(u, abs=0.05)
        assert (weight * crop_rows).sum() / weight.sum() == pytest.approx(v, abs=0.05)


def test_crops_of_several_faces_are_those_of_each() -> None:
    faces = np.stack([EYES_AND_MOUTH, EYES_AND_MOUTH * 0.6 + 20, EYES_AND_MOUTH[:, ::-1]])
    together = align(PHOTO, faces, 64)
    assert together.shape == (3, 64, 64, 3)
    for crop, landmarks in zip(together, faces, strict=True):
        np.testing.assert_array_equal(crop, align(PHOTO, landmarks, 64))
    assert align(PHOTO, np.empty((0, 5, 2)), 64).shape == (0, 64, 64, 3)


def test_outside_the_photo_is_black() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    crop = align(white, TEMPLATE_112 + np.array([-56, 0]))
    assert (crop[:, :54] == 0).all()  # what lies left of the photo
    assert (crop[:58, 58:110] == 255).all()
    assert (crop[62:] == 0).all()  # and below it
    assert (align(white, TEMPLATE_112 + 5000) == 0).all()


def test_channels_keep_their_order() -> None:
    photo = np.zeros((160, 200, 3), np.uint8)
    photo[...] = (200, 100, 5)
    np.testing.assert_array_equal(align(photo, EYES_AND_MOUTH)[56, 56], (200, 100, 5))


def test_a_crop_shifted_by_four_pixels_is_noticed() -> None:
    crop = align(PHOTO, EYES_AND_MOUTH).astype(int)
    shifted = align(PHOTO, EYES_AND_MOUTH + np.float32(4)).astype(int)
    assert np.abs(crop - shifted).mean() > 4


def test_the_photo_is_left_alone() -> None:
    before = PHOTO.copy()
    align(PHOTO, EYES_AND_MOUTH)
    np.testing.assert_array_equal(PHOTO, before)


# Pose: a head of five points in space, seen from in front (x to the right, y down, z towards the camera).

HEAD = np.column_stack([TEMPLATE_112 - TEMPLATE_112.mean(axis=0), np.zeros(5)])
HEAD[:, 0] -= HEAD[[0, 1, 3, 4], 0].mean()
HEAD[2, 0] = 0
HEAD[2, 2] = 0.6 * 35.2


def seen(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Landmarks of the head turned to the image's right, nodded down and tilted clockwise (orthographic)."""
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    )
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return ((HEAD @ about_y.T @ about_x.T @ about_z.T)[:, :2] * 1.7 + 200).astype(np.float32)


def test_a_frontal_face() -> None:
    np.testing.assert_allclose(pose(seen()), 0, atol=0.01)
    np.testing.assert_allclose(pose(TEMPLATE_112.astype(np.float32)), 0, atol=0.03)


@pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
def test_signs_of_pose(degrees: int) -> None:
    angle = math.radians(degrees)
    yaw, pitch, roll = pose(seen(yaw=angle))
    assert yaw == pytest.approx(angle, abs=0.02)
    assert abs(roll) < 0.05
    yaw, pitch, roll = pose(seen(pitch=angle))
    assert pitch * angle > 0
    assert abs(pitch) > 0.2
    assert abs(yaw) < 0.05
    yaw, pitch, roll = pose(seen(roll=angle))
    assert roll == pytest.approx(angle, abs=0.01)
    np.testing.assert_allclose((yaw, pitch), 0, atol=0.02)


@pytest.mark.parametrize("roll", [-1.2, -0.5, 0.5, 1.2])
def test_yaw_and_pitch_do_not_depend_on_roll(roll: float) -> None:
    upright, tilted = pose(seen(0.4, -0.3)), pose(seen(0.4, -0.3, roll))
    np.testing.assert_allclose(tilted[:2], upright[:2], atol=0.01)
    assert tilted[2] - upright[2] == pytest.approx(roll, abs=0.01)


def test_more_turned_is_more_yaw() -> None:
    yaws = [pose(seen(yaw=math.radians(d)))[0] for d in range(-60, 61, 10)]
    assert yaws == sorted(yaws)
    assert len(set(yaws)) == len(yaws)


def test_pose_of_nonsense_is_still_a_number() -> None:
    assert np.isfinite(pose(np.full((5, 2), 3, dtype=np.float32))).all()
    assert np.isfinite(pose(seen()[::-1])).all()


def test_sharpness_against_the_laplacian_by_hand() -> None:
    crop = PHOTO[:40, :40]
    grey = np.rint(crop @ np.array([0.299, 0.587, 0.114]))
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    assert sharpness(crop) == pytest.approx(laplacian.var(), rel=0.05)


def test_blurred_is_less_sharp() -> None:
    blurred = (PHOTO[:-1, :-1].astype(int) + PHOTO[1:, :-1] + PHOTO[:-1, 1:] + PHOTO[1:, 1:]) // 4
    assert sharpness(blurred.astype(np.uint8)) < sharpness(PHOTO) / 2
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
