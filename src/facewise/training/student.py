"""Student's t distribution, which numpy does not have."""

from __future__ import annotations

import math

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


def two_sided(t: float, freedom: int) -> float:
    """P(|T| ≥ |t|) of Student's t with `freedom` ≥ 1 degrees of freedom.

    With T = √ν tan θ the density is K cos^(ν-1) θ, integrated here from there on by Gauss and Legendre.
    """
    t = abs(t)
    start, stop = math.atan(t / math.sqrt(freedom)), math.pi / 2
    if freedom >= 1000:  # the density is narrow, and nothing is left of it further out
        stop = math.atan((t + 60) / math.sqrt(freedom))
    angles = start + (stop - start) * (_NODES + 1) / 2
    density = np.exp((freedom - 1) * np.log(np.cos(angles)) + _log_k(freedom))
    return min(1.0, float((stop - start) * (_WEIGHTS @ density)))


def student_quantile(p: float, freedom: int) -> float:
    """The t ≥ 0 with P(|T| ≥ t) = p > 0, by Newton: the tail is convex, no step from 0 goes too far."""
    t = 0.0
    for _ in range(200):
        log_density = _log_k(freedom) - (freedom + 1) / 2 * math.log1p(t * t / freedom)
        step = (two_sided(t, freedom) - p) / (2 * math.exp(log_density) / math.sqrt(freedom))
        t += step
        if step <= 1e-12 * t:
            break
    return t


def _log_k(freedom: int) -> float:
    return math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
