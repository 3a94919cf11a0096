"""Photos put over a picture, a rectangle of each, moved, turned and scaled; and what is seen of faces.

Coordinates are continuous: the middle of the first pixel is at 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.scenes.labels import MIRRORED
from facewise.data.scenes.outline import DISC, ellipse_points
from facewise.data.scenes.photos import LabelledPhoto
from facewise.types import FloatArray, Image

Matrix = NDArray[np.float64]
"""(2, 3): a similarity, perhaps with a mirror, from photo to picture."""

_SHIFT = 4
"""Bits after the point in which OpenCV takes corners."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A rectangle of a photo in a picture.

    Attributes:
        photo: Where from.
        matrix: From pixels of the photo to pixels of the picture.
        part: x1, y1, x2, y2 of the photo that is shown.
        soft: Width of the edge over which it fades, as a share of its shorter side in the picture.
        gain: Factor on its grey levels.
    """

    photo: LabelledPhoto
    matrix: Matrix
    part: tuple[float, float, float, float]
    soft: float = 0.0
    gain: float = 1.0

    @cached_property
    def scale(self) -> float:
        """Pixels of the picture to one of the photo."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))

    @cached_property
    def corners(self) -> FloatArray:
        """(4, 2) of its rectangle, in the picture."""
        x1, y1, x2, y2 = self.part
        return moved(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32), self.matrix)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 around it in the picture."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def covers(self, points: FloatArray) -> NDArray[np.bool_]:
        """Which points (…, 2) of the picture lie in its rectangle."""
        linear = np.linalg.inv(self.matrix[:, :2])
        source = (points - self.matrix[:, 2]) @ linear.T
        x1, y1, x2, y2 = self.part
        inside: NDArray[np.bool_] = (
            (source[..., 0] >= x1) & (source[..., 0] <= x2) & (source[..., 1] >= y1) & (source[..., 1] <= y2)
        )
        return inside


def similarity(
    scale: float,
    turn: float,
    source: tuple[float, float],
    target: tuple[float, float],
    *,
    mirror: bool = False,
) -> Matrix:
    """Scale, turn clockwise by radians, and bring a point of the photo to a point of the picture."""
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    if mirror:
        linear = linear @ np.diag([-1.0, 1.0])
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(source)])


def moved(points: FloatArray, matrix: Matrix) -> FloatArray:
    """Points (…, 2) of a photo in the picture."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def paste(picture: Image, layer: Layer) -> None:
    """Draw a layer into a picture, in place."""
    x1, y1, x2, y2 = layer.bounds
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    right, bottom = min(picture.shape[1], math.ceil(x2)), min(picture.shape[0], math.ceil(y2))
    if right <= left or bottom <= top:
        return
    patch = _warped(layer, left, top, right - left, bottom - top)
    if layer.gain != 1.0:
        patch = np.asarray(cv2.convertScaleAbs(patch, alpha=layer.gain), np.uint8)
    place = picture[top:bottom, left:right]
    soft = round(layer.soft * min(right - left, bottom - top))
    mask = _mask(layer, left, top, right - left, bottom - top, soft)
    if soft < 1:
        cv2.copyTo(patch, mask, place)
        return
    share = mask.astype(np.float32) / np.float32(255)
    place[:] = cv2.blendLinear(patch, np.ascontiguousarray(place), share, 1 - share)


def _mask(layer: Layer, left: int, top: int, width: int, height: int, soft: int) -> NDArray[np.uint8]:
    """(height, width) how much of the layer shows, 0 to 255: it has faded out where its rectangle ends."""
    # With room around, so that an edge of the layer fades and an edge of the picture does not.
    mask = np.zeros((height + 2 * soft, width + 2 * soft), np.uint8)
    corners = np.rint((layer.corners - [left - soft, top - soft] - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 255, cv2.LINE_8, _SHIFT)
    if soft < 1:
        return mask
    side = 2 * (soft // 2) + 1
    inner = cv2.erode(mask, np.ones((side, side), np.uint8), borderValue=255)
    faded = cv2.blur(inner, (side, side))[soft : soft + height, soft : soft + width]
    return np.ascontiguousarray(faded, np.uint8)


def _warped(layer: Layer, left: int, top: int, width: int, height: int) -> Image:
    """The part of the picture from (left, top) as the photo alone would fill it."""
    levels = layer.photo.levels
    level = int(np.clip(math.floor(-math.log2(max(layer.scale, 1e-6)) + 1e-6), 0, len(levels) - 1))
    source = levels[level]
    ratio = np.array([levels[0].shape[1] / source.shape[1], levels[0].shape[0] / source.shape[0]], np.float64)
    linear = layer.matrix[:, :2] * ratio
    # From continuous coordinates to OpenCV's, in which the middle of the first pixel is 0.
    shift = layer.matrix[:, 2] - [left, top] + linear @ [0.5, 0.5] - 0.5
    matrix = np.column_stack([linear, shift])
    warped = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class SeenFaces:
    """Faces of several layers as they appear in the picture.

    Attributes:
        boxes: (F, 4) around what is seen.
        landmarks: (F, 5, 2).
        seen: (F, 5) of the landmarks.
        share: (F,) of the face that is seen, 0 to 1.
        sure: (F,) as in the photos.
    """

    boxes: FloatArray
    landmarks: FloatArray
    seen: NDArray[np.bool_]
    share: FloatArray
    sure: NDArray[np.bool_]


def faces_of(layers: Sequence[Layer], size: tuple[int, int]) -> SeenFaces:
    """All faces of layers put one over the other, the last on top.

    Args:
        layers: From the bottom up.
        size: (height, width) of the picture.
    """
    found = [_faces_of(layers, i, size) for i in range(len(layers)) if len(layers[i].photo.boxes)]
    if not found:
        return SeenFaces(
            np.empty((0, 4), np.float32),
            np.empty((0, 5, 2), np.float32),
            np.empty((0, 5), bool),
            np.empty(0, np.float32),
            np.empty(0, bool),
        )
    boxes, marks, seen, share, sure = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SeenFaces(boxes, marks, seen, share, sure)


def _faces_of(
    layers: Sequence[Layer], number: int, size: tuple[int, int]
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray, NDArray[np.bool_]]:
    layer, photo = layers[number], layers[number].photo
    outline = moved(ellipse_points(photo.boxes, photo.landmarks, DISC), layer.matrix)
    marks = moved(photo.landmarks, layer.matrix)
    if np.linalg.det(layer.matrix[:, :2]) < 0:
        marks = marks[:, MIRRORED]
    points = np.concatenate([outline, marks], axis=1)
    inside = (points >= 0).all(axis=-1) & (points <= [size[1], size[0]]).all(axis=-1) & layer.covers(points)
    for other in layers[number + 1 :]:
        if _near(layer, other):
            inside &= ~other.covers(points)
    visible, seen = inside[:, : len(DISC)], inside[:, len(DISC) :]
    # Where all is seen the box is exact; else it goes around what is.
    hidden = np.where(visible[..., None], 0, np.inf)
    boxes = np.concatenate([(outline + hidden).min(axis=1), (outline - hidden).max(axis=1)], axis=1)
    some = visible.any(axis=1)
    share = visible.mean(axis=1, dtype=np.float32)
    return (
        boxes[some].astype(np.float32),
        marks[some],
        seen[some],
        share[some],
        photo.sure[some],
    )


def _near(a: Layer, b: Layer) -> bool:
    ax1, ay1, ax2, ay2 = a.bounds
    bx1, by1, bx2, by2 = b.bounds
    return ax1 < bx2 and bx1 < ax2 and ay1 < by2 and by1 < ay2
