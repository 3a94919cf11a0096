"""Triangles to pixels, against the same done one pixel at a time."""

from __future__ import annotations

import numpy as np

from facewise.data.synthetic.raster import Seen, rasterise


def seen_of(points: np.ndarray, triangles: np.ndarray, size: int) -> Seen:
    """Points (V, 3) and triangles (T, 3) drawn, with the nearness as the value that is wanted."""
    planes = np.ascontiguousarray(points.T, np.float32)
    return rasterise(planes, planes[2:], triangles.T, size)


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
        seen = seen_of(points, triangles, size)
        expected, margin = slowly(points, triangles, size)
        clear = margin > 1e-3  # a pixel centre on an edge may go either way
        assert np.allclose(seen.depth.reshape(size, size)[clear], expected[clear], atol=1e-3)
        assert np.array_equal(np.flatnonzero(np.isfinite(seen.depth)), seen.pixels)
        assert np.allclose(seen.values[0], seen.depth[seen.pixels], atol=1e-4)


def test_a_square_of_two_triangles_has_no_gap_and_backs_are_not_seen():
    points = np.array([[2, 2, 0], [10, 2, 0], [10, 10, 0], [2, 10, 0]], np.float32)
    square = np.array([[0, 1, 2], [0, 2, 3]])
    seen = seen_of(points, square, 12)
    expected = np.zeros((12, 12), bool)
    expected[2:10, 2:10] = True
    assert np.array_equal(np.isfinite(seen.depth.reshape(12, 12)), expected)
    assert len(np.unique(seen.pixels)) == len(seen.pixels) == 64
    assert not len(seen_of(points, square[:, ::-1], 12).pixels)


def test_a_fine_net_has_no_gap_and_its_values_run_on():
    """Also where rows of the net lie on pixel centres."""
    size, rows, columns = 40, 23, 17
    rng = np.random.default_rng(2)
    row, column = np.mgrid[:rows, :columns].astype(np.float64)
    inner = (row > 0) & (row < rows - 1) & (column > 0) & (column < columns - 1)
    x = 2.5 + column * 35 / (columns - 1) + inner * rng.uniform(-0.6, 0.6, row.shape)
    y = 2.5 + row * 35 / (rows - 1) + inner * rng.choice([-0.5, -0.25, 0.0, 0.25, 0.5], row.shape)
    points = np.stack([x, y, 0.3 * x - 0.2 * y], -1).reshape(-1, 3)
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (v.reshape(-1) for v in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    seen = seen_of(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), size)
    covered = np.zeros((size, size), bool)
    covered.reshape(-1)[seen.pixels] = True
    assert covered[3:37, 3:37].all()
    assert not covered[:2].any()
    assert not covered[38:].any()
    at_row, at_column = np.divmod(seen.pixels, size)
    assert np.allclose(seen.values[0], 0.3 * (at_column + 0.5) - 0.2 * (at_row + 0.5), atol=1e-4)


def test_nothing_before_the_camera_is_no_pixel():
    points = np.array([[-9, -9, 0], [-2, -9, 0], [-2, -2, 0]])
    seen = seen_of(points, np.array([[0, 1, 2]]), 12)
    assert not len(seen.pixels)
    assert seen.values.shape == (1, 0)
    assert np.isneginf(seen.depth).all()
