"""Weight ranges with which int8 is exact on every x86 processor, not only on the newest.

Processors with AVX2 or AVX-512 but without VNNI multiply unsigned activations with signed weights two at a
time and add both products in 16 bits (`vpmaddubsw`): a0·w0 + a1·w1 beyond 32,767 is cut off, in silence. The
usual remedies cost much: 7-bit weights double the rounding error everywhere, unsigned weights are slow. But
with activations up to 255 a pair is safe if |w0 + w1| ≤ 128, and few channels have a pair that is not. So
each channel's scale is widened just so far that its worst pair fits. MobileFaceNet's embeddings on AVX2
(under QEMU) then agree with float32 by 0.9970, not 0.9908, at no cost in speed
(docs/experiments/quantization.md).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType

_HIGHEST = 127
_PAIR = 127
"""Largest sum of a pair in steps of the scale: 32,767 / 255, less the half step each weight is rounded by."""


def safe_ranges(model: Any, left: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """`TensorQuantOverrides` of ONNX Runtime's quantiser: a range for each channel of each weight.

    Args:
        model: The float network.
        left: Names of the nodes that stay in float.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    ranges = {}
    for node in model.graph.node:
        if (
            node.name in left
            or node.op_type not in ("Conv", "Gemm", "MatMul")
            or node.input[1] not in weights
        ):
            continue
        weight = numpy_helper.to_array(weights[node.input[1]])
        axis = _channel_axis(node)
        if weight.ndim < 2 or (node.op_type == "Conv" and weight.shape[1] == 1):
            continue  # depthwise layers have a kernel of their own, which adds in 32 bits
        entries = [
            {"quant_type": QuantType.QInt8, "rmin": -bound, "rmax": bound, "symmetric": True}
            for bound in channel_bounds(_rows(weight, axis)).astype(np.float32)
        ]
        entries[0]["axis"] = axis
        ranges[node.input[1]] = entries
    return ranges


def channel_bounds(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest weight that 127 stands for, so that no pair of neighbours can be cut off.

    Args:
        rows: (C, K) weights of each channel in the order they are multiplied.

    Returns:
        (C,) at least each channel's largest magnitude.
    """
    values = np.pad(rows.astype(np.float64), ((0, 0), (0, rows.shape[1] % 2)))
    first, second = values[:, 0::2], values[:, 1::2]
    pairs = np.abs(first + second).max(axis=1) * (_HIGHEST / _PAIR)
    bounds: NDArray[np.float64] = np.maximum(np.abs(values).max(axis=1), pairs)
    return np.where(bounds > 0, bounds, 1.0)


def _channel_axis(node: Any) -> int:
    if node.op_type == "Conv":
        return 0
    transposed = any(entry.name == "transB" and entry.i for entry in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1


def _rows(weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(C, K): convolutions are multiplied pixel by pixel, all channels of one before the next."""
    if weight.ndim > 2:
        weight = np.moveaxis(weight, 1, -1)
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
