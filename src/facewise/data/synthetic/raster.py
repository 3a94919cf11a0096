"""Triangles to pixels: which is seen at each pixel, and where in it. All at once, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]
_Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is seen at the pixels that any triangle covers.

    Attributes:
        pixels: (P,) number of the pixel, row by row, ascending.
        corners: (3, P) the triangle's vertices.
        weights: (3, P) how much of each vertex is in the pixel's centre.
        depth: (size²,) nearness of what is seen; -inf where nothing is.
    """

    pixels: _Numbers
    corners: _Numbers
    weights: _Values
    depth: _Values

    def mix(self, values: _Values) -> _Values:
        """Values of the vertices (V,), at the pixels (P,)."""
        mixed = self.weights[0] * values[self.corners[0]]
        for i in (1, 2):
            mixed += self.weights[i] * values[self.corners[i]]
        return np.asarray(mixed, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """Runs of pixels in a row that a triangle covers.

    Attributes:
        triangle: (S,) of the corners given.
        pixel: (S,) number of the first pixel.
        count: (S,) how many pixels.
        along: (S,) how far from one edge (0) to the other (1) the first pixel's centre is.
        step: (S,) how much farther the next one is.
        edges: Each of both edges as (top, bottom): (S,) how much of the triangle's top and bottom vertex
            there is where the row crosses the edge; the rest is the middle vertex's.
    """

    triangle: _Numbers
    pixel: _Numbers
    count: _Numbers
    along: _Values
    step: _Values
    edges: tuple[tuple[_Values, _Values], tuple[_Values, _Values]]


def rasterise(points: _Values, triangles: _Numbers, size: int) -> Seen:
    """The nearest triangle at every pixel's centre; those seen from behind are left out.

    A pixel centre on an edge belongs to both of its triangles. An edge is cut by a row by the same sum for
    both, so that no gap is between them.

    Args:
        points: (3, V) column, row (pixel centres are at halves) and nearness of the vertices.
        triangles: (3, T) vertices, clockwise as seen in the image.
        size: Side of the picture in pixels.
    """
    corners = _sorted_down(points, _facing(points, triangles, size))
    spans = _spans(points, corners, size)
    nearness = points[2][corners]
    near, slope = (_blend(edge, nearness[:, spans.triangle]) for edge in spans.edges)
    slope -= near
    near += spans.along * slope
    slope *= spans.step

    ends = np.cumsum(spans.count)
    starts = ends - spans.count
    total = int(ends[-1]) if len(ends) else 0
    span = np.repeat(np.arange(len(spans.count)), spans.count)
    place = np.arange(total) - starts[span]
    pixel = spans.pixel[span] + place
    depth_of = near[span] + slope[span] * place.astype(np.float32)
    owner = _nearest(pixel, depth_of, size)
    pixels = np.flatnonzero(owner >= 0)
    front = owner[pixels]
    depth = np.full(size * size, -np.inf, np.float32)
    depth[pixels] = depth_of[front]
    return Seen(pixels, *_corners_at(spans, corners, span[front], place[front]), depth)


def _facing(points: _Values, triangles: _Numbers, size: int) -> _Numbers:
    """Those triangles (3, K) seen from the front that may hold a pixel's centre."""
    (ax, ay), (bx, by), (cx, cy) = (points[:2, corner] for corner in triangles)
    usable = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay) > 1e-6
    for a, b, c in ((ax, bx, cx), (ay, by, cy)):
        first = np.ceil(np.minimum(np.minimum(a, b), c) - np.float32(0.5))
        last = np.floor(np.maximum(np.maximum(a, b), c) - np.float32(0.5))
        usable &= (first <= last) & (last >= 0) & (first < size)
    return triangles[:, np.flatnonzero(usable)]


def _sorted_down(points: _Values, triangles: _Numbers) -> _Numbers:
    """The same triangles, top vertex first, bottom vertex last."""
    order = np.argsort(points[1][triangles], axis=0, kind="stable")
    return np.asarray(np.take_along_axis(triangles, order, axis=0), np.int64)


def _spans(points: _Values, corners: _Numbers, size: int) -> _Spans:
    """The rows of triangles whose vertices are sorted down."""
    half = np.float32(0.5)
    x, y = points[0][corners], points[1][corners]
    first = np.maximum(np.ceil(y[0] - half), 0).astype(np.int64)
    last = np.minimum(np.floor(y[2] - half), size - 1).astype(np.int64)
    rows = np.maximum(last - first + 1, 0)
    triangle = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(triangle)) - np.repeat(np.cumsum(rows) - rows - first, rows)
    middle = row.astype(np.float32) + half
    whole = np.repeat(_inverse(y[2] - y[0]), rows)  # from the top vertex to the bottom one
    x, y = x[:, triangle], y[:, triangle]
    upper = middle < y[1]
    # The other edge of a row runs from the top to the middle vertex or from there to the bottom one.
    from_x, to_x = np.where(upper, x[0], x[1]), np.where(upper, x[1], x[2])
    from_y, to_y = np.where(upper, y[0], y[1]), np.where(upper, y[1], y[2])
    share = (middle - y[0]) * whole
    other = (middle - from_y) * _inverse(to_y - from_y)
    one_x, other_x = x[0] + share * (x[2] - x[0]), from_x + other * (to_x - from_x)
    left = np.maximum(np.ceil(np.minimum(one_x, other_x) - half), 0)
    right = np.minimum(np.floor(np.maximum(one_x, other_x) - half), size - 1)
    held = np.flatnonzero(left <= right)
    triangle, row, left, right = triangle[held], row[held], left[held], right[held]
    share, other, upper, one_x = share[held], other[held], upper[held], one_x[held]
    step = _inverse(other_x[held] - one_x)
    column = left.astype(np.int64)
    edges = (
        (1 - share, share),
        (np.where(upper, 1 - other, 0).astype(np.float32), np.where(upper, 0, other).astype(np.float32)),
    )
    count = right.astype(np.int64) - column + 1
    return _Spans(triangle, row * size + column, count, (left + half - one_x) * step, step, edges)


def _inverse(length: _Values) -> _Values:
    """1 / length, and 0 for none."""
    return np.divide(1, length, out=np.zeros_like(length), where=length != 0)


def _blend(edge: tuple[_Values, _Values], values: _Values) -> _Values:
    """What values (3, S) of the vertices are on an edge."""
    top, bottom = edge
    return np.asarray(values[1] + top * (values[0] - values[1]) + bottom * (values[2] - values[1]), np.float32)


def _nearest(pixel: _Numbers, near: _Values, size: int) -> _Numbers:
    """(size²,) which of the candidates (N,) is nearest at each pixel; -1 where there is none.

    `np.maximum.at` would be slower: few pixels have more than one candidate. Where two are equally near, the
    order of the triangles decides, always in the same way.
    """
    owner = np.full(size * size, -1, np.int64)
    number = np.arange(len(pixel))
    owner[pixel] = number  # the last candidate of a pixel
    rest = np.flatnonzero(owner[pixel] != number)
    while len(rest):
        rest = rest[near[rest] > near[owner[pixel[rest]]]]
        owner[pixel[rest]] = rest
        rest = rest[owner[pixel[rest]] != rest]
    return owner


def _corners_at(
    spans: _Spans, corners: _Numbers, span: _Numbers, place: _Numbers
) -> tuple[_Numbers, _Values]:
    """The vertices and their weights, (3, P) each, at places of spans."""
    along = spans.along[span] + spans.step[span] * place.astype(np.float32)
    weights = np.empty((3, len(span)), np.float32)
    for at, one, other in zip((0, 2), *spans.edges, strict=True):
        weights[at] = one[span] + along * (other - one)[span]
    weights[1] = 1 - weights[0] - weights[2]
    return corners[:, spans.triangle[span]], weights
