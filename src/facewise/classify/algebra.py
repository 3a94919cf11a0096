"""The eleven operators a classifier may use: what shape each gives, found out before anything is computed.

Shapes come first, so that no file, however made, has a step whose result is larger than is allowed: every
value is a table of one row a face, and its width is known before a face is seen. The operators do what ONNX
says they do (opset 13 to 17), so any ONNX runtime gives the same numbers from the same file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.classify.graph import Graph, Step
from facewise.errors import ModelError
from facewise.types import FloatArray

MOST_NUMBERS = 4_000_000
"""Of all values together, a face."""

_BLOCK = 8_000_000
"""Numbers of all values together that are held at once: 32 MB."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a value.

    Attributes:
        dims: Lengths; of a value that has one row a face, those of a row.
        rows: Whether it has one row a face; else it is a constant.
        below: The number that whole numbers are below; None for float32.
    """

    dims: tuple[int, ...]
    rows: bool
    below: int | None = None


@dataclass(frozen=True, slots=True)
class _Operator:
    shape: Callable[[Step, list[Shape], list[Array | None]], list[Shape]]
    compute: Callable[[Step, list[Array]], list[Array]]


class Algebra:
    """A network whose steps are all known and whose results all have a known size.

    Args:
        graph: The network.
        width: Numbers a face it takes.

    Attributes:
        shapes: Of its outputs, by name.

    Raises:
        ModelError: It does anything else.
    """

    def __init__(self, graph: Graph, width: int) -> None:
        if len(graph.inputs) != 1:
            raise ModelError("its network does not take one table of embeddings.")
        self._graph = graph
        shapes = {
            name: Shape(value.shape, rows=False, below=None if value.dtype == np.float32 else 0)
            for name, value in graph.constants.items()
        }
        if graph.inputs[0] in shapes:
            raise ModelError("its network has a constant where the embeddings belong.")
        shapes[graph.inputs[0]] = Shape((width,), rows=True)
        self._numbers = width
        for step in graph.steps:
            self._add(step, shapes)
        missing = [name for name in graph.outputs if name not in shapes or not shapes[name].rows]
        if missing or not graph.outputs:
            raise ModelError("its network does not give what it says.")
        self.shapes: Mapping[str, Shape] = {name: shapes[name] for name in graph.outputs}

    def _add(self, step: Step, shapes: dict[str, Shape]) -> None:
        operator = _OPERATORS.get(step.op)
        if operator is None:
            raise ModelError(
                f"its network uses the operator {step.op[:40]!r}, which a classifier does not need; refused."
            )
        if any(name not in shapes for name in step.inputs):
            raise ModelError("a step of its network takes what is not there yet.")
        taken = [shapes[name] for name in step.inputs]
        if not any(shape.rows for shape in taken):
            raise ModelError("a step of its network does not depend on the embeddings.")
        given = operator.shape(step, taken, [self._graph.constants.get(name) for name in step.inputs])
        if len(given) != len(step.outputs) or any(name in shapes for name in step.outputs):
            raise ModelError("a step of its network gives other values than it says.")
        self._numbers += sum(math.prod(shape.dims) for shape in given)
        if self._numbers > MOST_NUMBERS:
            raise ModelError(f"its network computes more than {MOST_NUMBERS:,} numbers a face.")
        shapes.update(zip(step.outputs, given, strict=True))

    def run(self, vectors: FloatArray) -> dict[str, FloatArray]:
        """Compute the outputs, some faces at a time.

        Args:
            vectors: (N, width) float32.

        Returns:
            By name, N rows each.
        """
        step = max(1, _BLOCK // self._numbers)
        parts = [self._run(vectors[i : i + step]) for i in range(0, max(1, len(vectors)), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.shapes}

    def _run(self, vectors: FloatArray) -> dict[str, FloatArray]:
        values: dict[str, Array] = {**self._graph.constants, self._graph.inputs[0]: vectors}
        # Infinity and NaN are looked for where the result is used.
        with np.errstate(all="ignore"):
            for step in self._graph.steps:
                given = _OPERATORS[step.op].compute(step, [values[name] for name in step.inputs])
                values.update(zip(step.outputs, given, strict=True))
        return {name: values[name] for name in self.shapes}


def _need(holds: bool, step: Step) -> None:
    if not holds:
        raise ModelError(
            f"the operator {step.op} of its network is used in a way that is not known; refused."
        )


def _only(step: Step, **options: tuple[int | tuple[int, ...], ...]) -> None:
    """Every attribute is given, and is one of these values."""
    _need(set(step.options) == set(options), step)
    for name, allowed in options.items():
        _need(step.options[name] in allowed, step)


def _elementwise(step: Step, taken: list[Shape], _: list[Array | None]) -> list[Shape]:
    """Tables of one width, a column, or a constant row."""
    _only(step)
    _need(len(taken) == 2 and all(shape.below is None for shape in taken), step)
    widths = set()
    for shape in taken:
        _need(len(shape.dims) == 1 if shape.rows else shape.dims in ((), shape.dims[-1:]), step)
        widths.add(shape.dims[0] if shape.dims else 1)
    _need(len(widths - {1}) <= 1, step)
    return [Shape((max(widths),), rows=True)]


def _matmul(step: Step, taken: list[Shape], _: list[Array | None]) -> list[Shape]:
    """A table of rows with a constant matrix."""
    _only(step)
    _need(len(taken) == 2 and taken[0].rows and not taken[1].rows, step)
    left, right = taken
    _need(left.below is None and right.below is None and len(left.dims) == 1 and len(right.dims) == 2, step)
    _need(left.dims[0] == right.dims[0], step)
    return [Shape((right.dims[1],), rows=True)]


def _same(**options: tuple[int, ...]) -> Callable[[Step, list[Shape], list[Array | None]], list[Shape]]:
    def shape(step: Step, taken: list[Shape], _: list[Array | None]) -> list[Shape]:
        _only(step, **options)
        _need(len(taken) == 1 and len(taken[0].dims) == 1 and taken[0].below is None, step)
        return list(taken)

    return shape


def _topk(step: Step, taken: list[Shape], constants: list[Array | None]) -> list[Shape]:
    """The K largest of each row, largest first."""
    _only(step, axis=(1,), largest=(1,), sorted=(1,))
    _need(len(taken) == 2 and taken[0].rows and len(taken[0].dims) == 1 and taken[0].below is None, step)
    count = constants[1]
    _need(count is not None and count.dtype == np.int64 and count.shape == (1,), step)
    wanted = int(count[0]) if count is not None else 0
    _need(1 <= wanted <= taken[0].dims[0], step)
    return [Shape((wanted,), rows=True), Shape((wanted,), rows=True, below=taken[0].dims[0])]


def _gather(step: Step, taken: list[Shape], _: list[Array | None]) -> list[Shape]:
    """Rows of a constant matrix, by what `TopK` gave."""
    _only(step, axis=(0,))
    _need(len(taken) == 2 and not taken[0].rows and len(taken[0].dims) == 2 and taken[0].below is None, step)
    below = taken[1].below
    _need(taken[1].rows and below is not None and below <= taken[0].dims[0], step)
    return [Shape((taken[1].dims[0], taken[0].dims[1]), rows=True)]


def _mean(step: Step, taken: list[Shape], _: list[Array | None]) -> list[Shape]:
    """Over what `Gather` gave."""
    _only(step, axes=((1,),), keepdims=(0,))
    _need(len(taken) == 1 and len(taken[0].dims) == 2 and taken[0].rows, step)
    return [Shape(taken[0].dims[1:], rows=True)]


def _softmax(rows: Array) -> Array:
    """Of the differences to the largest, so that nothing overflows."""
    raised = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _largest(rows: Array, count: int) -> list[Array]:
    """Equal ones by their place, as ONNX wants it."""
    places = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    return [np.take_along_axis(rows, places, axis=1), places]


_OPERATORS: dict[str, _Operator] = {
    "Add": _Operator(_elementwise, lambda _, v: [v[0] + v[1]]),
    "Sub": _Operator(_elementwise, lambda _, v: [v[0] - v[1]]),
    "Mul": _Operator(_elementwise, lambda _, v: [v[0] * v[1]]),
    "Max": _Operator(_elementwise, lambda _, v: [np.maximum(v[0], v[1])]),
    "MatMul": _Operator(_matmul, lambda _, v: [v[0] @ v[1]]),
    "Exp": _Operator(_same(), lambda _, v: [np.exp(v[0])]),
    "Softmax": _Operator(_same(axis=(1,)), lambda _, v: [_softmax(v[0])]),
    "LpNormalization": _Operator(_same(axis=(1,), p=(2,)), lambda _, v: [_unit(v[0])]),
    "TopK": _Operator(_topk, lambda _, v: _largest(v[0], int(v[1][0]))),
    "Gather": _Operator(_gather, lambda _, v: [v[0][v[1]]]),
    "ReduceMean": _Operator(_mean, lambda _, v: [v[0].mean(axis=1)]),
}
