"""The network of a classifier file, read strictly: plain algebra on constants that it holds itself.

A classifier file may come from anybody. Nothing but this reader and numpy ever sees its bytes: every field
that is not needed is refused, and with it weights in other files, custom operators, functions, sub-graphs and
whatever else ONNX can say. What is left is a list of steps that `algebra` knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.models.onnxmeta import fields, varint

MOST_STEPS = 100
"""Steps of a network: ours have ten."""

MOST_FIELDS = 1000
"""Fields of one message: a file of nothing else would take many times its size when it is taken apart."""

MOST_TEXT = 8 << 20
"""Bytes of one piece of metadata: the hashes of 200,000 photos take 6 MB."""

_VARINT, _BYTES = 0, 2

# Field numbers of onnx.proto3.
_MODEL = {1: _VARINT, 2: _BYTES, 3: _BYTES, 7: _BYTES, 8: _BYTES, 14: _BYTES}
_GRAPH = {1: _BYTES, 2: _BYTES, 5: _BYTES, 11: _BYTES, 12: _BYTES}
_NODE = {1: _BYTES, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _BYTES}
_ATTRIBUTE = {1: _BYTES, 3: _VARINT, 8: _VARINT, 20: _VARINT}
_TENSOR = {1: _VARINT, 2: _VARINT, 8: _BYTES, 9: _BYTES}
_OPSET = {1: _BYTES, 2: _VARINT}
_VALUE = {1: _BYTES, 2: _BYTES}
_PAIR = {1: _BYTES, 2: _BYTES}
_REPEATED = {"graph": {1, 5, 11, 12}, "node": {1, 2, 5}, "model": {8, 14}, "tensor": {1}, "attribute": {8}}
_DTYPES = {1: "<f4", 7: "<i8"}
_OPSETS = range(13, 18)

Constant = NDArray[np.float32] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator.

    Attributes:
        op: As ONNX calls it.
        inputs: Names of values.
        outputs: Names of values.
        options: Its attributes, all whole numbers.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, int | tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network.

    Attributes:
        constants: By name.
        inputs: Names.
        outputs: Names.
        steps: In order.
        metadata: Of the file.
    """

    constants: Mapping[str, Constant]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    metadata: Mapping[str, str]


def read_graph(data: bytes) -> Graph:
    """Read the network of an ONNX file.

    Raises:
        ModelError: It is no ONNX file, or says anything that a classifier does not need.
    """
    model = _message(data, 0, len(data), _MODEL, "model")
    for start, end in model.get(8, []):
        opset = _message(data, start, end, _OPSET, "operator set")
        if any(data[s:e] for s, e in opset.get(1, [])):
            raise ModelError("it uses operators from outside ONNX, which are refused.")
        if _number(data, opset, 2) not in _OPSETS:
            raise ModelError(f"it uses an ONNX version other than {_OPSETS[0]} to {_OPSETS[-1]}.")
    if 7 not in model or 8 not in model:
        raise ModelError("it holds no network.")
    fields = _message(data, *model[7][0], _GRAPH, "graph")
    if len(fields.get(1, [])) > MOST_STEPS or len(fields.get(5, [])) > MOST_STEPS:
        raise ModelError(f"its network has more than {MOST_STEPS} steps.")
    constants: dict[str, Constant] = {}
    for start, end in fields.get(5, []):
        name, value = _tensor(data, start, end)
        if name in constants:
            raise ModelError("a constant of its network comes twice.")
        constants[name] = value
    inputs, outputs = (
        tuple(_text(data, _message(data, *span, _VALUE, "value"), 1) for span in fields.get(number, []))
        for number in (11, 12)
    )
    steps = tuple(_step(data, *span) for span in fields.get(1, []))
    return Graph(constants, inputs, outputs, steps, _metadata(data, model.get(14, [])))


def _metadata(data: bytes, spans: list[tuple[int, int]]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for start, end in spans:
        if end - start > MOST_TEXT:
            raise ModelError("its metadata is too long.")
        pair = _message(data, start, end, _PAIR, "metadata")
        key = _text(data, pair, 1)
        if key in pairs:
            raise ModelError("its metadata says something twice.")
        pairs[key] = _text(data, pair, 2)
    return pairs


_Spans = dict[int, list[tuple[int, int]]]


def _message(data: bytes, start: int, end: int, known: Mapping[int, int], what: str) -> _Spans:
    """The fields of one message by number; one that is unknown, of another type or repeated is refused."""
    found: _Spans = {}
    for count, (number, field, begin, stop) in enumerate(fields(data, start, end)):
        if count >= MOST_FIELDS:
            raise ModelError(f"its {what} has more than {MOST_FIELDS} fields.")
        if known.get(number) != data[field] & 7:
            raise ModelError(f"its {what} has a field ({number}) that a classifier does not need; refused.")
        spans = found.setdefault(number, [])
        if spans and number not in _REPEATED.get(what, ()):
            raise ModelError(f"a field of its {what} comes twice.")
        spans.append((begin, stop))
    return found


def _tensor(data: bytes, start: int, end: int) -> tuple[str, Constant]:
    fields = _message(data, start, end, _TENSOR, "tensor")
    dims = [varint(data, *span)[0] for span in fields.get(1, [])]
    dtype = _DTYPES.get(_number(data, fields, 2))
    if dtype is None or len(dims) > 2 or 0 in dims or 9 not in fields:
        raise ModelError("a constant of its network is not a plain vector or table of numbers.")
    begin, stop = fields[9][0]
    size = int(dtype[2])
    if stop - begin != math.prod(dims) * size:
        raise ModelError("a constant of its network has another size than it says.")
    value = np.frombuffer(data, dtype, math.prod(dims), begin).reshape(dims)
    if dtype == "<f4" and not np.isfinite(value).all():
        raise ModelError("a constant of its network is not a finite number.")
    return _text(data, fields, 8), value


def _step(data: bytes, start: int, end: int) -> Step:
    fields = _message(data, start, end, _NODE, "node")
    inputs, outputs = (tuple(_decoded(data[s:e]) for s, e in fields.get(number, [])) for number in (1, 2))
    options: dict[str, int | tuple[int, ...]] = {}
    for span in fields.get(5, []):
        attribute = _message(data, *span, _ATTRIBUTE, "attribute")
        name = _text(data, attribute, 1)
        if name in options:
            raise ModelError("an option of its network comes twice.")
        if 8 in attribute:
            options[name] = tuple(_signed(varint(data, *one)[0]) for one in attribute[8])
        else:
            options[name] = _signed(_number(data, attribute, 3))
    return Step(_text(data, fields, 4), inputs, outputs, options)


def _number(data: bytes, fields: _Spans, number: int) -> int:
    return varint(data, *fields[number][0])[0] if number in fields else 0


def _signed(value: int) -> int:
    """Protobuf keeps -1 as 2⁶⁴ - 1."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(data: bytes, fields: _Spans, number: int) -> str:
    if number not in fields:
        raise ModelError("something in its network has no name.")
    start, end = fields[number][0]
    return _decoded(data[start:end])


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ModelError("a name in its network is no text; the file is damaged.") from error
