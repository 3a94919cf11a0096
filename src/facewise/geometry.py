"""Five landmarks to an aligned crop: the template, the similarity transform, the warp.

The one place in Facewise that knows where eyes, nose and mouth belong in a crop.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError
from facewise.types import FloatArray, Image

TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float64,
)
"""(5, 2) landmarks (x, y) in a 112×112 crop: the template of InsightFace (Deng et al. 2019, ArcFace)."""
TEMPLATE_112.flags.writeable = False


def template(size: int = 112) -> NDArray[np.float64]:
    """Where the five landmarks belong in a square crop.

    Args:
        size: Side of the crop in pixels. Multiples of 128 use the 112 template shifted right by 8·size/128,
            as models trained on 128-pixel crops expect; every other size scales by size/112.

    Returns:
        (5, 2) float64 (x, y).

    Raises:
        SettingError: The size is not positive.
    """
    if size <= 0:
        raise SettingError(f"A crop must be at least 1 pixel wide, not {size}.")
    if size % 128 == 0:
        points = TEMPLATE_112 * (size / 128)
        points[:, 0] += 8 * size / 128
        return points
    return TEMPLATE_112 * (size / 112)


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Least-squares similarity (rotation, uniform scale, shift) from `source` points to `target` points.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns",
    equations 40 to 43, in float64. Reflections are excluded.

    Args:
        source: (..., K, 2) points, K ≥ 2; leading axes are solved at once.
        target: (K, 2) or (..., K, 2) points.

    Returns:
        (..., 2, 3) float64 matrix M, so that `target ≈ source @ M[:, :2].T + M[:, 2]`.

    Raises:
        SettingError: Points of the wrong shape, not finite, or all in one place.
    """
    src = np.asarray(source, dtype=np.float64)
    dst = np.asarray(target, dtype=np.float64)
    if src.ndim < 2 or src.shape[-1] != 2 or src.shape[-2] < 2 or dst.shape[-2:] != src.shape[-2:]:
        raise SettingError(f"Expected matching (K, 2) points, got {src.shape} and {dst.shape}.")
    if not (np.isfinite(src).all() and np.isfinite(dst).all()):
        raise SettingError("The points must be finite numbers.")
    src_mean = src.mean(axis=-2, keepdims=True)
    dst_mean = dst.mean(axis=-2, keepdims=True)
    src_centred = src - src_mean
    variance = (src_centred**2).sum(axis=-1).mean(axis=-1)
    if np.any(variance <= np.finfo(np.float64).tiny):
        raise SettingError("The landmarks are all in one place, so no transform can be found.")
    covariance = np.swapaxes(dst - dst_mean, -1, -2) @ src_centred / src.shape[-2]
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * signs[..., None, :]) @ vt
    scale = (singular * signs).sum(axis=-1) / variance
    linear = scale[..., None, None] * rotation
    shift = np.swapaxes(dst_mean, -1, -2) - linear @ np.swapaxes(src_mean, -1, -2)
    return np.concatenate([linear, shift], axis=-1)


def align(image: Image, landmarks: ArrayLike, size: int = 112) -> Image:
    """Cut one aligned face from a photo: bilinear, black outside the photo.

    Args:
        image: (H, W, 3) RGB uint8.
        landmarks: (5, 2) pixels of the photo, or (F, 5, 2) for several faces.
        size: Side of the crop in pixels.

    Returns:
        (size, size, 3) RGB uint8, or (F, size, size, 3) for several faces.

    Raises:
        SettingError: Landmarks of the wrong shape, not finite, or all in one place.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape[-2:] != (5, 2) or points.ndim not in (2, 3):
        raise SettingError(f"Expected (5, 2) or (F, 5, 2) landmarks, got {points.shape}.")
    matrices = similarity_transform(points.reshape(-1, 5, 2), template(size))
    crops = np.empty((len(matrices), size, size, 3), dtype=np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        cv2.warpAffine(
            image, matrix, (size, size), dst=crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
    return crops[0] if points.ndim == 2 else crops


def pose(landmarks: FloatArray) -> tuple[float, float, float]:
    """Rough head pose from five landmarks, with no 3-D model: good for ranking photos, not for measuring.

    Yaw is how far the nose tip is off the line between the middles of eyes and mouth, pitch how far it is
    along that line, both zero for the frontal face of the template; roll is the tilt of the eye line.

    Args:
        landmarks: (5, 2) pixels of the photo.

    Returns:
        (yaw, pitch, roll) in radians, see `facewise.types.Quality` for the signs.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = np.asarray(landmarks, dtype=np.float64)
    eye_line = right_eye - left_eye
    roll = float(np.arctan2(eye_line[1], eye_line[0]))
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    eyes = upright @ ((left_eye + right_eye) / 2)
    mouth = upright @ ((left_mouth + right_mouth) / 2)
    tip = upright @ nose
    eye_distance = max(float(np.hypot(*eye_line)), 1e-6)
    height = max(float(mouth[1] - eyes[1]), 1e-6)
    middle = eyes[0] + (mouth[0] - eyes[0]) * (tip[1] - eyes[1]) / height
    # The nose tip stands about 0.6 eye distances out of the face plane, so it moves by 0.6·sin(yaw) of one,
    # while the eye distance seen shrinks by cos(yaw).
    yaw = float(np.arctan((tip[0] - middle) / (0.6 * eye_distance)))
    along = (tip[1] - eyes[1]) / height
    pitch = float(np.arctan((along - _FRONTAL_NOSE) * 2.0))
    return yaw, pitch, roll


_FRONTAL_NOSE = float(
    (TEMPLATE_112[2, 1] - TEMPLATE_112[:2, 1].mean())
    / (TEMPLATE_112[3:, 1].mean() - TEMPLATE_112[:2, 1].mean())
)
"""How far down the line from eyes to mouth the nose tip lies on the template."""


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of the grey crop (Pech-Pacheco et al. 2000); low means blurred.

    Args:
        crop: (S, S, 3) RGB uint8 aligned crop.

    Returns:
        Variance in grey levels squared.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
