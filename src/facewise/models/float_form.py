"""The float network within an int8 one: the same weights, computed in float32.

An int8 network in ONNX's QDQ form is its float network with a rounding to 8 bits (`QuantizeLinear`, then
`DequantizeLinear`) around every layer (Jacob et al. 2018, 1712.05877, eq. 1). Without the roundings, and
with the 8-bit weights turned to float32, it runs as fast as any float network, and its answers differ from
the int8 network's by the rounding of activations alone. So one file is both, at no byte more, and both have
the same name, fingerprint, thresholds and galleries (docs/experiments/quantization.md).

Where an activation's range begins at zero, a ReLU stood in front of it: the range has taken its place, and
it comes back; one of [0, 6] was a ReLU6. Nodes are replaced by others of the same inputs and outputs, so
that all else is kept byte for byte. The runtime has no protobuf library, and needs none for this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.models.onnxmeta import delimited, encoded, fields, varint

_GRAPH, _METADATA = 7, 14
_NODE, _TENSOR, _INFERRED, _ANNOTATION = 1, 5, 13, 14
"""Fields of ModelProto and GraphProto in onnx.proto3."""

_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
}
"""TensorProto.DataType: what weights, biases, scales and zero points are made of."""

_LEAST: dict[np.dtype[Any], int] = {np.dtype("u1"): 0, np.dtype("i1"): -128}
"""The lowest number an activation can be rounded to."""

_RELU6 = 6.0


def is_int8(network: bytes) -> bool:
    """Whether layers of a network compute in 8 bits.

    Raises:
        ModelError: The bytes are no ONNX file.
    """
    return any(_of_integers(node.operator) for node in _nodes(network))


def float_form(network: bytes) -> bytes | None:
    """The float network within an int8 one.

    Args:
        network: Bytes of an ONNX file.

    Returns:
        Bytes of another, without metadata; None where the layers are int8 in another form than QDQ.

    Raises:
        ModelError: The bytes are no ONNX file.
    """
    try:
        return _Unrounded(network).whole()
    except _OtherFormError:
        return None


class _OtherFormError(Exception):
    """There is something in the network that this cannot turn to float."""


@dataclass(frozen=True, slots=True)
class _Node:
    start: int
    end: int
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axis: int
    """Of DequantizeLinear."""
    in_blocks: bool


class _Unrounded:
    """A network on its way from int8 to float."""

    def __init__(self, network: bytes) -> None:
        self._data = network
        self._start, self._end = _graph(network)
        if not self._end:
            raise ModelError("This is not an ONNX file, or it is damaged.")
        self._nodes = list(_nodes(network))
        self._places = {
            _text(network, start, end, 8): (start, end)
            for number, _, start, end in fields(network, self._start, self._end)
            if number == _TENSOR
        }

    def whole(self) -> bytes:
        parts: list[bytes] = []
        for number, field, start, end in fields(self._data, 0, len(self._data)):
            if number == _GRAPH and start == self._start:
                parts.append(delimited(_GRAPH, self._graph()))
            elif number != _METADATA:
                parts.append(self._data[field:end])
        return b"".join(parts)

    def _graph(self) -> bytes:
        nodes, weights = self._layers()
        done = {name for node in self._nodes if _rounds(node.operator) for name in node.inputs}
        # A number may be shared with a layer that stays.
        done -= {name for node in self._nodes if not _rounds(node.operator) for name in node.inputs}
        rest: list[bytes] = []
        for number, field, start, end in fields(self._data, self._start, self._end):
            if number in (_NODE, _INFERRED, _ANNOTATION):  # the types inferred are those of integers
                continue
            if number == _TENSOR and _text(self._data, start, end, 8) in done:
                continue
            rest.append(self._data[field:end])
        return b"".join(nodes + rest + weights)

    def _layers(self) -> tuple[list[bytes], list[bytes]]:
        """Nodes and weights of the float network."""
        nodes: list[bytes] = []
        weights: list[bytes] = []
        rounded: set[str] = set()
        for node in self._nodes:
            if node.operator == "QuantizeLinear":
                rounded.update(node.outputs)
                nodes += self._activation(node, weights)
            elif node.operator == "DequantizeLinear" and node.inputs[0] in self._places:
                weights.append(delimited(_TENSOR, _tensor(node.outputs[0], self._weights(node))))
            elif node.operator == "DequantizeLinear" and node.inputs[0] in rounded:
                nodes.append(_made("Identity", node.inputs[:1], node.outputs))
            elif _of_integers(node.operator):
                raise _OtherFormError
            else:
                nodes.append(delimited(_NODE, self._data[node.start : node.end]))
        return nodes, weights

    def _activation(self, node: _Node, weights: list[bytes]) -> list[bytes]:
        """What stood where an activation is rounded: nothing, a ReLU, or a ReLU6."""
        scale, zero = self._scaling(node)
        if scale.size != 1 or zero.dtype not in _LEAST:
            raise _OtherFormError
        least, source, out = _LEAST[zero.dtype], node.inputs[:1], node.outputs
        if int(zero.item()) != least:
            return [_made("Identity", source, out)]
        if not np.isclose(255 * float(scale.item()), _RELU6, rtol=1e-4):
            return [_made("Relu", source, out)]
        ends = [f"{out[0]}.least", f"{out[0]}.most"]
        for name, value in zip(ends, (0.0, _RELU6), strict=True):
            weights.append(delimited(_TENSOR, _tensor(name, np.array(value, "<f4"))))
        return [_made("Clip", (*source, *ends), out)]

    def _weights(self, node: _Node) -> NDArray[np.float32]:
        scale, zero = self._scaling(node)
        values = self._tensor(node.inputs[0])
        if scale.ndim > 1 or node.in_blocks:
            raise _OtherFormError
        if scale.size > 1:
            shape = [1] * values.ndim
            shape[node.axis] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape) if zero.size > 1 else zero
        return ((values.astype(np.float32) - zero.astype(np.float32)) * scale).astype("<f4")

    def _scaling(self, node: _Node) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Scale and zero point of a rounding."""
        scale = self._tensor(node.inputs[1])
        zero = self._tensor(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), "u1")
        if scale.dtype != np.dtype("<f4"):
            raise _OtherFormError
        return scale.astype(np.float32), zero

    def _tensor(self, name: str) -> NDArray[Any]:
        if name not in self._places:
            raise _OtherFormError
        return _values(self._data, *self._places[name])


def _of_integers(operator: str) -> bool:
    """Whether an operator gives, takes or is made of integers for the sake of speed."""
    others = ("QLinear", "QGemm", "QAttention", "DynamicQuantize")
    return _rounds(operator) or operator.startswith(others) or operator.endswith("Integer")


def _rounds(operator: str) -> bool:
    return operator in ("QuantizeLinear", "DequantizeLinear")


def _graph(network: bytes) -> tuple[int, int]:
    """Where the graph lies; empty where there is none."""
    for number, _, start, end in fields(network, 0, len(network)):
        if number == _GRAPH:
            return start, end
    return 0, 0


def _nodes(network: bytes) -> Iterator[_Node]:
    for number, _, start, end in fields(network, *_graph(network)):
        if number == _NODE:
            yield _node(network, start, end)


def _node(data: bytes, begin: int, stop: int) -> _Node:
    names: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    axis, in_blocks = 1, False
    for number, _, start, end in fields(data, begin, stop):
        if number in names:
            names[number].append(data[start:end].decode("utf-8", "replace"))
        elif number == 5:
            name, value = _text(data, start, end, 1), 0
            for part, _, at, _ in fields(data, start, end):
                if part == 3:
                    value = varint(data, at, end)[0]
            if name == "axis":
                axis = value - (1 << 64) if value >> 63 else value
            in_blocks = in_blocks or (name == "block_size" and value > 0)
    return _Node(begin, stop, names[4][-1], tuple(names[1]), tuple(names[2]), axis, in_blocks)


def _text(data: bytes, begin: int, stop: int, wanted: int) -> str:
    """A field that is a string; empty where there is none."""
    for number, _, start, end in fields(data, begin, stop):
        if number == wanted:
            return data[start:end].decode("utf-8", "replace")
    return ""


def _values(data: bytes, begin: int, stop: int) -> NDArray[Any]:
    """The numbers of a TensorProto."""
    shape: list[int] = []
    kind, raw = 0, b""
    listed: list[bytes] = []
    for number, _, start, end in fields(data, begin, stop):
        if number == 1:
            shape += _varints(data[start:end]).tolist()
        elif number == 2:
            kind = varint(data, start, end)[0]
        elif number == 9:
            raw = data[start:end]
        elif number == 4:
            listed.append(data[start:end])
        elif number == 5:
            listed.append((_varints(data[start:end]) & 0xFFFFFFFF).astype("<u4").tobytes())
    if kind not in _TYPES:
        raise _OtherFormError
    if listed:
        own = np.dtype("<f4") if kind == 1 else np.dtype("<i4")
        values = np.frombuffer(b"".join(listed), own).astype(_TYPES[kind])
    else:
        values = np.frombuffer(raw, _TYPES[kind])
    if values.size != int(np.prod(shape, dtype=np.int64)):
        raise _OtherFormError
    return values.reshape(shape)


def _varints(data: bytes) -> NDArray[np.uint64]:
    """Numbers one after the other, each of seven bits a byte, the lowest first: see `varint`."""
    if not data:
        return np.empty(0, np.uint64)
    parts = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(parts < 0x80) + 1
    if not len(ends) or ends[-1] != len(parts):
        raise ModelError("This is not an ONNX file, or it is damaged.")
    starts = np.concatenate([[0], ends[:-1]])
    places = np.arange(len(parts)) - np.repeat(starts, ends - starts)
    shifted = (parts & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    found: NDArray[np.uint64] = np.add.reduceat(shifted, starts)
    return found


def _made(operator: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    """A node as a field of the graph."""
    parts = [delimited(1, name.encode()) for name in inputs] + [
        delimited(2, name.encode()) for name in outputs
    ]
    parts += [delimited(3, outputs[0].encode()), delimited(4, operator.encode())]
    return delimited(_NODE, b"".join(parts))


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    """A TensorProto of float32."""
    shape = b"".join(encoded(1 << 3) + encoded(length) for length in values.shape)
    kind = encoded(2 << 3) + encoded(1)
    return shape + kind + delimited(8, name.encode()) + delimited(9, values.tobytes())
