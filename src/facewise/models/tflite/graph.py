"""A TFLite file as a graph: tensors, and the operators in the order they run. Nothing in it is trusted.

Field numbers are those of TensorFlow Lite's schema (`schema.fbs`, version 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.models.tflite.flatbuffer import Table

_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}
"""Types of tensors that are read, as NumPy has them."""

_OPERATORS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 34: "PAD", 39: "TRANSPOSE", 40: "MEAN",
    41: "SUB", 42: "DIV", 45: "STRIDED_SLICE", 54: "PRELU", 59: "NEG", 74: "SUM", 75: "SQRT", 76: "RSQRT",
    99: "SQUARED_DIFFERENCE",
}  # fmt: skip

MOST_BYTES = 64 << 20
"""Of a file, and of all constants of its tensors together: several tensors may share the same bytes."""

_MOST_ITEMS, _MOST_RANK, _MOST_VALUES = 10_000, 6, 1 << 24
"""Tensors or operators of a graph; axes, and values, of a tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor.

    Attributes:
        name: As the file calls it.
        shape: Of the tensor; every length is at least 1.
        dtype: Of its values.
        value: What a constant holds, else None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    value: NDArray[np.generic] | None


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One step.

    Attributes:
        kind: Such as `"CONV_2D"`.
        inputs: Numbers of tensors; -1 is an input that is left out.
        outputs: Likewise.
        options: Its own settings, or None.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def option(self, field: int, form: str = "<i", default: int = 0) -> int:
        """A setting by its number in the schema."""
        return default if self.options is None else self.options.scalar(field, form, default)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network.

    Attributes:
        tensors: All of them.
        operators: In the order they run.
        inputs: Numbers of tensors.
        outputs: Likewise.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(data: bytes) -> Graph:
    """Read a TFLite file.

    Raises:
        ModelError: It is none, is damaged, or has what this reader does not know: other operators or types,
            sparse or quantised weights, several graphs. The sentence begins with "it".
    """
    if len(data) > MOST_BYTES:
        raise ModelError(f"it has more than {MOST_BYTES >> 20} MB.")
    model = Table.root(data, b"TFL3")
    if (version := model.scalar(0, "<I")) != 3:
        raise ModelError(f"it is of version {version} of TFLite, not 3.")
    graphs = model.tables(2)
    if len(graphs) != 1:
        raise ModelError(f"it has {len(graphs)} graphs, not one.")
    (graph,) = graphs
    tensors = _tensors(graph.tables(0), model.tables(4))
    kinds = [_kind(code) for code in model.tables(1)]
    operators = graph.tables(3)
    if len(operators) > _MOST_ITEMS:
        raise ModelError(f"it has more than {_MOST_ITEMS} operators.")
    found = Graph(
        tensors,
        tuple(_operator(operator, kinds, len(tensors)) for operator in operators),
        _numbers(graph, 1, len(tensors)),
        _numbers(graph, 2, len(tensors)),
    )
    _check_order(found)
    return found


def _tensors(tables: Sequence[Table], buffers: Sequence[Table]) -> tuple[Tensor, ...]:
    if len(tables) > _MOST_ITEMS:
        raise ModelError(f"it has more than {_MOST_ITEMS} tensors.")
    found, held = [], 0
    for table in tables:
        tensor = _tensor(table, buffers)
        held += 0 if tensor.value is None else tensor.value.nbytes
        if held > MOST_BYTES:
            raise ModelError(f"its constants have more than {MOST_BYTES >> 20} MB.")
        found.append(tensor)
    return tuple(found)


def _tensor(table: Table, buffers: Sequence[Table]) -> Tensor:
    name = table.text(3)
    shape = tuple(int(length) for length in table.numbers(0, "<i4"))
    if len(shape) > _MOST_RANK or any(n < 1 for n in shape) or math.prod(shape) > _MOST_VALUES:
        raise ModelError(f"its tensor {name} has the shape {shape}.")
    kind = table.scalar(1, "<b")
    if kind not in _TYPES or table.table(6) is not None:
        raise ModelError(f"its tensor {name} is sparse or of a type (number {kind}) that is not read.")
    quantised = table.table(4)
    if quantised is not None and len(quantised.numbers(2, "<f4")):
        raise ModelError(f"its tensor {name} is quantised.")
    dtype = np.dtype(_TYPES[kind])
    number = table.scalar(2, "<I")
    if number >= len(buffers):
        raise ModelError(f"its tensor {name} is in a buffer that is not there.")
    held = buffers[number].numbers(0, "u1").view(np.uint8)
    if not held.size:
        return Tensor(name, shape, dtype, None)
    if held.size != math.prod(shape) * dtype.itemsize:
        raise ModelError(f"its tensor {name} has {held.size} bytes for the shape {shape}.")
    return Tensor(name, shape, dtype, held.view(dtype).reshape(shape))


def _kind(code: Table) -> str:
    # Numbers above 127 are in a field that came later; the older one then says 127.
    number = max(code.scalar(0, "<b"), code.scalar(3, "<i"))
    if number not in _OPERATORS:
        raise ModelError(f"it has an operator (number {number}) that is not converted.")
    return _OPERATORS[number]


def _operator(table: Table, kinds: Sequence[str], tensors: int) -> Operator:
    number = table.scalar(0, "<I")
    if number >= len(kinds):
        raise ModelError("it has an operator of no kind.")
    outputs = _numbers(table, 2, tensors)
    if len(outputs) != 1 or outputs[0] < 0:
        raise ModelError(f"its {kinds[number]} has {len(outputs)} outputs, not one.")
    return Operator(kinds[number], _numbers(table, 1, tensors), outputs, table.table(4))


def _numbers(table: Table, field: int, tensors: int) -> tuple[int, ...]:
    """Numbers of tensors, that there are."""
    found = tuple(int(number) for number in table.numbers(field, "<i4"))
    if len(found) > _MOST_ITEMS or any(not -1 <= number < tensors for number in found):
        raise ModelError("it names a tensor that is not there.")
    return found


def _check_order(graph: Graph) -> None:
    """See that every tensor is there when it is used, and is made once."""
    there = {i for i, tensor in enumerate(graph.tensors) if tensor.value is not None}
    if not graph.inputs or not graph.outputs or there & set(graph.inputs) or -1 in graph.inputs:
        raise ModelError("it has no input or no output, so it is no network.")
    there |= set(graph.inputs)
    for operator in graph.operators:
        if not set(operator.inputs) - {-1} <= there or set(operator.outputs) & there:
            raise ModelError(f"its {operator.kind} uses what is not there yet, or makes what is.")
        there |= set(operator.outputs)
    if not set(graph.outputs) <= there:
        raise ModelError("its output is made by no operator.")
