"""One state on all ranks: what a loss learns from its batch is averaged over the processes."""

from __future__ import annotations

from torch import Tensor

from facewise.nn import collectives


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean over all processes, without gradient; the tensor itself where there is one process.

    All ranks must call it, with the same shape.
    """
    return collectives.sum_all(tensor) / collectives.size()


def log_mean_over_ranks(logarithm: Tensor) -> Tensor:
    """The logarithm of the mean of exp(logarithm) over all processes; neither overflows."""
    if collectives.size() == 1:
        return logarithm.detach()
    most = collectives.max_all(logarithm)
    return mean_over_ranks((logarithm.detach() - most).exp()).log() + most
