"""Layers that can train faster on a CPU than PyTorch's own, with the same values, gradients and keys.

On a CPU that multiplies bfloat16, oneDNN's backward pass of a depthwise convolution with stride 2 is some
six times slower than that of the same convolution with stride 1 on a gradient spread with zeros; in float32
the two are about as fast. PyTorch's backward pass of PReLU is slower than the plain arithmetic it stands for
in both. So each kind is a choice of its own (`facewise.training.pace`). In evaluation and in export these
layers are the plain ones.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

Kind: TypeAlias = Literal["prelu", "strided", "global"]
"""PReLU; 3×3 depthwise convolutions with a stride; depthwise convolutions over the whole map."""

KINDS: tuple[Kind, ...] = get_args(Kind)


def faster(network: nn.Module, kinds: Collection[Kind] = KINDS) -> nn.Module:
    """Replace, in place, every layer of some kinds by its twin here; parameters are shared, keys stay.

    Args:
        network: To be trained on a CPU.
        kinds: Which.

    Returns:
        The network.
    """
    for name, child in network.named_children():
        kind = _kind(child)
        if kind is None:
            faster(child, kinds)
        elif kind in kinds:
            setattr(network, name, _TWINS[kind](child))
    return network


def kinds_in(network: nn.Module) -> tuple[Kind, ...]:
    """Which kinds of layers that have a twin a network has, in the order of `KINDS`."""
    found = {_kind(layer) for layer in network.modules()}
    return tuple(kind for kind in KINDS if kind in found)


def _kind(layer: nn.Module) -> Kind | None:
    # Not subclasses: what somebody derived from these may compute something else.
    if type(layer) is nn.PReLU:
        return "prelu"
    if type(layer) is nn.Conv2d and layer.groups == layer.in_channels == layer.out_channels > 1:
        if layer.padding_mode != "zeros" or layer.dilation != (1, 1) or isinstance(layer.padding, str):
            return None
        if layer.stride != (1, 1) and layer.kernel_size == (3, 3) and layer.bias is None:
            return "strided"
        if layer.padding == (0, 0) and layer.kernel_size[0] > 3 and layer.bias is None:
            return "global"
    return None


_PART = 2**18
"""Numbers worked on at once, so that what is read again is still in the processor's cache."""


class PReLU(nn.PReLU):
    """`nn.PReLU` with a faster backward pass."""

    def __init__(self, plain: nn.PReLU) -> None:
        super().__init__(plain.num_parameters)
        self.weight = plain.weight
        self.train(plain.training)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, C, …). Returns: the same shape."""
        if not (self.training and torch.is_grad_enabled()) or x.ndim < 2:
            return super().forward(x)
        result: Tensor = _PReLU.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return result


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.prelu(x, weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        slope = weight.to(x.dtype).view(1, -1, *([1] * (x.ndim - 2)))
        axes = [axis for axis in range(x.ndim) if axis != 1] if weight.numel() > 1 else list(range(x.ndim))
        # bf16 sums need float32; what is float32 or float64 already stays so.
        accumulate = torch.promote_types(x.dtype, torch.float32)
        to_x, to_weight = torch.empty_like(gradient), weight.new_zeros(weight.numel(), dtype=accumulate)
        count = max(1, _PART // max(1, x[:1].numel()))
        for start in range(0, len(x), count):
            part = slice(start, start + count)
            positive = torch.ops.aten.threshold_backward(gradient[part], x[part], 0)
            negative = gradient[part] - positive
            to_weight += (negative * x[part]).sum(axes, dtype=accumulate)
            torch.addcmul(positive, negative, slope, out=to_x[part])
        return to_x, to_weight.to(weight.dtype).view_as(weight)


class _Depthwise(nn.Conv2d):
    """Takes the place of a plain depthwise convolution without bias, and its weight."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,  # type: ignore[arg-type]
            plain.stride,  # type: ignore[arg-type]
            plain.padding,  # type: ignore[arg-type]
            groups=plain.groups,
            bias=False,
        )
        self.weight = plain.weight
        self.train(plain.training)


class StridedDepthwise(_Depthwise):
    """A 3×3 depthwise convolution with a stride, with a faster backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, C, H, W). Returns: (N, C, H', W')."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        arguments = (x, weight, self.stride, self.padding)
        result: Tensor = _StridedDepthwise.apply(*arguments)  # type: ignore[no-untyped-call]
        return result


class _StridedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        height, width = (
            x.shape[2 + axis] + 2 * ctx.padding[axis] - weight.shape[2 + axis] + 1 for axis in (0, 1)
        )
        # The strided output is every second row and column of the unstrided one: the others had no effect.
        spread = gradient.new_zeros(x.shape[0], x.shape[1], height, width).to(
            memory_format=torch.channels_last
            if x.is_contiguous(memory_format=torch.channels_last)
            else torch.contiguous_format
        )
        spread[:, :, :: ctx.stride[0], :: ctx.stride[1]] = gradient
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            spread,
            x,
            weight,
            None,
            [1, 1],
            list(ctx.padding),
            [1, 1],
            False,
            [0, 0],
            x.shape[1],
            [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )
        return to_x, to_weight, None, None


class GlobalDepthwise(_Depthwise):
    """A depthwise convolution whose kernel may cover the whole map: then it is a weighted sum."""

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, C, H, W). Returns: (N, C, H', W')."""
        if x.shape[2:] != self.weight.shape[2:] or not self.training:
            return super().forward(x)
        weight = self.weight.squeeze(1).unsqueeze(0).to(x.dtype)
        accumulate = torch.promote_types(x.dtype, torch.float32)
        return (x * weight).sum((2, 3), keepdim=True, dtype=accumulate).to(x.dtype)


_TWINS: dict[Kind, Any] = {"prelu": PReLU, "strided": StridedDepthwise, "global": GlobalDepthwise}
