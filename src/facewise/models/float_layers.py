"""Which layers an int8 network computes in float all the same: the narrow ones at its head, the last ones.

Both rules were found by measuring, layer by layer, on AVX-512 VNNI (docs/experiments/quantization.md):

- *The narrow stem.* Layers of up to 32 channels at the input leave most of the int8 kernels' vectors empty:
  RetinaFace's first convolution (3 → 8 channels) took 3.4 ms in int8 and 1.9 ms in float at 640×480. They are
  also where rounding hurts most: in float they cut the landmarks' error to a third.
- *The tail.* What the last layers round, nothing after them evens out, and they cost next to nothing.
  MobileFaceNet's three last (2% of the multiplications) in float halve the embeddings' error.

Layers within the network would need a conversion before and after each, so only these two ends are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators whose cost is multiplications by weights."""

_ACTIVATIONS = ("Relu", "Clip")
"""They are never named: after a float layer they are float anyway, and after an int8 one they are where its
range ends, at no cost."""

_STEM_CHANNELS = 32
TAIL_SHARE = 0.02
"""Of the network's multiplications, what the tail may have beyond the output layers where nobody says."""


def float_layers(
    model: Any, feed: Mapping[str, NDArray[Any]], quantised: tuple[str, ...], tail: float = TAIL_SHARE
) -> list[str]:
    """Names of the nodes to leave in float.

    Args:
        model: As `facewise.models.fuse.fuse` gives it.
        feed: An input, for the layers' sizes.
        quantised: Operators that would be quantised; others are not named.
        tail: Of the network's multiplications, at most, that the tail may have beyond the output layers.
    """
    stem, after = _stem(model), _layers_after(model)
    depth = _tail_depth(after, multiplications(model, feed), tail)
    names = []
    for node in model.graph.node:
        if node.op_type in _ACTIVATIONS:
            continue
        reach = depth if node.op_type in WEIGHTED else depth + 1
        if node.op_type in quantised and (node.name in stem or after[node.name] <= reach):
            names.append(node.name)
    return names


def multiplications(model: Any, feed: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Node name → multiplications by weights for this input, of the nodes that have any."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    nodes = [
        node for node in model.graph.node if node.op_type in WEIGHTED and _weight(node, weights) is not None
    ]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in nodes)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    counts = {}
    for node, out in zip(nodes, session.run(None, dict(feed)), strict=True):
        shape = _weight(node, weights) or ()
        channels = _channels(node, shape)
        # Every number of an output is a sum over all weights of its channel; a ConvTranspose spreads its
        # input instead, for which this is the right size of number.
        counts[node.name] = int(np.prod(out.shape)) * int(np.prod(shape)) // channels
    return counts


def _weight(node: Any, weights: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    return next((weights[name] for name in node.input[1:2] if name in weights), None)


def _channels(node: Any, shape: tuple[int, ...]) -> int:
    """How many output channels a weight of this shape gives."""
    if node.op_type == "Conv":
        return shape[0]
    if node.op_type == "Gemm":
        transposed = any(entry.name == "transB" and entry.i for entry in node.attribute)
        return shape[0 if transposed else 1]
    return shape[-1] if node.op_type == "MatMul" else shape[1]


def _stem(model: Any) -> set[str]:
    """Nodes that see the input through narrow layers only."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    within = {entry.name for entry in model.graph.input} | set(weights)
    names = set()
    for node in model.graph.node:
        if not all(name in within for name in node.input if name):
            continue
        weight = _weight(node, weights)
        if node.op_type in WEIGHTED and weight is not None and _channels(node, weight) > _STEM_CHANNELS:
            continue
        names.add(node.name)
        within.update(node.output)
    return names


def _layers_after(model: Any) -> dict[str, int]:
    """Node name → weighted layers on the longest way from it to an output."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    after: dict[str, int] = {}
    for node in reversed(model.graph.node):  # an ONNX graph is sorted
        follow = [reader for out in node.output for reader in readers.get(out, ())]
        after[node.name] = max((after[f.name] + (f.op_type in WEIGHTED) for f in follow), default=0)
    return after


def _tail_depth(after: Mapping[str, int], cost: Mapping[str, int], tail: float) -> int:
    """How many layers of the tail, beyond the output layers, stay in float."""
    allowed, spent, depth = tail * sum(cost.values()), 0, 0
    while True:
        level = [cost[name] for name in cost if after[name] == depth + 1]
        spent += sum(level)
        if not level or spent > allowed:
            return depth
        depth += 1
