"""Poses: rotations there and back, five points seen from everywhere, drawn people whose pose is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facewise.analysis.pose import FIVE_POINTS, pose_from_landmarks, pose_of
from facewise.data.synthetic import Person, View, truth_of
from facewise.errors import SettingError
from facewise.types import Pose

angles = st.floats(-1.2, 1.2)


@given(angles, angles, st.floats(-3.1, 3.1))
def test_a_rotation_is_told_as_the_pose_it_was_made_of(yaw: float, pitch: float, roll: float) -> None:
    found = pose_of(Pose(yaw, pitch, roll).rotation)
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=1e-9)


@given(angles, angles, angles)
def test_heads_turn_then_nod_then_tilt(yaw: float, pitch: float, roll: float) -> None:
    # Axes right, down, towards the viewer: looking down turns about the axis to the left.
    expected = Rotation.from_euler("yxz", [yaw, -pitch, roll]).as_matrix()
    np.testing.assert_allclose(Pose(yaw, pitch, roll).rotation, expected, atol=1e-12)


@given(
    st.floats(-1.0, 1.0), st.floats(-0.9, 0.9), st.floats(-3.1, 3.1), st.floats(10, 900), st.floats(-99, 5000)
)
def test_five_points_of_the_model_give_its_pose(
    yaw: float, pitch: float, roll: float, size: float, shift: float
) -> None:
    turned = FIVE_POINTS @ Rotation.from_euler("yxz", [yaw, -pitch, roll]).as_matrix().T
    found = pose_from_landmarks((turned[:, :2] * size + [shift, -shift]).astype(np.float32))
    assert found.yaw == pytest.approx(yaw, abs=0.04)
    assert found.pitch == pytest.approx(pitch, abs=0.04)
    assert math.remainder(found.roll - roll, 2 * math.pi) == pytest.approx(0, abs=0.04)


def test_drawn_people_within_45_degrees_are_off_by_4_degrees_at_most_as_a_rule() -> None:
    rng = np.random.default_rng(5)
    errors = []
    for number in range(80):
        yaw, pitch, roll = rng.uniform(-math.pi / 4, math.pi / 4, 3)
        view = replace(View.draw(9, number, 1, size=400), yaw=yaw, pitch=pitch, roll=roll)
        found = pose_from_landmarks(truth_of(Person.draw(9, number), view).landmarks)
        errors.append((found.yaw - yaw, found.pitch - pitch, found.roll - roll))
    assert np.degrees(np.median(np.abs(errors), axis=0)).max() <= 4.0


@pytest.mark.parametrize(
    ("landmarks", "says"),
    [
        (np.zeros((4, 2)), r"Expected \(5, 2\) landmarks"),
        (np.full((5, 2), np.nan), "finite"),
        (np.full((5, 2), 7.0), "all in one place"),
    ],
)
def test_what_is_no_face_has_no_pose(landmarks: np.ndarray, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        pose_from_landmarks(landmarks.astype(np.float32))


def test_degrees_are_for_people() -> None:
    assert Pose(math.pi / 2, 0.0, -math.pi / 6).degrees == pytest.approx((90.0, 0.0, -30.0))
