"""Student's t distribution, for intervals from a variance that was itself estimated."""

from __future__ import annotations

import math

from facewise.metrics.binomial import incomplete_beta


def student_tails(t: float, freedom: float) -> float:
    """The chance of a value at least as far from 0 as `t`, on either side (DLMF 8.17; A. and S. 26.7.1).

    Args:
        t: Any number.
        freedom: Degrees of freedom, above 0, not necessarily whole.
    """
    square = t * t
    if square > freedom:
        return incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + square))
    return incomplete_beta(freedom / 2.0, 0.5, square / (freedom + square), complement=True)


def student_quantile(level: float, freedom: float) -> float:
    """The distance from 0 within which a share `level` of values lies: 1.96 for 0.95 and much freedom.

    Args:
        level: In (0, 1).
        freedom: Degrees of freedom, above 0, not necessarily whole.
    """
    low, high = 0.0, 1.0
    while student_tails(high, freedom) > 1.0 - level and high < 1e300:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in {low, high}:
            break
        if student_tails(middle, freedom) > 1.0 - level:
            low = middle
        else:
            high = middle
    return high if math.isfinite(high) else low
