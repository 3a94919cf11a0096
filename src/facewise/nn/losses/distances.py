"""Distances of all pairs of unit vectors, safe to differentiate where two coincide."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(directions: Tensor) -> Tensor:
    """d² = 2 − 2·cos θ between all unit vectors (N, D): (N, N), never below 0."""
    return (2 - 2 * directions @ directions.T).clamp(min=0)


def roots(squares: Tensor) -> Tensor:
    """Distances of squared ones; 0, with gradient 0, where these are below the precision of their type."""
    apart = squares > torch.finfo(squares.dtype).eps
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)
