"""Batch norm by the statistics of the whole batch, all processes' parts of it.

Ioffe and Szegedy 2015 (1502.03167, algorithm 1), its mean and variance taken over processes. PyTorch has this
for GPUs only; there its own is used. The modules here have the parameters, buffers and keys of the plain
ones, and are plain in evaluation and with one process: a model is saved, loaded and exported as if they were
not there.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from facewise.errors import SettingError
from facewise.nn import collectives

_Module = TypeVar("_Module", bound=nn.Module)


class _Synced(nn.modules.batchnorm._BatchNorm):  # what both plain ones are
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  as it is called there
        """Args: input: (N, C, …). Returns: As much."""
        if not self.training or collectives.size() == 1:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        mean, variance, count = _statistics(input)
        self._remember(mean, variance * (count / (count - 1)))
        normed: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, mean, (variance + self.eps).rsqrt(), count
        )
        return normed

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class SyncedBatchNorm1d(_Synced, nn.BatchNorm1d):
    """`nn.BatchNorm1d` over all processes."""


class SyncedBatchNorm2d(_Synced, nn.BatchNorm2d):
    """`nn.BatchNorm2d` over all processes."""


_SYNCED: dict[type[nn.Module], type[_Synced]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
}


def convert(module: _Module) -> _Module:
    """Make every batch norm in a module one over all processes; nothing to do where there is one process.

    Parameters and buffers stay the same objects, so that an optimiser may be made before or after.

    Args:
        module: Changed in place.

    Returns:
        The module.
    """
    if collectives.size() == 1:
        return module
    if any(parameter.is_cuda for parameter in module.parameters()):
        converted: _Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    for part in module.modules():
        if type(part) in _SYNCED:
            part.__class__ = _SYNCED[type(part)]  # the same data and hooks; only what forward does differs
    return module


def _statistics(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance (C,) over all processes, in float64, and how many numbers a channel has.

    Each process's mean and sum of squared deviations are joined as by Chan et al. 1979, which does not suffer
    where the mean is large beside the deviation, as the sum of squares does.
    """
    axes = [axis for axis in range(values.ndim) if axis != 1]
    own = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    variance, mean = (part.double() for part in torch.var_mean(own, dim=axes, correction=0))
    count = torch.full_like(mean, values.numel() / max(values.shape[1], 1))
    counts, means, variances = collectives.stack_all(torch.stack([count, mean, variance])).unbind(dim=1)
    total = counts.sum(dim=0)
    joint = (counts * means).sum(dim=0) / total
    spread = (counts * (variances + (means - joint).square())).sum(dim=0) / total
    if (numbers := int(total[0])) < 2:
        raise SettingError("Batch norm needs more than one photo in a batch; raise the batch size.")
    return joint, spread, numbers


class _Normalise(torch.autograd.Function):
    """y = γ·(x − μ)/σ + β with the joint μ and σ.

    The gradients of γ and β are this process's part, as those of all parameters that are averaged later; that
    of x needs Σg and Σg·x̂ over all processes (1502.03167, section 3).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        inverse: Tensor,
        count: int,
    ) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        factor = inverse if weight is None else inverse * weight
        offset = -mean * factor if bias is None else bias - mean * factor
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.count, ctx.affine = count, (weight is not None, bias is not None)
        return torch.addcmul(_wide(offset, x, dtype), x.to(dtype), _wide(factor, x, dtype)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        dtype = torch.promote_types(x.dtype, torch.float32)
        gradient, axes = gradients[0].to(dtype), [axis for axis in range(x.ndim) if axis != 1]
        centred = x.to(dtype) - _wide(mean, x, dtype)
        bias_gradient = gradient.sum(dim=axes)
        weight_gradient = (gradient * centred).sum(dim=axes) * inverse
        sums = (
            collectives.sum_all(torch.stack([bias_gradient.double(), weight_gradient.double()])) / ctx.count
        )
        factor = inverse if weight is None else inverse * weight
        own = gradient - _wide(sums[0], x, dtype)
        own = own.addcmul_(centred, _wide(-sums[1] * inverse, x, dtype)).mul_(_wide(factor, x, dtype))
        affine = (
            given.to(weight.dtype if weight is not None else dtype) if wanted else None
            for given, wanted in zip((weight_gradient, bias_gradient), ctx.affine, strict=True)
        )
        return own.to(x.dtype), *affine, None, None, None


def _wide(channels: Tensor, like: Tensor, dtype: torch.dtype) -> Tensor:
    """(C,) as (1, C, 1, …)."""
    return channels.to(dtype).view(1, -1, *(1,) * (like.ndim - 2))
