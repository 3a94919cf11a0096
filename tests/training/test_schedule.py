"""Learning rates against PyTorch's own schedulers, and what holds for all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from facewise.training.config import Schedule
from facewise.training.schedule import rate_at

STEPS, PER_EPOCH = 60, 10


def ours(**settings):
    schedule = Schedule(**({"warmup_epochs": 0} | settings))
    return [rate_at(schedule, step, STEPS, PER_EPOCH) for step in range(STEPS)]


def theirs(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"name": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        ({"name": "cosine", "final": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)),
        ({"name": "poly", "power": 2.0}, lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=2.0)),
        (
            {"name": "step", "milestones": (2, 4), "factor": 0.1},
            lambda o: lr_scheduler.MultiStepLR(o, [20, 40], gamma=0.1),
        ),
        ({"name": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    ],
)
def test_rates_are_those_of_pytorch(settings, make):
    assert ours(**settings) == pytest.approx(theirs(make), abs=1e-12)


def test_warmup_rises_evenly_to_the_top_and_hands_over():
    rates = ours(name="cosine", warmup_epochs=2)
    assert rates[:20] == pytest.approx([(i + 1) / 20 for i in range(20)])
    assert rates[20] == pytest.approx(1.0)


def test_one_cycle_rises_and_falls():
    rates = ours(name="one-cycle", peak=0.25)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[15] == pytest.approx(1.0)
    assert max(rates) == rates[15]
    assert rates[-1] < 0.01


@given(
    name=st.sampled_from(["cosine", "poly", "one-cycle", "step", "constant"]),
    warmup=st.floats(0, 8),
    step=st.integers(0, STEPS - 1),
)
def test_a_rate_is_a_fraction(name, warmup, step):
    assert (
        0 <= rate_at(Schedule(name=name, warmup_epochs=warmup, milestones=(1,)), step, STEPS, PER_EPOCH) <= 1
    )
