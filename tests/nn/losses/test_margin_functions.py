"""The pure margin functions: their branches, monotone in the angle, safe at its ends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import SettingError
from facewise.nn.losses import functional

MARGINS = st.floats(0, math.pi / 2)


def of_degrees(degrees: float) -> torch.Tensor:
    return torch.tensor(math.cos(math.radians(degrees)), dtype=torch.float64)


@pytest.mark.parametrize(("branch", "value"), [("linear", -1.22), ("easy", -0.98), ("plain", -0.95)])
def test_arcface_beyond_pi(branch, value):
    assert float(functional.arcface(of_degrees(170), 0.5, branch)) == pytest.approx(value, abs=0.006)


@pytest.mark.parametrize("branch", ["linear", "easy", "plain"])
def test_arcface_branches_agree_on_ordinary_angles(branch):
    for degrees in (5, 40, 89):
        value = functional.arcface(of_degrees(degrees), 0.5, branch)
        assert float(value) == pytest.approx(math.cos(math.radians(degrees) + 0.5), abs=1e-12)


def test_easy_margin_ends_at_a_right_angle():
    assert float(functional.arcface(of_degrees(91), 0.5, "easy")) == pytest.approx(math.cos(math.radians(91)))


def test_plain_turns_back_up_and_linear_does_not():
    near, far = of_degrees(160), of_degrees(179)
    assert functional.arcface(near, 0.5, "plain") < functional.arcface(far, 0.5, "plain")
    assert functional.arcface(near, 0.5) > functional.arcface(far, 0.5)


def test_an_unknown_branch_is_told():
    with pytest.raises(SettingError, match="large_angle must be one of linear, easy, plain, not 'hard'"):
        functional.check_large_angle("hard")


def falls(values: torch.Tensor) -> bool:
    return bool((values.diff() <= 1e-12).all())


@settings(max_examples=40)
@given(m=MARGINS, m1=st.floats(1, 4), m3=st.floats(0, 2), multiple=st.floats(1, 6), quality=st.floats(-1, 1))
def test_the_margins_are_monotone_in_the_angle(m, m1, m3, multiple, quality):
    cosine = torch.linspace(0, math.pi, 721, dtype=torch.float64).cos()
    assert falls(functional.arcface(cosine, m))
    assert falls(functional.cosface(cosine, m))
    assert falls(functional.combined(cosine, m1, m, m3))
    assert falls(functional.sphereface(cosine, multiple))
    assert falls(functional.adaface(cosine, m, torch.full_like(cosine, quality)))


@settings(max_examples=40)
@given(m=MARGINS, m1=st.floats(1, 4), degrees=st.floats(0.1, 179.9))
def test_a_margin_never_helps(m, m1, degrees):
    cosine = of_degrees(degrees)
    for value in (
        functional.arcface(cosine, m),
        functional.cosface(cosine, m),
        functional.combined(cosine, m1, m, 0.0),
        functional.sphereface(cosine, m1),
    ):
        assert value <= cosine + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "function",
    [
        lambda c: functional.arcface(c, 0.5),
        lambda c: functional.arcface(c, torch.full_like(c, 0.5)),
        lambda c: functional.combined(c, 1.3, 0.2, 0.1),
        lambda c: functional.sphereface(c, 4),
        lambda c: functional.adaface(c, 0.4, torch.full_like(c, -0.5)),
        lambda c: functional.adaface(c, 0.4, torch.full_like(c, 0.5)),
    ],
)
def test_the_ends_have_finite_gradients(function, dtype):
    above = 1 + torch.finfo(dtype).eps
    cosine = torch.tensor([-above, -1, 1, above], dtype=dtype, requires_grad=True)
    values = function(cosine)
    (gradient,) = torch.autograd.grad(values.sum(), [cosine])
    assert values.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "function",
    [
        lambda c: functional.arcface(c, 0.5),
        lambda c: functional.combined(c, 1.3, 0.2, 0.1),
        lambda c: functional.sphereface(c, 4),
        lambda c: functional.adaface(c, 0.4, torch.tensor([-1.0, -0.3, 0.0, 0.3, 1.0], dtype=c.dtype)),
    ],
)
def test_gradients_are_those_of_the_function(function):
    cosine = torch.tensor([0.9, 0.3, -0.2, -0.6, -0.95], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, [cosine])


def test_adaface_is_arcface_at_low_quality_and_cosface_at_mean_quality():
    cosine = torch.linspace(-0.8, 0.95, 20, dtype=torch.float64)
    low, middle = -torch.ones_like(cosine), torch.zeros_like(cosine)
    torch.testing.assert_close(functional.adaface(cosine, 0.4, low), functional.arcface(cosine, 0.4, "plain"))
    torch.testing.assert_close(functional.adaface(cosine, 0.4, middle), functional.cosface(cosine, 0.4))
