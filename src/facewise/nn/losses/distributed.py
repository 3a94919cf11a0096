"""One state on all ranks: what a loss learns from its batch is averaged over the processes."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean over all processes, without gradient; the tensor itself where there is one process.

    All ranks must call it, with the same shape.
    """
    tensor = tensor.detach()
    if not _many():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def log_mean_over_ranks(logarithm: Tensor) -> Tensor:
    """The logarithm of the mean of exp(logarithm) over all processes; neither overflows."""
    logarithm = logarithm.detach()
    if not _many():
        return logarithm
    most = logarithm.clone()
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return mean_over_ranks((logarithm - most).exp()).log() + most


def _many() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
