"""Triangles to pixels: which is seen at each pixel, and where in it. All at once, in numpy.

A triangle is cut by rows of pixels into spans, a span into pixels: nothing is tried that is not covered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]
_Values = NDArray[np.float32]

_HALF = np.float32(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is seen at the pixels that any triangle covers.

    Attributes:
        pixels: (P,) number of the pixel, row by row, ascending.
        values: (A, P) of the vertices, mixed as the pixel's centre lies between them.
        depth: (size²,) nearness of what is seen; -inf where nothing is.
    """

    pixels: _Numbers
    values: _Values
    depth: _Values


def rasterise(points: _Values, values: _Values, triangles: _Numbers, size: int) -> Seen:
    """The nearest triangle at every pixel's centre; those seen from behind are left out.

    A pixel centre on an edge belongs to both of its triangles. Where a row cuts an edge is worked out by
    the same sum for both, so that no gap is between them.

    Args:
        points: (3, V) column, row (pixel centres are at halves) and nearness of the vertices.
        values: (A, V) more of the vertices that is wanted at the pixels.
        triangles: (3, T) vertices, clockwise as seen in the image.
        size: Side of the picture in pixels.
    """
    table = np.concatenate([points, values])
    first, count, starts, slopes = _spans(table, _facing(points, triangles, size), size)
    span = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(span)) - (np.cumsum(count) - count)[span]
    pixel = first[span] + place
    along = place.astype(np.float32)
    near = starts[0][span] + slopes[0][span] * along
    owner = _nearest(pixel, near, size)
    pixels = np.flatnonzero(owner >= 0)
    front = owner[pixels]
    span, along = span[front], along[front]
    depth = np.full(size * size, -np.inf, np.float32)
    depth[pixels] = near[front]
    mixed = np.empty((len(values), len(front)), np.float32)
    for found, start, slope in zip(mixed, starts[1:], slopes[1:], strict=True):
        found[:] = start[span] + slope[span] * along
    return Seen(pixels, mixed, depth)


def _facing(points: _Values, triangles: _Numbers, size: int) -> _Numbers:
    """Those triangles (3, K) seen from the front that may hold a pixel's centre."""
    x, y = points[0], points[1]
    (ax, bx, cx), (ay, by, cy) = ([plane[corner] for corner in triangles] for plane in (x, y))
    front = np.flatnonzero((bx - ax) * (cy - ay) - (cx - ax) * (by - ay) > 1e-6)
    usable = np.ones(len(front), bool)
    for corners in ((ax, bx, cx), (ay, by, cy)):
        a, b, c = (v[front] for v in corners)
        first = np.ceil(np.minimum(np.minimum(a, b), c) - _HALF)
        last = np.floor(np.maximum(np.maximum(a, b), c) - _HALF)
        usable &= (first <= last) & (last >= 0) & (first < size)
    chosen = front[usable]
    return np.stack([corner[chosen] for corner in triangles])


def _spans(table: _Values, triangles: _Numbers, size: int) -> tuple[_Numbers, _Numbers, _Values, _Values]:
    """The runs of pixels of a row that a triangle covers.

    Args:
        table: (2 + A, V) column, row and more of the vertices.
        triangles: (3, K).
        size: Side of the picture.

    Returns:
        Number of the first pixel and how many there are, (S,) each; the further values at the first pixel,
        and how much they grow from pixel to pixel, (A, S) each.
    """
    y = table[1]
    order = np.argsort(np.stack([y[corner] for corner in triangles]), axis=0, kind="stable")
    top, middle, bottom = np.take_along_axis(triangles, order, axis=0)
    # Above and below the middle vertex: two parts, each between a pair of straight edges.
    reach = [np.clip(np.ceil(y[corner] - _HALF), 0, size).astype(np.int64) for corner in (top, middle)]
    end = np.clip(np.floor(y[bottom] - _HALF) + 1, 0, size).astype(np.int64)
    first, last = np.concatenate(reach), np.concatenate([reach[1], end])
    part = np.flatnonzero(last > first)
    first, rows = first[part], (last - first)[part]
    which = np.repeat(np.arange(len(part)), rows)
    row = np.arange(len(which)) - (np.cumsum(rows) - rows - first)[which]
    centre = row.astype(np.float32) + _HALF
    one = np.concatenate([top, top])[part], np.concatenate([bottom, bottom])[part]
    other = np.concatenate([top, middle])[part], np.concatenate([middle, bottom])[part]
    shares = [
        (centre - y[start][which]) * _inverse(y[stop] - y[start])[which] for start, stop in (one, other)
    ]

    def cut(plane: _Values) -> tuple[_Values, _Values]:
        """Values where the rows cut both edges."""
        from_, to = (
            plane[start][which] + share * (plane[stop] - plane[start])[which]
            for (start, stop), share in zip((one, other), shares, strict=True)
        )
        return from_, to

    x, other_x = cut(table[0])
    left = np.maximum(np.ceil(np.minimum(x, other_x) - _HALF), 0)
    right = np.minimum(np.floor(np.maximum(x, other_x) - _HALF), size - 1)
    held = np.flatnonzero(left <= right)
    which, shares = which[held], [share[held] for share in shares]
    x, left = x[held], left[held]
    step = _inverse(other_x[held] - x)
    begin = (left + _HALF - x) * step
    starts, slopes = np.empty((2, len(table) - 2, len(held)), np.float32)
    for plane, first_value, slope in zip(table[2:], starts, slopes, strict=True):
        start, stop = cut(plane)
        stop -= start
        first_value[:] = start + begin * stop
        slope[:] = step * stop
    pixel = row[held] * size + left.astype(np.int64)
    return pixel, (right[held] - left).astype(np.int64) + 1, starts, slopes


def _inverse(length: _Values) -> _Values:
    """1 / length, and 0 for none."""
    return np.divide(1, length, out=np.zeros_like(length), where=length != 0)


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
