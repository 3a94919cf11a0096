"""Triangles to pixels: which is seen at each pixel, and where in it. All at once, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEPS = (2, 3, 4, 5, 6, 8, 11, 16, 24, 40, 80, 200, 1000, 4200)
"""Triangles are done together by size, so that small ones do not pay for big ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is seen at the pixels that any triangle covers.

    Attributes:
        pixels: (P,) int64 number of the pixel, row by row.
        corners: (P, 3) int64 the triangle's vertices.
        weights: (P, 3) float32 how much of each vertex is in the pixel's centre.
        depth: (size²,) float32 nearness of what is seen; -inf where nothing is.
    """

    pixels: NDArray[np.int64]
    corners: NDArray[np.int64]
    weights: NDArray[np.float32]
    depth: NDArray[np.float32]

    def only(self, chosen: NDArray[np.int64]) -> Seen:
        """Some of the pixels, by their places in `pixels`."""
        pixels, corners = self.pixels[chosen], np.take(self.corners, chosen, axis=0)
        return Seen(pixels, corners, np.take(self.weights, chosen, axis=0), self.depth)

    def mix(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the vertices (V, C), at the pixels (P, C)."""
        mixed = self.weights[:, 0:1] * np.take(values, self.corners[:, 0], axis=0)
        for i in (1, 2):
            mixed += self.weights[:, i : i + 1] * np.take(values, self.corners[:, i], axis=0)
        return np.asarray(mixed, np.float32)


def rasterise(points: NDArray[np.float32], triangles: NDArray[np.int64], size: int) -> Seen:
    """The nearest triangle at every pixel's centre; those seen from behind are left out.

    Args:
        points: (V, 3) column, row (pixel centres are at halves) and nearness of the vertices.
        triangles: (T, 3), clockwise as seen in the image.
        size: Side of the picture in pixels.
    """
    points = np.ascontiguousarray(points.T)  # numpy is quicker along rows
    triangles = triangles[_doubled_areas(points, triangles) > 1e-6]
    (left, top), (right, bottom) = _pixel_boxes(points, triangles, size)
    extent = np.maximum(right - left, bottom - top) + 1
    usable = (right >= left) & (bottom >= top)
    found = []
    low = 0
    for high in _STEPS:
        chosen = np.flatnonzero(usable & (extent > low) & (extent <= high))
        low = high
        if len(chosen):
            found.append(_inside(chosen, high, points, triangles[chosen], left[chosen], top[chosen], size))
    depth = np.full(size * size, -np.inf, np.float32)
    if not found:
        empty = np.empty((0, 3), np.int64)
        return Seen(np.empty(0, np.int64), empty, empty.astype(np.float32), depth)
    pixel, triangle, near, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.maximum.at(depth, pixel, near)
    front = np.flatnonzero(near == depth[pixel])
    # Where two are equally near the last one is kept, in the order of the triangles: always the same.
    owner = np.full(size * size, -1, np.int64)
    owner[pixel[front]] = front
    front = owner[owner >= 0]
    return Seen(pixel[front], triangles[triangle[front]], weights[front], depth)


def _doubled_areas(points: NDArray[np.float32], triangles: NDArray[np.int64]) -> NDArray[np.float32]:
    """Twice the area in pixels, negative for triangles seen from behind."""
    (ax, ay), (bx, by), (cx, cy) = (points[:2, triangles[:, i]] for i in range(3))
    return np.asarray((bx - ax) * (cy - ay) - (cx - ax) * (by - ay), np.float32)


def _pixel_boxes(
    points: NDArray[np.float32], triangles: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last column and row, (2, T) each, of the pixel centres a triangle may hold."""
    a, b, c = (points[:2, triangles[:, i]] for i in range(3))
    first = np.clip(np.ceil(np.minimum(np.minimum(a, b), c) - 0.5), 0, size)
    last = np.clip(np.floor(np.maximum(np.maximum(a, b), c) - 0.5), -1, size - 1)
    return first.astype(np.int64), last.astype(np.int64)


def _inside(
    chosen: NDArray[np.int64],
    extent: int,
    points: NDArray[np.float32],
    triangles: NDArray[np.int64],
    left: NDArray[np.int64],
    top: NDArray[np.int64],
    size: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Pixel, triangle, nearness and weights of every pixel centre within triangles.

    Args:
        chosen: (T,) numbers of the triangles.
        extent: No triangle is wider or higher, in pixels.
        points: (3, V), see `rasterise`.
        triangles: (T, 3).
        left: (T,) first column of each.
        top: (T,) first row of each.
        size: Side of the picture.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (points[:, triangles[:, i]] for i in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    px, py = left.astype(np.float32) + np.float32(0.5), top.astype(np.float32) + np.float32(0.5)
    down, across = (v.reshape(1, -1) for v in np.mgrid[:extent, :extent])
    right, below = across.astype(np.float32), down.astype(np.float32)
    parts = []
    # Barycentric weights are linear in column and row: a value at the box's first pixel and two slopes.
    for fromx, fromy, tox, toy in ((bx, by, cx, cy), (cx, cy, ax, ay)):
        per_column, per_row = -(toy - fromy) / area, (tox - fromx) / area
        start = (px - fromx) * per_column + (py - fromy) * per_row
        parts.append(start[:, None] + per_column[:, None] * right + per_row[:, None] * below)
    first, second = parts
    third = 1 - first - second
    least = np.minimum(np.minimum(first, second), third)
    at = np.flatnonzero(least >= np.float32(-1e-5))
    which, offset = np.divmod(at, extent * extent)
    column, row = left[which] + across[0, offset], top[which] + down[0, offset]
    within = (column < size) & (row < size)
    at, which, pixel = at[within], which[within], (row * size + column)[within]
    weights = np.stack([part.reshape(-1)[at] for part in (first, second, third)], axis=1)
    near = weights[:, 0] * az[which] + weights[:, 1] * bz[which] + weights[:, 2] * cz[which]
    return pixel, chosen[which], np.asarray(near, np.float32), np.asarray(weights, np.float32)
