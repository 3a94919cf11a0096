"""The box of a turned face."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facewise.data.scenes.outline import DISC, ellipse_points, half_axes, rolls

FACE = np.array([[-20, -15], [20, -15], [0, 5], [-15, 30], [15, 30]], np.float64)


def turned(points, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, -sin], [sin, cos]]).T


@given(st.floats(-0.5, 0.5), st.floats(10, 80), st.floats(0.7, 1.7))
def test_the_ellipse_of_a_turned_face_is_bounded_by_its_box(roll, across, ratio):
    along = across * ratio
    angle = np.linspace(0, 2 * np.pi, 721)
    edge = turned(np.stack([across * np.cos(angle), along * np.sin(angle)], axis=1), roll)
    box = np.concatenate([edge.min(axis=0), edge.max(axis=0)])[None].astype(np.float32)
    marks = turned(FACE, roll)[None].astype(np.float32)
    np.testing.assert_allclose(rolls(marks), roll, atol=1e-5)
    np.testing.assert_allclose(half_axes(box, rolls(marks))[0], [across, along], rtol=0.01)
    found = ellipse_points(box, marks, np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))[0]
    np.testing.assert_allclose(found.min(axis=0), box[0, :2], atol=0.02 * across)
    np.testing.assert_allclose(found.max(axis=0), box[0, 2:], atol=0.02 * across)


@given(st.floats(-math.pi, math.pi))
def test_whatever_the_roll_the_ellipse_is_about_as_large_as_the_box(roll):
    box = np.array([[10, 20, 90, 130]], np.float32)
    across, along = half_axes(box, np.array([roll], np.float32))[0]
    assert 0.5 < across * along / (40 * 55) < 2.1


def test_the_points_of_the_disc_reach_its_edge_and_fill_it():
    radius = np.hypot(*DISC.T)
    assert radius.max() <= 1 + 1e-6
    assert np.isclose(radius, 1).sum() == 32
    np.testing.assert_allclose(DISC.mean(axis=0), 0, atol=1e-6)
