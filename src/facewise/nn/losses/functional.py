"""Margin functions: the cosine of a sample and its person in, the unscaled target logit out.

All are differentiated as they are written (some public code passes the gradient straight through), and none
has an infinite gradient at cos θ = ±1, where arccos and √(1 − c²) do. Angles are radians. Cosines may have
any shape; a margin is one number or one a sample.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from facewise.errors import SettingError

LargeAngle = Literal["linear", "easy", "plain"]
"""What an angular margin does where θ + m would pass π and cos(θ + m) would turn back up.

- `linear`: cos θ − m·sin m from there on, which is monotone (InsightFace's fall-back; −1.22 at 170°, m 0.5);
- `easy`: the margin holds for θ < π/2 only, and there is none from there on (−0.98);
- `plain`: cos(θ + m) all the way (−0.95).
"""


def check_large_angle(value: str) -> None:
    """Raises: SettingError: It is none of `LargeAngle`."""
    if value not in get_args(LargeAngle):
        raise SettingError(f"large_angle must be one of {', '.join(get_args(LargeAngle))}, not {value!r}.")


def sine(cosine: Tensor) -> Tensor:
    """√(1 − cos²θ), the radicand kept above the precision of its type: no NaN, no infinite gradient."""
    return ((1 - cosine) * (1 + cosine)).clamp(min=torch.finfo(cosine.dtype).eps).sqrt()


def angle(cosine: Tensor) -> Tensor:
    """θ, kept off 0 and π by the precision of its type: no NaN, no infinite gradient."""
    limit = 1 - torch.finfo(cosine.dtype).eps
    return cosine.clamp(-limit, limit).acos()


def cosface(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """CosFace's cos θ − m: 1801.09414, eq. 4; 1801.05599, eq. 5."""
    return cosine - margin


def arcface(cosine: Tensor, margin: Tensor | float, large_angle: LargeAngle = "linear") -> Tensor:
    """ArcFace's cos(θ + m), by the addition theorem: 1801.07698, eq. 3.

    Args:
        cosine: cos θ.
        margin: m in [0, π/2].
        large_angle: What is done where θ + m > π.
    """
    # A plain number stays one: as a tensor it would be copied to the device in every step.
    if isinstance(margin, Tensor):
        cos_m: Tensor | float = margin.cos()
        sin_m: Tensor | float = margin.sin()
    else:
        cos_m, sin_m = math.cos(margin), math.sin(margin)
    value = cosine * cos_m - sine(cosine) * sin_m
    if large_angle == "plain":
        return value
    if large_angle == "easy":
        return torch.where(cosine > 0, value, cosine)
    return torch.where(cosine >= -cos_m, value, cosine - margin * sin_m)


def combined(cosine: Tensor, m1: float, m2: float, m3: float, large_angle: LargeAngle = "linear") -> Tensor:
    """The combined margin cos(m1·θ + m2) − m3: 1801.07698, eq. 4.

    Where m1·θ + m2 > π, `linear` is cos θ − drop − m3. With δ = π − θ* the angle that the margin adds at
    θ* = (π − m2)/m1, the drop is δ·sin δ as ArcFace's (δ is m2 if m1 is 1), or 1 − cos δ where that is more:
    the value stays monotone.
    """
    if m1 == 1:
        return arcface(cosine, m2, large_angle) - m3
    value = (m1 * angle(cosine) + m2).cos()
    if large_angle == "easy":
        value = torch.where(cosine > 0, value, cosine)
    elif large_angle == "linear":
        delta = math.pi - (math.pi - m2) / m1
        drop = max(delta * math.sin(delta), 1 - math.cos(delta))
        value = torch.where(cosine >= -math.cos(delta), value, cosine - drop)
    return value - m3


def sphereface(cosine: Tensor, m: float) -> Tensor:
    """SphereFace's ψ(θ) = (−1)^k cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m]: 1704.08063, eq. 7.

    Monotone over [0, π], which cos(mθ) is not.
    """
    multiplied = m * angle(cosine)
    k = (multiplied.detach() / math.pi).floor()
    return (1 - 2 * k.remainder(2)) * multiplied.cos() - 2 * k


def adaface(cosine: Tensor, margin: float, quality: Tensor) -> Tensor:
    """AdaFace's cos(θ − m·q) − (m + m·q), the angle kept in [0, π]: 2204.00964.

    Args:
        cosine: cos θ.
        margin: m.
        quality: q in [−1, 1], the shape of `cosine`: ArcFace's margin at −1, CosFace's at 0.
    """
    shift = -margin * quality
    value = cosine * shift.cos() - sine(cosine) * shift.sin()
    value = torch.where((shift < 0) & (cosine > shift.cos()), torch.ones_like(value), value)
    value = torch.where((shift > 0) & (cosine < -shift.cos()), -torch.ones_like(value), value)
    return value - (margin + margin * quality)
