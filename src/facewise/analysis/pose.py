"""How a head is turned, in angles: from five landmarks, or from any points of a face known in 3-D.

A pose is relative to the line of sight: of a face that looks into the camera it is zero wherever in the photo
the face is. A rotation is the head turned by yaw, then nodded by pitch, then tilted in the photo by roll.
Pitch is zero as people hold their heads in photos, by the median of four data sets (docs/landmarks.md).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError
from facewise.types import FloatArray, Pose

_NODDED = Pose(0.0, math.radians(1.9), 0.0).rotation
"""The canonical face looks up by so much, as five landmarks see it."""

FIVE_POINTS = (
    np.array(
        [
            [-3.1511, -2.6246, 3.4657],
            [3.1511, -2.6246, 3.4657],
            [0.0, 1.1269, 7.4756],
            [-2.4562, 4.3426, 4.2839],
            [2.4562, 4.3426, 4.2839],
        ]
    )
    @ _NODDED.T
)
"""(5, 3) centimetres right, down and towards the viewer: the landmarks on MediaPipe's canonical face
(`canonical_face_model.obj`, Apache-2.0), the middles of 33 and 133, 362 and 263; 1; 61; 291; nodded to
no pitch."""
FIVE_POINTS.flags.writeable = False

_STEP = math.radians(2.0)
_FARTHEST = (42, 38)
"""Steps to each side, up and down, that are looked at."""

_SCATTER, _USUAL = 0.03, 0.55
"""How far landmarks are from where the model has them, as a share of the five's extent; and how far heads are
turned as a rule, radians (standard deviations). Their ratio is what speaks against a far turn, which matters
where turns to opposite sides look alike."""


def pose_of(rotation: ArrayLike) -> Pose:
    """The pose of a rotation (3, 3): `Pose.rotation` the other way round."""
    r = np.asarray(rotation, np.float64)
    return Pose(
        yaw=math.atan2(-r[2, 0], r[2, 2]),
        pitch=math.asin(min(1.0, max(-1.0, -float(r[2, 1])))),
        roll=math.atan2(-r[0, 1], r[1, 1]),
    )


def pose_from_landmarks(landmarks: FloatArray) -> Pose:
    """The pose by which the five landmarks look most as they do, seen from far away.

    Every yaw and pitch of a grid is tried; shift, size and roll that fit it best are one complex factor and a
    sum. Of drawn people within ±45°, whose true landmarks are taken, half are off by at most 2° in yaw, 3° in
    pitch, 1° in roll.

    Args:
        landmarks: (5, 2) pixels of the photo.

    Raises:
        SettingError: Landmarks of the wrong shape, not finite, or all in one place.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise SettingError(f"Expected (5, 2) landmarks, got {points.shape}.")
    if not np.isfinite(points).all():
        raise SettingError("The landmarks must be finite numbers.")
    seen = points[:, 0] + 1j * points[:, 1]
    seen -= seen.mean()
    extent = float(np.linalg.norm(seen))
    if extent <= 1e-9:
        raise SettingError("The landmarks are all in one place, so the face has no pose.")
    shapes, unusual = _grid()
    factors = shapes @ (seen / extent)
    costs = (1.0 - np.abs(factors) ** 2 + unusual).reshape(-1, 2 * _FARTHEST[1] + 1)
    best = int(costs.argmin())
    yaw, pitch = divmod(best, costs.shape[1])
    roll = float(np.angle(factors[best]))
    yaw, pitch = (min(max(i, 1), n - 2) for i, n in zip((yaw, pitch), costs.shape, strict=True))
    more_yaw, more_pitch = _lowest(costs[yaw - 1 : yaw + 2, pitch - 1 : pitch + 2])
    return Pose(
        yaw=(yaw - _FARTHEST[0] + more_yaw) * _STEP,
        pitch=(pitch - _FARTHEST[1] + more_pitch) * _STEP,
        roll=roll,
    )


@cache
def _grid() -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """(G, 5) the five points as each yaw and pitch shows them, conjugate, and (G,) how unusual those are."""
    yaw, pitch = (np.arange(-n, n + 1) * _STEP for n in _FARTHEST)
    yaw, pitch = (a.reshape(-1, 1) for a in np.meshgrid(yaw, pitch, indexing="ij"))
    x, y, z = FIVE_POINTS.T
    across = np.cos(yaw) * x + np.sin(yaw) * z
    down = np.cos(pitch) * y + np.sin(pitch) * (np.cos(yaw) * z - np.sin(yaw) * x)
    shapes = across - 1j * down
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    return shapes, (yaw**2 + pitch**2)[:, 0] * (_SCATTER / _USUAL) ** 2


def _lowest(costs: NDArray[np.float64]) -> tuple[float, float]:
    """Where between nine neighbours (3, 3) a paraboloid through them is lowest, in steps from the middle."""
    slope = np.array([costs[2, 1] - costs[0, 1], costs[1, 2] - costs[1, 0]]) / 2
    both = (costs[2, 2] - costs[2, 0] - costs[0, 2] + costs[0, 0]) / 4
    bend = np.array(
        [
            [costs[2, 1] - 2 * costs[1, 1] + costs[0, 1], both],
            [both, costs[1, 2] - 2 * costs[1, 1] + costs[1, 0]],
        ]
    )
    if np.linalg.det(bend) <= 0:
        return 0.0, 0.0
    yaw, pitch = np.clip(-np.linalg.solve(bend, slope), -1.0, 1.0).tolist()
    return yaw, pitch
