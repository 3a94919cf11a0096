"""Networks for classifier files, written with the operators that reading one allows. Needs `onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from facewise.classify.file import INPUT, PROBABILITIES, SIMILARITIES

_OPSET, _IR = 17, 8


class Builder:
    """Steps of a network, one after the other; every method gives the name of its result.

    Examples:
        >>> build = Builder(128)
        >>> logits = build.affine(build.input, np.eye(128)[:, :3], np.zeros(3))
        >>> network = build.finish(logits)
    """

    def __init__(self, width: int) -> None:
        """Args: width: D, numbers an embedding."""
        self.input = INPUT
        self._width = width
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: dict[str, int] = {}

    def unit(self, value: str) -> str:
        """Rows brought to length 1."""
        return self._step("LpNormalization", [value], axis=1, p=2)

    def affine(self, value: str, matrix: ArrayLike, offset: ArrayLike | None = None) -> str:
        """`value @ matrix + offset`."""
        product = self._step("MatMul", [value, self._constant(np.asarray(matrix, np.float32))])
        if offset is None:
            return product
        return self._step("Add", [product, self._constant(np.asarray(offset, np.float32).reshape(-1))])

    def minus(self, value: str, row: ArrayLike) -> str:
        """`value - row`."""
        return self._step("Sub", [value, self._constant(np.asarray(row, np.float32))])

    def plus(self, value: str, other: str) -> str:
        """`value + other`."""
        return self._step("Add", [value, other])

    def larger(self, value: str, other: str) -> str:
        """The larger of each two numbers."""
        return self._step("Max", [value, other])

    def times(self, value: str, factor: float) -> str:
        """`value * factor`."""
        return self._step("Mul", [value, self._constant(np.array([factor], np.float32))])

    def rbf(self, value: str, vectors: ArrayLike, gamma: float) -> str:
        """`exp(-gamma |value - vector|²)` for each of the vectors (V, K)."""
        kept = np.asarray(vectors, np.float64)
        square = self._step("Mul", [value, value])
        length = self.affine(square, np.full((kept.shape[1], 1), -gamma))
        product = self.affine(value, 2 * gamma * kept.T, -gamma * (kept**2).sum(axis=1))
        return self._step("Exp", [self._step("Add", [product, length])])

    def nearest(self, similarities: str, count: int, votes: ArrayLike) -> str:
        """The mean of `votes` (V, C) over the `count` highest of (N, V) similarities."""
        wanted = self._constant(np.array([count], np.int64))
        _, places = self._steps("TopK", [similarities, wanted], 2, axis=1, largest=1, sorted=1)
        taken = self._step("Gather", [self._constant(np.asarray(votes, np.float32)), places], axis=0)
        return self._step("ReduceMean", [taken], axes=[1], keepdims=0)

    def finish(self, logits: str, similarities: str | None = None) -> bytes:
        """The bytes of the ONNX file.

        Args:
            logits: Their softmax is the probabilities.
            similarities: Given out besides, or None.
        """
        self._nodes.append(helper.make_node("Softmax", [logits], [PROBABILITIES], axis=1))
        outputs = [PROBABILITIES]
        if similarities is not None:
            producer = next(node for node in self._nodes if similarities in node.output)
            for node in self._nodes:
                node.input[:] = [SIMILARITIES if name == similarities else name for name in node.input]
            producer.output[:] = [SIMILARITIES if n == similarities else n for n in producer.output]
            outputs.append(SIMILARITIES)
        graph = helper.make_graph(
            self._nodes,
            "classifier",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", self._width])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "C"]) for name in outputs],
            self._constants,
        )
        model = helper.make_model(
            graph, producer_name="facewise", ir_version=_IR, opset_imports=[helper.make_opsetid("", _OPSET)]
        )
        return bytes(model.SerializeToString())

    def _constant(self, value: np.ndarray) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _step(self, op: str, inputs: list[str], **options: Any) -> str:
        return self._steps(op, inputs, 1, **options)[0]

    def _steps(self, op: str, inputs: list[str], count: int, **options: Any) -> list[str]:
        names = [f"value{len(self._nodes)}.{i}" for i in range(count)]
        self._nodes.append(helper.make_node(op, inputs, names, **options))
        return names


def head_network(
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    centres: int = 1,
    scale: float = 1.0,
    unit: bool = False,
    similarities: ArrayLike | None = None,
) -> bytes:
    """The last layer of a network: `softmax(scale · (x @ weights.T) + bias)`.

    Args:
        weights: (C · centres, D), a person's centres next to each other; of unit length for a margin head.
        bias: (C · centres,) or None.
        centres: Of each person; the one nearest to a face counts (sub-centre ArcFace).
        scale: Of a margin head's cosines.
        unit: Bring embeddings to length 1 first, for raw features and a margin head.
        similarities: (C, D) what each person's cosine is taken to, such as class means; None gives none.
    """
    rows = np.asarray(weights, np.float64)
    added = np.zeros(len(rows)) if bias is None else np.asarray(bias, np.float64)
    build = Builder(rows.shape[1])
    plain = build.input
    unit_rows = build.unit(plain) if unit or similarities is not None else plain
    source = unit_rows if unit else plain
    logits = ""
    for i in range(centres):
        found = build.affine(source, scale * rows[i::centres].T, added[i::centres])
        logits = build.larger(logits, found) if logits else found
    alike = None
    if similarities is not None:
        means = np.asarray(similarities, np.float64)
        alike = build.affine(unit_rows, (means / np.linalg.norm(means, axis=1, keepdims=True)).T)
    return build.finish(logits, alike)
