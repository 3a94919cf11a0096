"""Learning rate by step, as a fraction of the highest: functions of the step, so resume needs no state."""

from __future__ import annotations

import math

from facewise.training.config import Schedule


def rate_at(schedule: Schedule, step: int, steps: int, steps_per_epoch: int) -> float:
    """The fraction of the learning rate for one step.

    Cosine: Loshchilov and Hutter 2017, 1608.03983, eq. 5, without restarts. Poly: (1 − t)^power. One-cycle:
    Smith and Topin 2018, 1708.07120, cosine up to the top and down. Step: `factor` after each milestone.

    Args:
        schedule: Which, and its numbers.
        step: From 0.
        steps: Of the whole run.
        steps_per_epoch: Of an epoch.

    Returns:
        In [0, 1]; a linear warm-up ends exactly at 1.
    """
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    if schedule.name == "one-cycle":
        return _one_cycle(schedule, step, steps)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "constant":
        return 1.0
    if schedule.name == "step":
        passed = sum(step >= round(epoch * steps_per_epoch) for epoch in schedule.milestones)
        return schedule.factor**passed
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = (1.0 - progress) ** schedule.power if schedule.name == "poly" else _cosine(progress)
    return schedule.final + (1.0 - schedule.final) * left


def _one_cycle(schedule: Schedule, step: int, steps: int) -> float:
    top = max(1.0, schedule.peak * steps)
    start = 1.0 / 25.0  # of the paper's implementation in fastai
    if step < top:
        return start + (1.0 - start) * (1.0 - _cosine(step / top))
    return schedule.final + (1.0 - schedule.final) * _cosine(min(1.0, (step - top) / max(1.0, steps - top)))


def _cosine(progress: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))
