"""Stages of every backbone, and when each of them may move."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from facewise.nn.backbones import BACKBONES, info
from facewise.nn.fast import faster
from facewise.training.freezing import Freezing
from facewise.training.optimizer import make_optimizer
from facewise.training.settings import Optimizer, Start
from facewise.training.stages import stages_of

LARGER = {
    "adaface-ir101",
    "adaface-ir50",
    "iresnet100",
    "iresnet50",
    "iresnet34",
    "ir50",
    "resnet34",
    "vit-small",
}
"""The same code as others here, and slower to make."""

KNOWN = [name for name in BACKBONES.names() if not name.startswith("test-") and name not in LARGER]


def made(name):
    """A network and the shape of its input; VGG's first linear layer has 100 million weights at full size."""
    if name == "vgg16":
        return BACKBONES.build(name, unit=False, input_size=64), (3, 64, 64)
    return BACKBONES.build(name, unit=False), info(name).input_shape


@pytest.mark.parametrize("name", KNOWN)
def test_stages_hold_every_weight_once_from_the_pixels_up(name):
    network, shape = made(name)
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    stages = stages_of(network, shape)
    names = [parameter for stage in stages for parameter in stage.parameters]
    assert sorted(names) == sorted(key for key, _ in network.named_parameters())
    assert 4 <= len(stages) <= 14
    assert all(stage.parameters for stage in stages)
    modules = [module for stage in stages for module in stage.modules]
    assert len(modules) == len(set(modules))
    covered = {id(m) for module in modules for m in network.get_submodule(module).modules()}
    normed = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(id(m) in covered for m in normed)
    # Looking at it changed nothing.
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    # What sees the pixels is at the bottom, what makes the embedding at the top.
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3)
    bottom = {id(network.get_parameter(parameter)) for parameter in stages[0].parameters}
    assert id(first.weight) in bottom


def test_gradients_stop_below_the_first_free_stage():
    """The order is that of the data: with stages frozen below, everything above still learns."""
    network = BACKBONES.build("mobilefacenet", unit=False)
    stages = stages_of(network, info("mobilefacenet").input_shape)
    freezing = Freezing(Start(model="m", freeze="gradual", unfreeze_epochs=5), network, stages)
    network.train()
    freezing.apply(2.0)
    network(torch.randn(2, 3, 112, 112)).sum().backward()
    for i, stage in enumerate(stages):
        learning = [network.get_parameter(name).grad is not None for name in stage.parameters]
        assert all(learning) if i >= 3 else not any(learning)


def test_faster_layers_have_the_same_stages():
    plain = BACKBONES.build("mobilefacenet", unit=False)
    expected = stages_of(plain, (3, 112, 112))
    assert stages_of(faster(plain), (3, 112, 112)) == expected


@pytest.mark.parametrize("name", ["mobilefacenet-relu6", "mbf"])
def test_published_stages_of_mobilefacenet(name):
    """56, 28, 14 and 7 pixels, then the embedding (1804.07573, table 1)."""
    assert len(stages_of(BACKBONES.build(name, unit=False), (3, 112, 112))) == 5


class Odd(nn.Module):
    """Calls the parts of a block itself, holds one layer it never uses and a weight of its own."""

    def __init__(self):
        super().__init__()
        self.late = nn.Linear(8, 4)
        self.block = nn.Module()
        self.block.inner = nn.Conv2d(3, 8, 3, 2, 1)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.late(self.block.inner(x * self.scale).mean((2, 3)))


def test_order_is_that_of_use_not_of_the_source():
    stages = stages_of(Odd(), (3, 8, 8))
    assert stages[0].modules[0] == "block"
    assert "scale" in stages[0].parameters
    assert "late.weight" in stages[-1].parameters
    names = [name for stage in stages for name in stage.parameters]
    assert sorted(names) == sorted(key for key, _ in Odd().named_parameters())


@given(st.floats(0.1, 50), st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_what_is_free_stays_free(over, moments):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.Flatten(), nn.Linear(36, 2))
    freezing = Freezing(
        Start(model="m", freeze="gradual", unfreeze_epochs=over), network, stages_of(network, (3, 16, 16))
    )
    counts = [freezing.free(epoch) for epoch in sorted(moments)]
    assert counts == sorted(counts)
    assert freezing.free(0.0) == 0
    assert freezing.free(over) == len(freezing.stages)


def test_rates_fall_from_stage_to_stage_and_decay_spares_norms():
    network = BACKBONES.build("mobilefacenet", unit=False)
    stages = stages_of(network, (3, 112, 112))
    freezing = Freezing(Start(model="m", layer_decay=0.5), network, stages)
    head = nn.Linear(4, 4)
    optimizer = make_optimizer(
        Optimizer(name="adam", rate=0.1, weight_decay=0.01), network, head, freezing.rates()
    )
    rate_of = {id(p): group["top_rate"] for group in optimizer.param_groups for p in group["params"]}
    for i, stage in enumerate(stages):
        for name in stage.parameters:
            assert rate_of[id(network.get_parameter(name))] == pytest.approx(0.1 * 0.5 ** (4 - i))
    assert rate_of[id(head.weight)] == 0.1
    for group in optimizer.param_groups:
        assert group["weight_decay"] == (0.01 if group["params"][0].ndim > 1 else 0.0)


def test_frozen_dropout_is_off_and_kept_norms_stay():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(196, 2)
    )
    stages = stages_of(network, (3, 16, 16))
    network.train()
    Freezing(Start(model="m", batch_norm="keep"), network, stages).apply(0.0)
    assert [module.training for module in network] == [True, False, True, True, True]
    network.train()
    Freezing(Start(model="m", freeze="backbone", batch_norm="adapt"), network, stages).apply(99.0)
    assert not any(module.training for module in network)
    assert not any(parameter.requires_grad for parameter in network.parameters())
