"""What boxes share, against counting pixels and against a naive formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.boxes import intersection_over_first, intersection_over_union

CORNER = st.integers(0, 12)
BOX = st.tuples(CORNER, CORNER, CORNER, CORNER).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


def pixels(box: tuple[int, int, int, int]) -> np.ndarray:
    grid = np.zeros((12, 12), bool)
    grid[box[1] : box[3], box[0] : box[2]] = True
    return grid


@given(BOX, BOX)
def test_shares_are_those_of_counted_pixels(a, b):
    one, two = pixels(a), pixels(b)
    shared, union = (one & two).sum(), (one | two).sum()
    assert intersection_over_union(np.array(a), np.array(b)) == pytest.approx(shared / max(union, 1))
    assert intersection_over_first(np.array(a), np.array(b)) == pytest.approx(shared / max(one.sum(), 1))


@given(BOX, BOX)
def test_the_order_does_not_matter_and_a_box_is_itself(a, b):
    one, two = np.array(a, np.float32), np.array(b, np.float32)
    assert intersection_over_union(one, two) == intersection_over_union(two, one)
    assert intersection_over_union(one, one) == float(np.prod(one[2:] - one[:2]) > 0)


def test_all_pairs_and_pairs_in_order_agree():
    rng = np.random.default_rng(0)
    a, b = (
        np.sort(rng.uniform(0, 50, (20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32) for _ in range(2)
    )
    each = intersection_over_union(a[:, None], b[None])
    assert each.shape == (20, 20)
    np.testing.assert_array_equal(intersection_over_union(a, b), np.diag(each))


def test_a_box_inside_out_shares_nothing():
    assert intersection_over_union(np.array([5, 5, 1, 1]), np.array([0, 0, 9, 9])) == 0
    assert intersection_over_union(np.empty((0, 4)), np.array([0, 0, 9, 9])).shape == (0,)
