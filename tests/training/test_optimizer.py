"""Which weights decay at which rate, and the average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facewise.nn.losses import LOSSES
from facewise.training.config import Optimizer
from facewise.training.ema import Ema
from facewise.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, set_rate


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten(), nn.Linear(4, 2))


def test_norms_biases_and_slopes_do_not_decay_and_the_head_has_a_rate_of_its_own():
    net, head = network(), LOSSES.build("softmax", 2, 5)
    config = Optimizer(rate=0.1, weight_decay=0.01, head_rate=0.5, head_weight_decay=0.02)
    optimizer = make_optimizer(config, net, head)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(of) == len([*net.parameters(), *head.parameters()])
    for module, rate, decay in ((net, 0.1, 0.01), (head, 0.5, 0.02)):
        for parameter in module.parameters():
            group = of[id(parameter)]
            assert group["lr"] == rate
            assert group["weight_decay"] == (decay if parameter.ndim > 1 else 0)
    set_rate(optimizer, 0.5)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == [0.05, 0.25]


def test_frozen_weights_are_left_out():
    net = network()
    net[0].weight.requires_grad_(False)
    optimizer = make_optimizer(Optimizer(), net, nn.Identity())
    assert all(p is not net[0].weight for group in optimizer.param_groups for p in group["params"])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_state_is_put_back_to_the_bit(name):
    def steps(net, optimizer, first, last):
        for i in range(first, last):
            optimizer.zero_grad()
            net(torch.full((2, 3, 3, 3), float(i + 1))).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    nets = [network(), network()]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = [make_optimizer(Optimizer(name=name, rate=1e-3), net, nn.Identity()) for net in nets]
    names = [{p: n for n, p in net.named_parameters()} for net in nets]
    steps(nets[0], optimizers[0], 0, 3)
    nets[1].load_state_dict(nets[0].state_dict())
    load_optimizer(optimizers[1], names[1], optimizer_tensors(optimizers[0], names[0]))
    for net, optimizer in zip(nets, optimizers, strict=True):
        steps(net, optimizer, 3, 6)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_average_is_the_formula():
    module = nn.BatchNorm1d(3)
    ema = Ema(module, 0.9)
    expected = module.weight.detach().clone()
    for step in range(12):
        with torch.no_grad():
            module.weight += 1
            module.num_batches_tracked += 1
        ema.update(module, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(ema.module.weight, expected)
    assert ema.module.num_batches_tracked == 12
    assert not ema.module.weight.requires_grad
