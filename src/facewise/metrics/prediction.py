"""Where a rate measured once will lie when it is measured again, on others."""

from __future__ import annotations

import math

from facewise.errors import SettingError


def prediction_limits(estimate: float, trials: float, again: float, quantile: float) -> tuple[float, float]:
    """The ends of the interval for a share measured anew, which has noise of its own.

    Krishnamoorthy and Peng 2011 ("Improved closed-form prediction intervals for binomial and Poisson
    distributions", the joint sampling approach): the shares y for which
    (y - e)² <= q² p (1 - p) (1 / n + 1 / m), where p is the share in both samples together. For m without
    bound that is the interval of the true rate (Wilson 1927).

    Args:
        estimate: e, measured, in [0, 1].
        trials: n, how many independent trials it is worth, above 0; need not be whole.
        again: m, likewise of the measurement to come.
        quantile: q, 1.96 for 95%.

    Raises:
        SettingError: The estimate or a number of trials is out of range.
    """
    if not 0.0 <= estimate <= 1.0 or not trials > 0.0 or not again > 0.0:
        raise SettingError("A prediction needs a share between 0 and 1, and trials before and to come.")
    old = trials / (trials + again)  # what the old measurement weighs in both together
    new = 1.0 - old
    factor = quantile**2 * (1.0 / trials + 1.0 / again)
    # p = old e + new y in (y - e)² = factor p (1 - p), sorted by powers of y.
    square = 1.0 + factor * new**2
    linear = -2.0 * estimate - factor * new * (1.0 - 2.0 * old * estimate)
    constant = estimate**2 - factor * old * estimate * (1.0 - old * estimate)
    root = math.sqrt(max(0.0, linear**2 - 4.0 * square * constant))
    low, high = (-linear - root) / (2.0 * square), (-linear + root) / (2.0 * square)
    return min(max(0.0, low), estimate), max(min(1.0, high), estimate)
