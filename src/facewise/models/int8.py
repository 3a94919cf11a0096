"""Static int8 quantisation: 8-bit weights with a scale for each channel, 8-bit activations by calibration.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (1712.05877), eq. 1 and section 2.2; a scale for each output channel as in Krishnamoorthi 2018
(1806.08342), section 3.1.1. Activations are unsigned, from the least to the largest value seen on the photos:
a ReLU or ReLU6 then costs nothing, it is where the range ends. Weights are signed and symmetric. Of the pairs
of formats that ONNX Runtime knows, this is the one all its fast kernels and fusions take: with signed
activations a third of MobileFaceNet's layers fell back to float, with unsigned weights the kernels are slow
(docs/experiments/quantization.md). Needs the `train` extra.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from facewise.errors import ModelError
from facewise.models.float_layers import TAIL_SHARE, WEIGHTED, float_layers
from facewise.models.fuse import fuse
from facewise.models.onnxmeta import replace_metadata
from facewise.models.saturation import safe_ranges

_QUANTISED = (
    "Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool",
)  # fmt: skip
"""Operators worth it. Resize and Concat between them were measured too: no faster, and their one scale for
all inputs added half to the landmarks' error of RetinaFace."""


@dataclass(frozen=True, slots=True)
class Int8:
    """An int8 network.

    Attributes:
        network: Bytes of the ONNX file.
        layers: How many layers with weights are in int8.
        in_float: How many are not.
    """

    network: bytes
    layers: int
    in_float: int


def to_int8(network: bytes, inputs: Sequence[NDArray[Any]] | Any, tail: float = TAIL_SHARE) -> Int8:
    """Quantise a float network; input and outputs stay float32.

    Args:
        network: Bytes of an ONNX file with one input.
        inputs: What the network is calibrated on: a sequence of its inputs, (N, …) float32 each, of any
            sizes it takes. They are asked for one at a time, so a lazy sequence bounds memory.
        tail: See `facewise.models.float_layers.float_layers`.

    Raises:
        ModelError: The network cannot be quantised, or has no layer that would gain by it.
    """
    model = fuse(network)
    name = model.graph.input[0].name
    try:
        left = float_layers(model, {name: inputs[0]}, _QUANTISED, tail)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ModelError(f"The network does not run on the photos: {error}") from error
    weighted = [node.name for node in model.graph.node if node.op_type in WEIGHTED]
    able = [node.name for node in model.graph.node if node.op_type in WEIGHTED and node.op_type in _QUANTISED]
    layers = len(set(able) - set(left))
    if layers == 0:
        raise ModelError("The network has no layer that int8 would make faster; keep it, or use fp16.")
    return Int8(_quantised(model, _Reader(name, inputs), left), layers, len(weighted) - layers)


def _quantised(model: Any, reader: _Reader, left: list[str]) -> bytes:
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            path = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                str(path),
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTISED),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=left,
                calibrate_method=CalibrationMethod.MinMax,
                # Products of two activations, as in attention, have no weights to gain by.
                extra_options={
                    "MatMulConstBOnly": True,
                    "TensorQuantOverrides": safe_ranges(model, left),
                },
            )
            return replace_metadata(path.read_bytes(), {})
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ModelError(f"The network cannot be quantised to int8: {error}") from error


class _Reader:
    """What ONNX Runtime asks for calibration inputs: a `CalibrationDataReader` by shape."""

    def __init__(self, name: str, inputs: Sequence[NDArray[Any]]) -> None:
        self._name, self._left = name, iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next input, or None after the last."""
        batch = next(self._left, None)
        return None if batch is None else {self._name: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's advice to people who quantise by hand is none to ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def is_reduced(network: bytes) -> bool:
    """Whether a network holds int8 or half-precision layers already."""
    graph = onnx.load_model_from_string(network).graph
    if any("QuantizeLinear" in node.op_type or node.op_type.startswith("QLinear") for node in graph.node):
        return True
    return any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in graph.initializer)
