"""The exact binomial interval: how often an event happens, from how often it was seen.

For counts of independent trials, above all rare ones: no false match among 3,000 impostors does not mean that
there are none (the interval reaches to 0.0012). Pairs that share people are not independent;
`identity_bootstrap` is for those.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import lru_cache

from facewise.errors import DatasetError
from facewise.metrics.bootstrap import Interval, check_level

_TINY = 1e-300
_STEPS = 1_000_000  # of the continued fraction, which takes about the root of the number of trials


def binomial_interval(count: int, of: int, level: float = 0.95) -> Interval:
    """The exact interval of a rate (Clopper and Pearson 1934): it holds the true rate at least `level` often.

    Its ends are the rates at which `count` or more, and `count` or fewer, successes have the chance
    (1 - level) / 2; with no success the low end is 0, with nothing but successes the high end is 1.

    Args:
        count: Successes, 0 to `of`.
        of: Independent trials, 1 or more.
        level: In (0, 1).

    Raises:
        DatasetError: No trials, or a count that is not an integer in 0 ... of.
        SettingError: The level is out of range.
    """
    check_level(level)
    try:
        successes, trials = operator.index(count), operator.index(of)
    except TypeError as error:
        raise DatasetError(f"Counts must be integers, not {count!r} of {of!r}.") from error
    if trials < 1:
        raise DatasetError(f"A rate needs at least one trial, not {trials}.")
    if not 0 <= successes <= trials:
        raise DatasetError(
            f"The count must lie between 0 and {trials}, the number of trials, not {successes}."
        )
    low, high = exact_ends(successes, trials, (1.0 - level) / 2.0)
    return Interval(estimate=successes / trials, low=low, high=high, level=level)


@lru_cache(maxsize=4096)  # counts come again, and each takes a tenth of a millisecond
def exact_ends(successes: float, trials: float, tail: float) -> tuple[float, float]:
    """The rates at which what was seen, or more extreme, has the chance `tail`; counts need not be whole.

    Args:
        successes: In 0 ... trials.
        trials: Above 0. Not whole where it is an effective number of trials (Korn and Graubard 1998).
        tail: In (0, 0.5).
    """
    if successes > trials / 2.0:  # rates near 1 are solved as rates near 0, where floats are finest
        low, high = exact_ends(trials - successes, trials, tail)
        return 1.0 - high, 1.0 - low
    failures = trials - successes
    if successes == 0:
        return 0.0, -math.expm1(math.log(tail) / trials)
    seen = successes / trials
    low = _solve(
        lambda rate: incomplete_beta(successes, failures + 1.0, rate),
        successes,
        failures + 1.0,
        tail,
        0.0,
        seen,
    )
    # The chance of `successes` or fewer falls as the rate rises: the upper tail of the beta distribution.
    high = _solve(
        lambda rate: incomplete_beta(failures, successes + 1.0, rate, complement=True),
        successes + 1.0,
        failures,
        tail,
        1.0,
        seen,
    )
    return low, high


def incomplete_beta(a: float, b: float, x: float, *, complement: bool = False) -> float:
    """The regularised incomplete beta function I_x(a, b).

    The continued fraction of Abramowitz and Stegun 26.5.8 (NIST DLMF 8.17.22), by Lentz's method, on the side
    where it converges fast.

    Args:
        a: Above 0.
        b: Above 0.
        x: In [0, 1].
        complement: I_(1 - x)(a, b) instead, without the rounding of 1 - x, which counts where x is tiny.
    """
    if complement:
        log_x, log_rest, x = math.log1p(-x) if x < 1 else -math.inf, math.log(x) if x else -math.inf, 1.0 - x
    else:
        log_x, log_rest = math.log(x) if x else -math.inf, math.log1p(-x) if x < 1 else -math.inf
    if math.isinf(log_x) or math.isinf(log_rest):
        return 0.0 if math.isinf(log_x) else 1.0
    front = math.exp(a * log_x + b * log_rest - _log_beta(a, b))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction 1 / (1 + d1 / (1 + d2 / (1 + ...))) of DLMF 8.17.22, by modified Lentz."""
    value = ratio = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    other = 1.0
    for m in range(1, _STEPS):
        double = a + 2.0 * m
        for term in (
            m * (b - m) * x / ((double - 1.0) * double),
            -(a + m) * (a + b + m) * x / (double * (double + 1.0)),
        ):
            ratio = 1.0 / _away_from_zero(1.0 + term * ratio)
            other = _away_from_zero(1.0 + term / other)
            value *= ratio * other
        if abs(ratio * other - 1.0) < 1e-16:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function.

    With many trials log-gamma is in the millions and its differences keep few digits, so that of the larger
    argument is Stirling's series, with the parts that cancel left out.
    """
    small, large = min(a, b), max(a, b)
    if large < 10.0:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    total = small + large
    cancelled = -(large - 0.5) * math.log1p(small / large) - small * math.log(total) + small
    return math.lgamma(small) + cancelled + _stirling(large) - _stirling(total)


def _stirling(z: float) -> float:
    """What Stirling's formula leaves of log-gamma, for z from 10 on (Abramowitz and Stegun 6.1.41)."""
    square = 1.0 / (z * z)
    series = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    return sum(term * square**power for power, term in enumerate(series)) / z


def _solve(
    chance: Callable[[float], float], a: float, b: float, target: float, outside: float, inside: float
) -> float:
    """Where `chance`, the lower or upper tail of a beta(a, b) distribution, is `target`.

    Newton's method on the logarithm of the chance, with bisection wherever a step leaves the bracket between
    `outside` (chance below the target) and `inside` (above it).
    """
    sign = 1.0 if inside > outside else -1.0
    x = (outside + inside) / 2.0
    for _ in range(200):
        tail = chance(x)
        if tail < target:
            outside = x
        else:
            inside = x
        step = math.inf
        if tail > 0.0:
            density = math.exp((a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x) - _log_beta(a, b))
            if density > 0.0:
                step = -sign * math.log(tail / target) * tail / density
        if abs(step) <= 2e-16 * x:
            return x
        moved = x + step
        between = min(outside, inside) < moved < max(outside, inside)
        following = moved if between else (outside + inside) / 2.0
        if following == x:
            return x
        x = following
    return x
