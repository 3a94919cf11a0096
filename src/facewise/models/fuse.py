"""Operator fusion that holds on every machine: the first step of every quantisation.

Batch norms and constants are folded, shapes inferred, what does nothing is removed (ONNX Runtime's basic
optimisations). Its further fusions (activations into convolutions, blocked layouts) depend on the processor;
ONNX Runtime does them itself while it opens a model, so that writing them into the file gains nothing at run
time (benchmarks/RESULTS.md) and ties the file to one kind of machine. Needs the `train` extra.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from facewise.errors import ModelError
from facewise.models.onnxmeta import replace_metadata

_OPSET = 13
"""The first with a scale for each channel in QuantizeLinear."""


def fuse(network: bytes) -> Any:
    """Fold and clean a network; its numbers stay the same but for rounding.

    Args:
        network: Bytes of an ONNX file.

    Returns:
        The `onnx.ModelProto`, opset 13 or later, every node named, without metadata.

    Raises:
        ModelError: It is no network that ONNX Runtime takes.
    """
    try:
        # With the card's JSON in it, the same network would give other bytes once it was calibrated.
        model = onnx.shape_inference.infer_shapes(_optimised(replace_metadata(network, {})))
        if _opset(model) < _OPSET:
            model = onnx.shape_inference.infer_shapes(onnx.version_converter.convert_version(model, _OPSET))
    except Exception as error:  # ONNX's and ONNX Runtime's errors share no public base class
        raise ModelError(f"The network cannot be optimised for quantisation: {error}") from error
    _name_nodes(model)
    return model


def _optimised(network: bytes) -> Any:
    """ONNX Runtime's basic optimisations. Its own `quant_pre_process` goes on where they fail."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return onnx.load(str(path))


def _opset(model: Any) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _name_nodes(model: Any) -> None:
    """Names are how layers are told apart, and ONNX allows them to be missing or the same."""
    seen: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{i}"
        seen.add(node.name)


def shorten(model: Any) -> None:
    """Give everything within a network a short name, in place: of a small int8 one names are a tenth."""
    graph = model.graph
    kept = {entry.name for entry in (*graph.input, *graph.output)}
    names: dict[str, str] = {"": ""}

    def short(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"{len(names):x}")

    for node in graph.node:
        node.name = ""
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    del graph.value_info[:]
