"""Row optimisers: PyTorch's own where all rows take part, and PyTorch's own on each row where some do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facewise.errors import SettingError
from facewise.training import row_optim
from facewise.training.row_optim import RowAdamW, RowSGD

ROWS, D = 7, 3
PAIRS = {
    "sgd": (RowSGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "plain sgd": (RowSGD, torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.0}),
    "adamw": (RowAdamW, torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
}


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    monkeypatch.setattr(row_optim, "_ROWS", 2)


def first():
    return torch.randn(ROWS, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def target(step: int):
    return torch.randn(ROWS, D, generator=torch.Generator().manual_seed(step + 1), dtype=torch.float64)


@pytest.mark.parametrize("name", PAIRS)
def test_with_all_rows_it_is_the_optimiser_of_pytorch(name):
    ours, theirs, options = PAIRS[name]
    results = []
    for make in (ours, theirs):
        weight = nn.Parameter(first())
        optimizer = make([weight], lr=0.1, **options)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        for step in range(6):
            optimizer.zero_grad()
            (weight - target(step)).square().sum().backward()
            optimizer.step()
            schedule.step()
        results.append(weight.detach())
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_with_some_rows_each_is_a_parameter_of_its_own(name):
    ours, theirs, options = PAIRS[name]
    weight = nn.Parameter(first())
    optimizer = ours([weight], lr=0.1, **options)
    alone = [nn.Parameter(row[None].clone()) for row in first()]
    others = [theirs([row], lr=0.1, **options) for row in alone]
    for step, sample in enumerate([[0, 2, 5], [2, 3], [0, 1, 2, 5], [5], [2, 4]]):
        optimizer.zero_grad()
        # Row 2 is used twice, as by two batches of one step.
        used = torch.tensor(sample + ([2] if 2 in sample else []))
        loss = (nn.functional.embedding(used, weight, sparse=True) - target(step)[used]).square().sum()
        loss.backward()
        optimizer.step()
        for row in sample:
            others[row].zero_grad()
            ((alone[row] - target(step)[row]).square().sum() * (2 if row == 2 else 1)).backward()
            others[row].step()
    torch.testing.assert_close(weight.detach(), torch.cat(alone).detach(), rtol=0, atol=1e-12)
    assert torch.equal(weight[6], first()[6])
    assert all(not value[6].any() for value in optimizer.state[weight].values())


@pytest.mark.parametrize("name", PAIRS)
def test_state_survives(name):
    make, _, options = PAIRS[name]

    def train(weight, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            used = torch.tensor([step % ROWS, 6])
            (
                nn.functional.embedding(used, weight, sparse=True) - target(step)[used]
            ).square().sum().backward()
            optimizer.step()

    whole = nn.Parameter(first())
    train(whole, make([whole], lr=0.1, **options), range(5))
    half = nn.Parameter(first())
    optimizer = make([half], lr=0.1, **options)
    train(half, optimizer, range(3))
    resumed = nn.Parameter(half.detach().clone())
    again = make([resumed], lr=0.1, **options)
    again.load_state_dict(optimizer.state_dict())
    train(resumed, again, range(3, 5))
    assert torch.equal(resumed, whole)


def test_no_gradient_no_change_and_no_closure():
    weight = nn.Parameter(first())
    optimizer = RowSGD([weight], lr=0.1)
    optimizer.step()
    assert torch.equal(weight, first())
    assert not optimizer.state[weight]
    with pytest.raises(SettingError, match="closure"):
        optimizer.step(lambda: 0.0)
