"""Reading and replacing the metadata of an ONNX file without parsing its weights.

An ONNX file is one protobuf `ModelProto`; its `metadata_props` are top-level fields of number 14, each a
key-value pair (onnx.proto3, ModelProto and StringStringEntryProto). Walking the top level needs no schema,
takes no longer than hashing, and keeps every other byte as it was, so that a fingerprint of the network does
not change when a calibration is written beside it. The runtime thus needs no protobuf library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from facewise.errors import ModelError

_METADATA_FIELD = 14
_LENGTH_DELIMITED = 2


def metadata(data: bytes) -> dict[str, str]:
    """The metadata pairs of an ONNX file.

    Raises:
        ModelError: The bytes are not a protobuf message.
    """
    pairs: dict[str, str] = {}
    for number, _, start, end in fields(data, 0, len(data)):
        if number == _METADATA_FIELD:
            entry = {n: data[s:e] for n, _, s, e in fields(data, start, end)}
            try:
                pairs[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            except UnicodeDecodeError as error:
                raise ModelError("The model file's metadata is not text; the file is damaged.") from error
    return pairs


def replace_metadata(data: bytes, pairs: Mapping[str, str]) -> bytes:
    """The same ONNX file with exactly these metadata pairs; every other byte stays.

    Raises:
        ModelError: The bytes are not a protobuf message.
    """
    kept = [
        data[field:end] for number, field, _, end in fields(data, 0, len(data)) if number != _METADATA_FIELD
    ]
    for key, value in pairs.items():
        entry = delimited(1, key.encode()) + delimited(2, value.encode())
        kept.append(delimited(_METADATA_FIELD, entry))
    return b"".join(kept)


def network_hash(data: bytes) -> str:
    """sha256 (hex) of everything but the metadata: graph, weights, opset.

    Raises:
        ModelError: The bytes are not a protobuf message.
    """
    digest = hashlib.sha256()
    view = memoryview(data)
    for number, field, _, end in fields(data, 0, len(data)):
        if number != _METADATA_FIELD:
            digest.update(view[field:end])
    return digest.hexdigest()


def fields(data: bytes, position: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, where the field starts, where its payload starts, where it ends) at one level."""
    while position < stop:
        field = position
        tag, position = varint(data, position, stop)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            start = position
            _, position = varint(data, position, stop)
        elif kind == _LENGTH_DELIMITED:
            length, start = varint(data, position, stop)
            position = start + length
        elif kind in (1, 5):
            start = position
            position += 8 if kind == 1 else 4
        else:
            raise ModelError("This is not an ONNX file, or it is damaged.")
        if number == 0 or position > stop:
            raise ModelError("This is not an ONNX file, or it is truncated.")
        yield number, field, start, position


def varint(data: bytes, position: int, stop: int) -> tuple[int, int]:
    """A number of protobuf at `position`, and where it ends."""
    value = shift = 0
    while True:
        if position >= stop or shift > 63:
            raise ModelError("This is not an ONNX file, or it is truncated.")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def delimited(number: int, payload: bytes) -> bytes:
    """A field that holds bytes, a text or another message."""
    return encoded(number << 3 | _LENGTH_DELIMITED) + encoded(len(payload)) + payload


def encoded(value: int) -> bytes:
    """A number as protobuf writes it: see `varint`."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
