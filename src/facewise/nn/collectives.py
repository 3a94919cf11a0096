"""What a loss needs of the other training processes; with one process every function is the identity.

**How gradients are scaled.** Let L be the mean loss over the photos of all P processes, and e_r the
embeddings of process r, made by its copy of the backbone with Jacobian J_r. The gradient wanted is Σ_r J_rᵀ
∂L/∂e_r. What averages gradients over processes (`World.replicate`) gives (1/P) Σ_r J_rᵀ g_r, so process r
must start from g_r = P · ∂L/∂e_r, and does: `gather_embeddings` multiplies by P on the way back. That holds
for batches of unequal length too. The parameters of the loss itself are on no other process (a shard) or
computed alike on all of them (a copy), so their gradients are ∂L/∂W as they are, neither averaged nor scaled.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def sum_all(values: Tensor) -> Tensor:
    """The sum over processes, on all of them; not differentiated."""
    return _reduced(values, dist.ReduceOp.SUM)


def max_all(values: Tensor) -> Tensor:
    """The element-wise largest over processes, on all of them; not differentiated."""
    return _reduced(values, dist.ReduceOp.MAX)


def stack_all(values: Tensor) -> Tensor:
    """Tensors of one shape S from P processes: (P, *S), by rank; not differentiated."""
    values = values.detach().contiguous()
    if size() == 1:
        return values[None]
    everyone = values.new_empty(size(), *values.shape)
    dist.all_gather(list(everyone), values)
    return everyone


def gather_rows(values: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, by rank; not differentiated.

    Args:
        values: (n, …); n may differ between processes.

    Returns:
        (N, …), and where this process's rows begin in it.
    """
    if size() == 1:
        return values.detach(), 0
    counts = stack_all(torch.tensor(len(values), device=values.device)).tolist()
    longest = max(counts)
    padded = values.detach()
    if len(values) < longest:
        padded = torch.cat([padded, padded.new_zeros(longest - len(values), *values.shape[1:])])
    everyone = stack_all(padded)
    rows = torch.cat([block[:count] for block, count in zip(everyone, counts, strict=True)])
    return rows, sum(counts[: rank()])


def gather_embeddings(embeddings: Tensor, *, copies: bool) -> Tensor:
    """The embeddings of all processes, differentiably.

    Args:
        embeddings: (n, D), this process's; n may differ between processes.
        copies: Whether every process computes the whole loss from them (a loss whose parameters all hold), so
            that its own gradient is the whole one; else each computes a part (its shard) and the parts are
            added.

    Returns:
        (N, D), the same on all processes, in float32 at least. Back comes P · ∂L/∂e for the own rows, as the
        module's text explains.
    """
    if size() == 1:
        return embeddings
    # Losses compute in float32 at least, and gradients should be added up in it.
    precise = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
    gathered: Tensor = _Gather.apply(precise, copies)  # type: ignore[no-untyped-call]
    return gathered


def gather_batch(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The whole batch of all processes, for a loss that every process holds a copy of.

    The loss then sees what it would see in one process: pairs across processes, moving averages over the
    whole batch; its parameters get the same gradient everywhere and must not be averaged again.

    Args:
        embeddings: (n, D), this process's.
        labels: (n,).

    Returns:
        (N, D) and (N,), the same on all processes.
    """
    return gather_embeddings(embeddings, copies=True), gather_rows(labels)[0]


def _reduced(values: Tensor, operation: Any) -> Tensor:
    values = values.detach()
    if size() == 1:
        return values
    values = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(values, op=operation)
    return values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, copies: bool) -> Tensor:
        gathered, ctx.start = gather_rows(embeddings)
        ctx.count, ctx.copies = len(embeddings), copies
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        whole = gradient if ctx.copies else sum_all(gradient)
        return whole[ctx.start : ctx.start + ctx.count] * size(), None
