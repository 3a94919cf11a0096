"""Triangles to pixels, against the same done one pixel at a time."""

from __future__ import annotations

import numpy as np

from facewise.data.synthetic.raster import rasterise


def slowly(points: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearness, and how far the pixel is from every edge, one pixel and one triangle at a time."""
    depth, margin = np.full((size, size), -np.inf), np.full((size, size), np.inf)
    for a, b, c in points[triangles].astype(np.float64):
        matrix = np.stack([a[:2] - c[:2], b[:2] - c[:2]], 1)
        if np.linalg.det(matrix) <= 1e-6:
            continue
        for row in range(size):
            for column in range(size):
                first, second = np.linalg.solve(matrix, np.array([column + 0.5, row + 0.5]) - c[:2])
                weights = np.array([first, second, 1 - first - second])
                margin[row, column] = min(margin[row, column], np.abs(weights).min())
                if weights.min() >= 0:
                    depth[row, column] = max(depth[row, column], weights @ [a[2], b[2], c[2]])
    return depth, margin


def test_the_nearest_triangle_is_seen():
    rng = np.random.default_rng(0)
    size = 14
    for _ in range(6):
        points = np.concatenate([rng.uniform(-4, size + 4, (15, 2)), rng.uniform(0, 9, (15, 1))], 1)
        triangles = rng.permutation(15).reshape(5, 3)
        seen = rasterise(points.astype(np.float32), triangles, size)
        expected, margin = slowly(points, triangles, size)
        clear = margin > 1e-3  # a pixel centre on an edge may go either way
        assert np.allclose(seen.depth.reshape(size, size)[clear], expected[clear], atol=1e-3)
        assert np.array_equal(np.flatnonzero(np.isfinite(seen.depth)), seen.pixels)
        assert np.allclose(
            seen.mix(points[:, 2:].astype(np.float32))[:, 0], seen.depth[seen.pixels], atol=1e-4
        )


def test_a_square_of_two_triangles_has_no_gap_and_backs_are_not_seen():
    points = np.array([[2, 2, 0], [10, 2, 0], [10, 10, 0], [2, 10, 0]], np.float32)
    square = np.array([[0, 1, 2], [0, 2, 3]])
    seen = rasterise(points, square, 12)
    expected = np.zeros((12, 12), bool)
    expected[2:10, 2:10] = True
    assert np.array_equal(np.isfinite(seen.depth.reshape(12, 12)), expected)
    assert len(np.unique(seen.pixels)) == len(seen.pixels) == 64
    assert np.allclose(seen.weights.sum(1), 1)
    assert not len(rasterise(points, square[:, ::-1], 12).pixels)
