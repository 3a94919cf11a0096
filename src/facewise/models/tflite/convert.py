"""TFLite operators as ONNX nodes: the same numbers, weights bit for bit.

TFLite's images are (N, H, W, C) and ONNX's (N, C, H, W). A tensor is kept in the layout in which it was made;
the other one is made by a transposition where an operator needs it, and then serves all others too. So a
network of convolutions is not transposed at all within.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from facewise.errors import ModelError
from facewise.models.tflite.graph import Graph, Operator, Tensor

Layout: TypeAlias = Literal["own", "nchw"]
"""As TFLite has it, or an image with its channels first."""

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)

_FUSED = {0: "", 1: "Relu", 3: "Clip"}
"""Activations that are part of another operator; the last is ReLU6."""

_MOST_STRIDE, _MOST_INTEGERS = 256, 12


@dataclass(slots=True)
class Converted:
    """A network in ONNX, to be put into a graph.

    Attributes:
        nodes: In the order they run.
        weights: By name.
        inputs: Names, in TFLite's order; images have their channels first.
        outputs: Names, in TFLite's order and layout.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def initializers(self) -> list[onnx.TensorProto]:
        """The weights as ONNX has them."""
        return [numpy_helper.from_array(value, name) for name, value in self.weights.items()]


def convert(graph: Graph, name: str) -> Converted:
    """Turn a TFLite network into ONNX nodes.

    Args:
        graph: From `read_graph`.
        name: What the names of its tensors begin with.

    Raises:
        ModelError: An operator has shapes or settings that are not converted. The sentence begins with "it".
    """
    work = _Work(graph, name)
    for operator in graph.operators:
        try:
            _CONVERTERS[operator.kind](work, operator)
        except (IndexError, ValueError, TypeError) as error:
            raise ModelError(f"its {operator.kind} is not as TFLite has it.") from error
    made = work.made
    made.outputs = tuple(work.read(number, "own") for number in graph.outputs)
    return made


class _Work:
    """A conversion that is under way."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name, self.made = graph, name, Converted()
        self._constants = {i: t.value for i, t in enumerate(graph.tensors) if t.value is not None}
        self._names: dict[tuple[int, Layout], str] = {}
        for number in graph.inputs:
            layout: Layout = "nchw" if len(graph.tensors[number].shape) == 4 else "own"
            self._names[number, layout] = f"{name}.{number}"
        self.made.inputs = tuple(self._names.values())

    def tensor(self, number: int) -> Tensor:
        """A tensor by its number, which must be there."""
        if number < 0:
            raise ModelError("it leaves out what its operator needs.")
        return self.graph.tensors[number]

    def constant(self, number: int) -> NDArray[Any]:
        """What a constant holds."""
        if number not in self._constants:
            raise ModelError(f"its tensor {self.tensor(number).name} is computed, where a constant belongs.")
        return self._constants[number]

    def integers(self, number: int) -> list[int]:
        """A short constant of whole numbers, such as axes."""
        value = self.constant(number)
        if value.dtype.kind != "i" or value.size > _MOST_INTEGERS:
            raise ModelError(f"its tensor {self.tensor(number).name} is no short list of whole numbers.")
        return [int(one) for one in value.reshape(-1)]

    def is_constant(self, number: int) -> bool:
        """Whether a tensor is known already."""
        return number in self._constants

    def keep(self, number: int, value: NDArray[Any]) -> None:
        """A tensor is a constant after all."""
        self._constants[number] = value

    def layout(self, numbers: Sequence[int]) -> Layout:
        """In which layout to work on these: channels first, where all that are computed are there so."""
        computed = [n for n in numbers if not self.is_constant(n)]
        first = bool(computed) and all((n, "nchw") in self._names for n in computed)
        return "nchw" if first else "own"

    def read(self, number: int, layout: Layout) -> str:
        """The name of a tensor in a layout; it is made where it is not there."""
        tensor = self.tensor(number)
        if (number, layout) not in self._names:
            if self.is_constant(number):
                name = f"{self.name}.{number}.{layout}"
                self.weights(name, _laid_out(self._constants[number], layout))
            else:
                if len(tensor.shape) != 4:
                    raise ModelError(f"its tensor {tensor.name} is no image, where one belongs.")
                other: Layout = "own" if layout == "nchw" else "nchw"
                order = _TO_NCHW if layout == "nchw" else _TO_NHWC
                name = self.node("Transpose", [self._names[number, other]], perm=order)
            self._names[number, layout] = name
        return self._names[number, layout]

    def weights(self, name: str, value: NDArray[Any]) -> str:
        """Keep an array under a name."""
        self.made.weights[name] = np.ascontiguousarray(value).reshape(value.shape)
        return name

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node; the name of its output."""
        output = f"{self.name}.n{len(self.made.nodes)}"
        self.made.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def write(self, number: int, name: str, layout: Layout) -> None:
        """A tensor is there now."""
        self._names[number, layout] = name

    def vector(self, values: Sequence[int]) -> str:
        """Integers as an input of a node."""
        return self.weights(f"{self.name}.v{len(self.made.weights)}", np.array(values, np.int64))

    def fused(self, name: str, activation: int) -> str:
        """An operator's output after the activation that is part of it."""
        if activation not in _FUSED:
            raise ModelError(f"it has an activation (number {activation}) that is not converted.")
        if activation == 3:
            bounds = [
                self.weights(f"{self.name}.{bound}", np.array(bound, np.float32)) for bound in (0.0, 6.0)
            ]
            return self.node("Clip", [name, *bounds])
        return self.node(_FUSED[activation], [name]) if activation else name


def _laid_out(value: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """A constant that is to be combined with images of a layout; one of fewer axes has their last ones."""
    if layout == "own" or value.ndim == 0:
        return value
    if value.ndim > 4:
        raise ModelError(f"it combines an image with a constant of shape {value.shape}.")
    return value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(_TO_NCHW)


def _convolution(work: _Work, operator: Operator) -> None:
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    source, kernel, *bias = operator.inputs
    weights = work.constant(kernel)
    _, height, width, channels = work.tensor(source).shape
    if weights.ndim != 4 or (weights.shape[3] % channels if depthwise else weights.shape[3] - channels):
        raise ModelError(
            f"its {operator.kind} has a kernel of shape {weights.shape} for {channels} channels."
        )
    # To (outputs, inputs of a group, height, width).
    weights = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
    at = 4 if depthwise else 3
    strides = _positive(operator.option(2), operator.option(1))
    dilations = _positive(operator.option(at + 2, default=1), operator.option(at + 1, default=1))
    inputs = [work.read(source, "nchw"), work.weights(f"{work.name}.{kernel}", weights)]
    if bias and bias[0] >= 0:
        inputs.append(work.weights(f"{work.name}.{bias[0]}", work.constant(bias[0]).reshape(-1)))
    name = work.node(
        "Conv",
        inputs,
        group=channels if depthwise else 1,
        kernel_shape=weights.shape[2:],
        strides=strides,
        dilations=dilations,
        pads=_padding(operator, (height, width), weights.shape[2:], strides, dilations),
    )
    work.write(operator.outputs[0], work.fused(name, operator.option(at, "<b")), "nchw")


def _max_pool(work: _Work, operator: Operator) -> None:
    (source,) = operator.inputs
    _, height, width, _ = work.tensor(source).shape
    strides = _positive(operator.option(2), operator.option(1))
    window = _positive(operator.option(4), operator.option(3))
    pads = _padding(operator, (height, width), window, strides, (1, 1))
    name = work.node("MaxPool", [work.read(source, "nchw")], kernel_shape=window, strides=strides, pads=pads)
    work.write(operator.outputs[0], work.fused(name, operator.option(5, "<b")), "nchw")


def _positive(down: int, across: int) -> tuple[int, int]:
    if not 1 <= min(down, across) <= max(down, across) <= _MOST_STRIDE:
        raise ModelError(f"it has a stride, dilation or window of {down}×{across}.")
    return down, across


def _padding(
    operator: Operator,
    size: tuple[int, int],
    kernel: Sequence[int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> list[int]:
    """As ONNX has it: top, left, bottom, right. Of an odd number TFLite pads the last side more."""
    if operator.option(0, "<b"):
        return [0, 0, 0, 0]
    before, after = [], []
    for length, window, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        reach = (window - 1) * dilation + 1
        total = max((-(-length // stride) - 1) * stride + reach - length, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return [*before, *after]


def _prelu(work: _Work, operator: Operator) -> None:
    """As plain arithmetic: ONNX Runtime takes twice as long for a whole network with its own PRelu."""
    source, slope = operator.inputs
    layout = work.layout([source])
    x = work.read(source, layout)
    zero = work.weights(f"{work.name}.zero", np.array(0.0, np.float32))
    below = work.node("Mul", [work.node("Min", [x, zero]), work.read(slope, layout)])
    work.write(operator.outputs[0], work.node("Add", [work.node("Relu", [x]), below]), layout)


def _elementwise(kind: str, *, activation: bool = False) -> Callable[[_Work, Operator], None]:
    def run(work: _Work, operator: Operator) -> None:
        layout = work.layout(operator.inputs)
        if layout == "nchw" and any(len(work.tensor(n).shape) > 4 for n in operator.inputs):
            raise ModelError(f"its {operator.kind} combines an image with what is none.")
        name = work.node(kind, [work.read(number, layout) for number in operator.inputs])
        fused = operator.option(0, "<b") if activation else 0
        work.write(operator.outputs[0], work.fused(name, fused), layout)

    return run


def _rsqrt(work: _Work, operator: Operator) -> None:
    layout = work.layout(operator.inputs)
    root = work.node("Sqrt", [work.read(operator.inputs[0], layout)])
    work.write(operator.outputs[0], work.node("Reciprocal", [root]), layout)


def _squared_difference(work: _Work, operator: Operator) -> None:
    layout = work.layout(operator.inputs)
    difference = work.node("Sub", [work.read(number, layout) for number in operator.inputs])
    work.write(operator.outputs[0], work.node("Mul", [difference, difference]), layout)


def _dequantize(work: _Work, operator: Operator) -> None:
    value = work.constant(operator.inputs[0])
    if value.dtype != np.float16:
        raise ModelError("it has quantised weights.")
    work.keep(operator.outputs[0], value.astype(np.float32))


def _pad(work: _Work, operator: Operator) -> None:
    source, amounts = operator.inputs
    layout = work.layout([source])
    before, after = np.array(work.integers(amounts)).reshape(-1, 2).T
    if layout == "nchw":
        before, after = before[list(_TO_NCHW)], after[list(_TO_NCHW)]
    pads = np.concatenate([before, after])
    if pads.min() < 0 or pads.max() > _MOST_STRIDE:
        raise ModelError(f"its PAD pads by {pads.tolist()}.")
    name = work.node("Pad", [work.read(source, layout), work.vector(pads.tolist())])
    work.write(operator.outputs[0], name, layout)


def _reshape(work: _Work, operator: Operator) -> None:
    shape = work.tensor(operator.outputs[0]).shape
    name = work.node("Reshape", [work.read(operator.inputs[0], "own"), work.vector(shape)])
    work.write(operator.outputs[0], name, "own")


def _transpose(work: _Work, operator: Operator) -> None:
    source, order = operator.inputs
    axes = work.integers(order)
    if sorted(axes) != list(range(len(work.tensor(source).shape))):
        raise ModelError(f"its TRANSPOSE has the axes {axes}.")
    name = work.node("Transpose", [work.read(source, "own")], perm=axes)
    work.write(operator.outputs[0], name, "own")


def _reduce(kind: str) -> Callable[[_Work, Operator], None]:
    def run(work: _Work, operator: Operator) -> None:
        source, axes = operator.inputs
        which = work.vector(_axes(work, source, work.integers(axes)))
        keep = int(bool(operator.option(0, "<b")))
        work.write(
            operator.outputs[0], work.node(kind, [work.read(source, "own"), which], keepdims=keep), "own"
        )

    return run


def _axes(work: _Work, number: int, axes: Sequence[int]) -> list[int]:
    rank = len(work.tensor(number).shape)
    if not axes or any(not -rank <= axis < rank for axis in axes):
        raise ModelError(f"it has the axes {list(axes)} of a tensor with {rank}.")
    return [int(axis) % rank for axis in axes]


def _concatenation(work: _Work, operator: Operator) -> None:
    (axis,) = _axes(work, operator.outputs[0], [operator.option(0)])
    name = work.node("Concat", [work.read(number, "own") for number in operator.inputs], axis=axis)
    work.write(operator.outputs[0], work.fused(name, operator.option(1, "<b")), "own")


def _strided_slice(work: _Work, operator: Operator) -> None:
    source, *bounds = operator.inputs
    shape = work.tensor(source).shape
    begins, ends, strides = (work.integers(number) for number in bounds)
    from_first, to_last, ellipsis, new_axis, single = (operator.option(i) for i in range(5))
    if ellipsis or new_axis or operator.option(5, "<b") or min(strides) < 1 or len(begins) != len(shape):
        raise ModelError("its STRIDED_SLICE has settings that are not converted.")
    starts, stops, gone = [], [], []
    for axis, length in enumerate(shape):
        start = 0 if from_first >> axis & 1 else begins[axis]
        if single >> axis & 1:
            start = begins[axis]
            stop = start + 1 if start != -1 else length
            gone.append(axis)
        else:
            stop = length if to_last >> axis & 1 else ends[axis]
        starts.append(start)
        stops.append(stop)
    rest = [work.vector(values) for values in (starts, stops, list(range(len(shape))), strides)]
    name = work.node("Slice", [work.read(source, "own"), *rest])
    if gone:
        name = work.node("Squeeze", [name, work.vector(gone)])
    work.write(operator.outputs[0], name, "own")


_CONVERTERS: Mapping[str, Callable[[_Work, Operator], None]] = {
    "ADD": _elementwise("Add", activation=True),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEQUANTIZE": _dequantize,
    "DIV": _elementwise("Div", activation=True),
    "LOGISTIC": _elementwise("Sigmoid"),
    "MAX_POOL_2D": _max_pool,
    "MEAN": _reduce("ReduceMean"),
    "MUL": _elementwise("Mul", activation=True),
    "NEG": _elementwise("Neg"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _elementwise("Relu"),
    "RESHAPE": _reshape,
    "RSQRT": _rsqrt,
    "SQRT": _elementwise("Sqrt"),
    "SQUARED_DIFFERENCE": _squared_difference,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _elementwise("Sub", activation=True),
    "SUM": _reduce("ReduceSum"),
    "TRANSPOSE": _transpose,
}
