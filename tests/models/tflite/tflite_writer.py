"""Small TFLite files, written field by field with the `flatbuffers` package, to be read by ours."""

from __future__ import annotations

from dataclasses import dataclass, field

import flatbuffers
import numpy as np

CODES = {
    "ADD": 0, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6, "LOGISTIC": 14,
    "MAX_POOL_2D": 17, "MUL": 18, "RELU": 19, "RESHAPE": 22, "SOFTMAX": 25, "PAD": 34, "TRANSPOSE": 39,
    "MEAN": 40, "SUB": 41, "DIV": 42, "STRIDED_SLICE": 45, "PRELU": 54, "NEG": 59, "SUM": 74, "SQRT": 75,
    "RSQRT": 76, "SQUARED_DIFFERENCE": 99, "HARD_SWISH": 117,
}  # fmt: skip
TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4}


@dataclass
class Step:
    """An operator; its options are numbers by field, bytes where they are bool or enums."""

    kind: str
    inputs: list[int]
    output: int
    ints: dict[int, int] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)


@dataclass
class Net:
    """A network under construction: `tensor` numbers them."""

    tensors: list[tuple[tuple[int, ...], str, np.ndarray | None]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(self, shape: tuple[int, ...], dtype: str = "float32") -> int:
        self.tensors.append((shape, dtype, None))
        return len(self.tensors) - 1

    def constant(self, value: np.ndarray) -> int:
        self.tensors.append((value.shape, str(value.dtype), value))
        return len(self.tensors) - 1

    def step(self, kind: str, inputs: list[int], shape: tuple[int, ...], *, ints=None, bytes_=None) -> int:
        output = self.tensor(shape)
        self.steps.append(Step(kind, inputs, output, ints or {}, bytes_ or {}))
        return output

    def to_bytes(self, *, version: int = 3, graphs: int = 1) -> bytes:
        b = flatbuffers.Builder(1024)
        held = [None, *[value for *_, value in self.tensors if value is not None]]
        buffers = _tables(b, [_buffer(b, value) for value in held])
        kinds = list(dict.fromkeys(step.kind for step in self.steps))
        codes = _tables(b, [_code(b, CODES[kind]) for kind in kinds])
        number, tensors = 0, []
        for i, (shape, dtype, value) in enumerate(self.tensors):
            number += value is not None
            tensors.append(_tensor(b, f"tensor {i}", shape, dtype, number if value is not None else 0))
        tensors_at = _tables(b, tensors)
        steps = _tables(b, [_step(b, step, kinds.index(step.kind)) for step in self.steps])
        inputs, outputs = _ints(b, self.inputs), _ints(b, self.outputs)
        b.StartObject(5)
        for slot, at in enumerate((tensors_at, inputs, outputs, steps)):
            b.PrependUOffsetTRelativeSlot(slot, at, 0)
        graph = b.EndObject()
        graphs_at = _tables(b, [graph] * graphs)
        b.StartObject(8)
        b.PrependUint32Slot(0, version, 0)
        for slot, at in ((1, codes), (2, graphs_at), (4, buffers)):
            b.PrependUOffsetTRelativeSlot(slot, at, 0)
        b.Finish(b.EndObject(), file_identifier=b"TFL3")
        return bytes(b.Output())


def _tables(b: flatbuffers.Builder, tables: list[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    return b.EndVector()


def _ints(b: flatbuffers.Builder, values: list[int]) -> int:
    return b.CreateNumpyVector(np.array(values, np.int32))


def _buffer(b: flatbuffers.Builder, value: np.ndarray | None) -> int:
    data = None if value is None else b.CreateNumpyVector(np.frombuffer(value.tobytes(), np.uint8))
    b.StartObject(3)
    if data is not None:
        b.PrependUOffsetTRelativeSlot(0, data, 0)
    return b.EndObject()


def _code(b: flatbuffers.Builder, code: int) -> int:
    b.StartObject(4)
    b.PrependInt8Slot(0, min(code, 127), 0)
    b.PrependInt32Slot(3, code, 0)
    return b.EndObject()


def _tensor(b: flatbuffers.Builder, name: str, shape: tuple[int, ...], dtype: str, buffer: int) -> int:
    name_at, shape_at = b.CreateString(name), _ints(b, list(shape))
    b.StartObject(10)
    b.PrependUOffsetTRelativeSlot(0, shape_at, 0)
    b.PrependInt8Slot(1, TYPES[dtype], 0)
    b.PrependUint32Slot(2, buffer, 0)
    b.PrependUOffsetTRelativeSlot(3, name_at, 0)
    return b.EndObject()


def _step(b: flatbuffers.Builder, step: Step, code: int) -> int:
    b.StartObject(8)
    for slot, value in step.ints.items():
        b.PrependInt32Slot(slot, value, 0)
    for slot, value in step.bytes.items():
        b.PrependInt8Slot(slot, value, 0)
    options = b.EndObject()
    inputs, outputs = _ints(b, step.inputs), _ints(b, [step.output])
    b.StartObject(9)
    b.PrependUint32Slot(0, code, 0)
    b.PrependUOffsetTRelativeSlot(1, inputs, 0)
    b.PrependUOffsetTRelativeSlot(2, outputs, 0)
    b.PrependUint8Slot(3, 1, 0)
    b.PrependUOffsetTRelativeSlot(4, options, 0)
    return b.EndObject()
