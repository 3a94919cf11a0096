"""The faster layers give the values and gradients of the plain ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facewise.nn.fast import KINDS, faster, kinds_in

LAYERS = {
    "prelu": (lambda: nn.PReLU(6), (2, 6, 7, 5)),
    "prelu, in parts": (lambda: nn.PReLU(6), (3, 6, 200, 160)),
    "prelu of vectors": (lambda: nn.PReLU(6), (9, 6)),
    "prelu with one slope": (nn.PReLU, (2, 6, 4, 4)),
    "depthwise, stride 2": (lambda: nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False), (2, 6, 8, 8)),
    "depthwise, odd map": (lambda: nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False), (2, 6, 9, 7)),
    "depthwise, no padding": (lambda: nn.Conv2d(6, 6, 3, 2, 0, groups=6, bias=False), (2, 6, 9, 8)),
    "depthwise, stride (2, 1)": (lambda: nn.Conv2d(6, 6, 3, (2, 1), 1, groups=6, bias=False), (2, 6, 8, 7)),
    "global": (lambda: nn.Conv2d(6, 6, 7, groups=6, bias=False), (2, 6, 7, 7)),
    "global on a larger map": (lambda: nn.Conv2d(6, 6, 7, groups=6, bias=False), (2, 6, 9, 8)),
}


def both(make, shape, dtype, memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    plain = nn.Sequential(make()).to(dtype)
    quick = faster(copy.deepcopy(plain))
    assert type(quick[0]) is not type(plain[0])
    assert list(quick.state_dict()) == list(plain.state_dict())
    x = torch.randn(shape, dtype=dtype)
    if len(shape) == 4:
        x = x.contiguous(memory_format=memory_format)
    results = []
    for network in (plain, quick):
        inputs = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = network(inputs)
        (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)).sum().backward()
        results.append((out.detach(), inputs.grad, network[0].weight.grad))
    return results


@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)
@pytest.mark.parametrize("case", LAYERS)
def test_values_and_gradients_are_those_of_the_plain_layer(case, memory_format):
    plain, quick = both(*LAYERS[case], torch.float64, memory_format)
    for expected, got in zip(plain, quick, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", LAYERS)
def test_bf16_autocast_is_as_near_to_float32_as_the_plain_layer_is(case):
    make, shape = LAYERS[case]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(shape)
    gradients = {}
    for name, network in {
        "plain": copy.deepcopy(layer),
        "quick": faster(nn.Sequential(copy.deepcopy(layer))),
    }.items():
        for autocast in (False, True):
            network.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                out = network(x.bfloat16() if autocast else x)
            out.float().square().sum().backward()
            gradients[name, autocast] = next(network.parameters()).grad.clone()
    exact = gradients["plain", False]
    torch.testing.assert_close(gradients["quick", False], exact)
    # One bf16 rounding is 2^-9 of a term; what counts is that no term is lost.
    assert (gradients["quick", True] - exact).norm() <= 0.02 * exact.norm()


def test_kinds_are_replaced_one_by_one():
    def make():
        return nn.Sequential(
            nn.PReLU(4),
            nn.Conv2d(4, 4, 3, 2, 1, groups=4, bias=False),
            nn.Sequential(nn.Conv2d(4, 4, 7, groups=4, bias=False)),
        )

    assert kinds_in(make()) == KINDS == ("prelu", "strided", "global")
    assert kinds_in(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 3))) == ()
    for kind in KINDS:
        left = kinds_in(faster(make(), (kind,)))
        assert left == tuple(other for other in KINDS if other != kind)
    assert kinds_in(faster(make(), ())) == KINDS


def test_other_layers_and_evaluation_are_left_alone():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=False),  # fast already
        nn.Conv2d(4, 8, 3, 2, 1, bias=False),  # not depthwise
        nn.Conv2d(8, 8, 3, 2, 1, groups=8),  # with a bias
        nn.PReLU(8),
    )
    kinds = [type(layer) for layer in network]
    assert [type(layer) for layer in faster(copy.deepcopy(network))][:3] == kinds[:3]
    quick = faster(copy.deepcopy(network)).eval()
    x = torch.randn(2, 4, 16, 16)
    torch.testing.assert_close(quick(x), network.eval()(x), rtol=0, atol=0)
