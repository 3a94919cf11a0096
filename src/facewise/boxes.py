"""How much boxes (x1, y1, x2, y2) share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Boxes = NDArray[np.floating[Any]]
_Shares = NDArray[np.float64]

_LEAST_AREA = 1e-12


def intersection_over_union(a: _Boxes, b: _Boxes) -> _Shares:
    """Jaccard's index of boxes, in float64.

    Args:
        a: (..., 4). What is inside out has no area.
        b: (..., 4) of a shape that broadcasts with it: `a[:, None]` and `b[None]` for all pairs, equal shapes
            for pairs in order.

    Returns:
        (...,) from 0 to 1; 0 where neither has an area.
    """
    shared, first, second = _areas(a, b)
    return np.asarray(shared / np.maximum(first + second - shared, _LEAST_AREA))


def intersection_over_first(a: _Boxes, b: _Boxes) -> _Shares:
    """The share of each box of `a` that lies in `b`; see `intersection_over_union`."""
    shared, first, _ = _areas(a, b)
    return np.asarray(shared / np.maximum(first, _LEAST_AREA))


def _areas(a: _Boxes, b: _Boxes) -> tuple[_Shares, _Shares, _Shares]:
    """Of the intersections, of `a` and of `b`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return _area(high - low), _area(a[..., 2:] - a[..., :2]), _area(b[..., 2:] - b[..., :2])


def _area(sides: _Shares) -> _Shares:
    return np.asarray(np.maximum(sides[..., 0], 0) * np.maximum(sides[..., 1], 0))
