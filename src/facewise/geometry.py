"""From a face to its crop: the 5-point template, the similarity transform, the warp; or the box and a margin.

The one place in Facewise that knows where eyes, nose and mouth belong in a crop.
"""

from __future__ import annotations

import math
from cmath import phase, rect
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

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

    In float64, without reflections: what Umeyama 1991, "Least-squares estimation of transformation parameters
    between two point patterns", gives in two dimensions.

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
    # In the complex plane a similarity without reflection is one factor and one sum.
    start, end = src[..., 0] + 1j * src[..., 1], dst[..., 0] + 1j * dst[..., 1]
    start_mean, end_mean = start.mean(axis=-1), end.mean(axis=-1)
    start = start - start_mean[..., np.newaxis]
    variance = (start.real**2 + start.imag**2).sum(axis=-1)
    if np.any(variance <= np.finfo(np.float64).tiny):
        raise SettingError("The landmarks are all in one place, so no transform can be found.")
    factor = (start.conj() * end).sum(axis=-1) / variance
    shift = end_mean - factor * start_mean
    rows = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


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
    import cv2  # noqa: PLC0415  models and galleries that see no photo load this module too

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


Alignment: TypeAlias = Literal["5-point", "box", "square", "inside"]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a face becomes a crop; it belongs to a model, as the rest of its preprocessing does.

    - `"5-point"`: `align`, as InsightFace and most networks since ArcFace want it.
    - `"box"`: the detector's box, each side longer by `margin` of itself (half of that at each end), cut off
      at the photo's edge and stretched to a square: `extract_face` of facenet-pytorch, whose `margin` of m
      pixels of a crop of S is the share m / (S − m) here.
    - `"square"`: a square about the middle of the box, its side 1 + `margin` of the box's shorter side, black
      outside the photo. That is the evaluation of VGGFace2 (Cao et al. 2018, 1710.08092, sec. 4: box extended
      by 0.3, shorter side resized to 256, 224×224 from the middle; so 1.3 · 224/256 of the shorter side).
    - `"inside"`: the box enlarged about its middle to 1 + `margin` of each side, or to as much as the photo
      has, moved to where all of it is within the photo and stretched to a square, bilinear: the crop of
      minivision-ai's liveness networks, whose "scale" is 1 + `margin`.

    Attributes:
        size: Side of the crop in pixels.
        alignment: Which of these.
        margin: What is added to the sides of a box, as a share of them; negative takes away.

    Examples:
        >>> Cut(160, "box", 14 / 146).of(np.zeros((200, 300, 3), np.uint8), [[90, 20, 170, 120]], None).shape
        (1, 160, 160, 3)
    """

    size: int
    alignment: Alignment = "5-point"
    margin: float = 0.0

    def __post_init__(self) -> None:
        known = self.alignment in get_args(Alignment)
        if self.size < 1 or not known or not -1 < self.margin <= 10:
            raise SettingError(
                f"Faces cannot be cut to {self.size} pixels by {self.alignment!r}, margin {self.margin}."
            )

    @property
    def key(self) -> str:
        """What tells it from other cuts, in caches: of 5-point ones just the size."""
        return (
            f"{self.size}"
            if self.alignment == "5-point"
            else f"{self.size} {self.alignment} {self.margin:.6g}"
        )

    def of(self, image: Image, boxes: ArrayLike, landmarks: ArrayLike | None) -> NDArray[np.uint8]:
        """Cut faces from a photo.

        Args:
            image: (H, W, 3) RGB uint8.
            boxes: (F, 4) pixels of the photo; not looked at by `5-point`.
            landmarks: (F, 5, 2) pixels of the photo; not looked at by the others.

        Returns:
            (F, S, S, 3) RGB uint8.

        Raises:
            SettingError: A face cannot be cut, see `fits`.
        """
        if self.alignment == "5-point":
            points = np.asarray(landmarks, dtype=np.float64)
            return align(image, points.reshape(-1, 5, 2) if points.size == 0 else points, self.size)
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        crops = np.zeros((len(corners), self.size, self.size, 3), dtype=np.uint8)
        for crop, box in zip(crops, corners, strict=True):
            window = self._window(box, image.shape[0], image.shape[1])
            if window is None:
                raise SettingError(f"The box {box.round(1).tolist()} shows nothing of the photo.")
            _fill(crop, image, window, bilinear=self.alignment == "inside")
        return crops

    def fits(self, height: int, width: int, box: FloatArray, landmarks: FloatArray) -> bool:
        """Whether a face of a photo of that size can be cut: its landmarks, or its box, have an extent.

        Args:
            height: Of the photo in pixels.
            width: Of the photo in pixels.
            box: (4,).
            landmarks: (5, 2).
        """
        if self.alignment == "5-point":
            return bool(np.ptp(landmarks, axis=0).max() > 1e-3)
        return self._window(np.asarray(box, np.float64), height, width) is not None

    def _window(self, box: NDArray[np.float64], height: int, width: int) -> tuple[int, int, int, int] | None:
        """x1, y1, x2, y2 in whole pixels of what is cut, or None where that shows nothing of the photo."""
        if not (np.isfinite(box).all() and np.abs(box).max() < _FARTHEST):
            return None
        low, high, sides = box[:2], box[2:], box[2:] - box[:2]
        if self.alignment == "box":
            grown = sides * self.margin / 2
            # Towards zero, as published.
            start = np.maximum(low - grown, 0).astype(int)
            end = np.minimum(high + grown, (width, height)).astype(int)
        elif self.alignment == "inside":
            return _inside(low, high, 1 + self.margin, (width, height))
        else:
            side = round(float(sides.min()) * (1 + self.margin))
            start = np.rint((low + high) / 2 - side / 2).astype(int)
            end = start + side
        inside = (end > start).all() and (end > 0).all() and (start < (width, height)).all()
        return (int(start[0]), int(start[1]), int(end[0]), int(end[1])) if inside else None


_FARTHEST = 1e7
"""Pixels; a box farther out is no box."""


def _inside(
    low: NDArray[np.float64], high: NDArray[np.float64], scale: float, photo: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The window of `"inside"`; None of a box that is empty or shows nothing of the photo.

    Args:
        low: (2,) x1, y1.
        high: (2,) x2, y2.
        scale: By how much to enlarge at most.
        photo: (width, height).
    """
    last, sides = np.subtract(photo, 1.0), high - low
    if (sides <= 0).any() or (high <= 0).any() or (low >= photo).any() or (last < 1).any():
        return None
    sides = sides * min(scale, float((last / sides).min()))
    start = np.clip((low + high - sides) / 2, 0, last - sides)
    first, end = start.astype(int), (start + sides).astype(int) + 1
    return int(first[0]), int(first[1]), int(end[0]), int(end[1])


def _fill(crop: Image, image: Image, window: tuple[int, int, int, int], *, bilinear: bool = False) -> None:
    """Write what a window shows of a photo into a crop, stretched; outside the photo it stays black."""
    import cv2  # noqa: PLC0415  see `align`

    x1, y1, x2, y2 = window
    size = len(crop)
    seen = image[max(y1, 0) : y2, max(x1, 0) : x2]
    x_scale, y_scale = size / (x2 - x1), size / (y2 - y1)
    left, top = round((max(x1, 0) - x1) * x_scale), round((max(y1, 0) - y1) * y_scale)
    right, bottom = left + round(seen.shape[1] * x_scale), top + round(seen.shape[0] * y_scale)
    right, bottom = min(right, size), min(bottom, size)
    if right > left and bottom > top:
        shrinks = right - left <= seen.shape[1] and bottom - top <= seen.shape[0]
        way = cv2.INTER_AREA if shrinks and not bilinear else cv2.INTER_LINEAR
        crop[top:bottom, left:right] = cv2.resize(seen, (right - left, bottom - top), interpolation=way)


def pose(landmarks: FloatArray) -> tuple[float, float, float]:
    """Rough head pose from five landmarks, with no 3-D model: good for ranking photos, not for measuring.

    Yaw is how far the nose tip is off the line between the middles of eyes and mouth, pitch how far it is
    along that line, both zero for the frontal face of the template; roll is the tilt of the eye line.

    Args:
        landmarks: (5, 2) pixels of the photo.

    Returns:
        (yaw, pitch, roll) in radians, see `facewise.types.Quality` for the signs.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = (
        complex(x, y) for x, y in np.asarray(landmarks, np.float64).tolist()
    )
    eye_line = right_eye - left_eye
    roll = phase(eye_line)
    level = rect(1.0, -roll)
    eyes, mouth = level * (left_eye + right_eye) / 2, level * (left_mouth + right_mouth) / 2
    tip = level * nose
    height = max(mouth.imag - eyes.imag, 1e-6)
    along = (tip.imag - eyes.imag) / height
    middle = eyes.real + (mouth.real - eyes.real) * along
    # The nose tip stands about 0.6 eye distances out of the face plane, so it moves by 0.6·sin(yaw) of one,
    # while the eye distance seen shrinks by cos(yaw).
    yaw = math.atan((tip.real - middle) / (0.6 * max(abs(eye_line), 1e-6)))
    pitch = math.atan((along - _FRONTAL_NOSE) * 2.0)
    return yaw, pitch, roll


_FRONTAL_NOSE = float(
    (TEMPLATE_112[2, 1] - TEMPLATE_112[:2, 1].mean())
    / (TEMPLATE_112[3:, 1].mean() - TEMPLATE_112[:2, 1].mean())
)
"""How far down the line from eyes to mouth the nose tip lies on the template."""


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of the grey crop (Pech-Pacheco et al. 2000); low means blurred.

    Args:
        crop: (S, S, 3) RGB uint8 aligned crop, or (S, S) in grey.

    Returns:
        Variance in grey levels squared.
    """
    import cv2  # noqa: PLC0415  see `align`

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) if crop.ndim == 3 else crop
    _, spread = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(spread[0, 0] ** 2)
