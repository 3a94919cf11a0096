"""Writes RecordIO files, from the definition of the format: the oracle of the reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

MAGIC = bytes([0x0A, 0x23, 0xD7, 0xCE])


def piece(flag: int, data: bytes) -> bytes:
    return MAGIC + struct.pack("<I", (flag << 29) | len(data)) + data + b"\0" * (-len(data) % 4)


def record(payload: bytes) -> bytes:
    """One record; split wherever the payload has the magic number at a multiple of 4 bytes."""
    cuts = [i for i in range(0, len(payload) - 3, 4) if payload[i : i + 4] == MAGIC]
    if not cuts:
        return piece(0, payload)
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
    flags = [1, *[2] * (len(cuts) - 1), 3]
    return b"".join(piece(f, payload[a:b]) for f, a, b in zip(flags, starts, ends, strict=True))


def payload(number: int, labels: float | Sequence[float], content: bytes = b"") -> bytes:
    if isinstance(labels, int | float):
        return struct.pack("<IfQQ", 0, labels, number, 0) + content
    header = struct.pack("<IfQQ", len(labels), 0.0, number, 0)
    return header + struct.pack(f"<{len(labels)}f", *labels) + content


def picture(value: int) -> bytes:
    """The bytes of a PNG whose red is `value`."""
    return bytes(cv2.imencode(".png", np.full((5, 4, 3), (30, 20, value), np.uint8))[1])


def write(path: Path, payloads: dict[int, bytes], *, index: bool = True) -> Path:
    data, lines = b"", []
    for number, one in payloads.items():
        lines.append(f"{number}\t{len(data)}\n")
        data += record(one)
    path.write_bytes(data)
    if index:
        path.with_suffix(".idx").write_text("".join(lines))
    return path


def insightface(people: Sequence[Sequence[bytes]]) -> dict[int, bytes]:
    """The payloads of InsightFace's layout: header, images, people."""
    payloads, spans, number = {}, [], 1
    for label, images in enumerate(people):
        spans.append((float(number), float(number + len(images))))
        for image in images:
            payloads[number] = payload(number, [float(label), 0.0], image)
            number += 1
    header = payload(0, [float(number), float(number + len(people))])
    listed = {number + i: payload(number + i, list(span)) for i, span in enumerate(spans)}
    return {0: header} | payloads | listed
