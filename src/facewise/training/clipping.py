"""Gradients kept below a norm, where some are on all processes and some on one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from facewise.nn import collectives


def clip_gradients(
    parameters: Iterable[nn.Parameter], shards: Iterable[nn.Parameter] = (), *, limit: float
) -> float:
    """Scale all gradients so that their norm, over the whole model, is at most `limit` (1211.5063, alg. 1).

    Args:
        parameters: Those all processes hold copies of, with the same gradients.
        shards: Those of which each process holds a part, such as a `ShardedHead`'s; gradients may be sparse.
        limit: The largest norm.

    Returns:
        The norm before, the same on all processes; NaN or infinite if a gradient is, and then nothing is
        scaled.
    """
    whole, parts = ([p.grad for p in some if p.grad is not None] for some in (parameters, shards))
    device = (*whole, *parts)[0].device if whole or parts else torch.device("cpu")
    square = collectives.sum_all(_square(parts, device)) + _square(whole, device)
    norm = float(square.sqrt())
    if limit < norm < float("inf"):
        for gradient in (*whole, *parts):
            gradient.mul_(limit / norm)
    return norm


def _square(gradients: Iterable[Tensor], device: torch.device) -> Tensor:
    """The squared norm of all, in float64."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for gradient in gradients:
        values = gradient.coalesce().values() if gradient.is_sparse else gradient
        precise = torch.promote_types(values.dtype, torch.float32)
        total += torch.linalg.vector_norm(values.detach(), dtype=precise).double().square()
    return total
