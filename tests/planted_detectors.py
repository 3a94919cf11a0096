"""Networks of SCRFD's and YuNet's signatures whose faces are pixels, and what they must find, in plain loops.

A cell looks at one pixel, the upper left one of its stride: a red one is a face, to SCRFD's second anchor a
green one; the blue in it makes the face larger. What is found in any photo can so be said from its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from facewise.models import ModelCard, ModelFile, write_model
from facewise.models.zoo import find
from facewise.preprocess import Preprocess

STRIDES = (8, 16, 32)
MARKS = ((-1.0, -1.0), (1.0, -1.125), (0.0, 0.25), (-0.75, 1.0), (0.75, 1.125))
"""Offsets of the landmarks from the cell's corner in strides, eye at the image's left first."""

Expected = tuple[list[float], float, list[list[float]]]
"""Box, score and landmarks."""


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# SCRFD


def scrfd_faces(photo: np.ndarray, threshold: float = 0.5) -> list[Expected]:
    """What `scrfd` finds in a photo, one by one."""
    found = []
    for stride in STRIDES:
        for y in range(0, photo.shape[0], stride):
            for x in range(0, photo.shape[1], stride):
                red, green, blue = ((float(v) - 127.5) / 128 for v in photo[y, x])
                for anchor, sign in ((0, 1), (1, -1)):
                    score = sigmoid(8 * sign * (red - green) - 8)
                    if score <= threshold:
                        continue
                    left, up, right, down = (stride * (side + anchor + blue) for side in (2, 3, 4, 5))
                    marks = [
                        [x + stride * (dx * (1 + anchor) + blue), y + stride * dy * (1 + anchor)]
                        for dx, dy in MARKS
                    ]
                    found.append(([x - left, y - up, x + right, y + down], score, marks))
    return found


def scrfd(
    *,
    batch: int | str = 1,
    size: tuple[int, int] | None = None,
    batch_axis: bool = False,
    order: Sequence[int] = range(9),
    name: str = "input.1",
    without_sigmoid: bool = False,
    nan: str = "",
    kinds: Sequence[str] = ("score", "bbox", "kps"),
    told: bool = True,
) -> bytes:
    """An ONNX file like those of InsightFace's packs.

    Args:
        batch: Of the input: 1, another number, or a name for any.
        size: (height, width) of the input, None for any.
        batch_axis: Whether outputs are (N, A, C) and not (A, C).
        order: Of the outputs.
        name: Of the input.
        without_sigmoid: Whether scores are logits.
        nan: A kind of output whose second anchor gives no numbers.
        kinds: Of outputs there are.
        told: Whether the file says the outputs' shapes.
    """
    nodes, weights, outputs = [], [], []
    for kind in kinds:
        numbers = {"score": 1, "bbox": 4, "kps": 10}[kind]
        for stride in STRIDES:
            weight = np.zeros((2, numbers, 3), np.float32)
            bias = np.zeros((2, numbers), np.float32)
            for anchor, sign in ((0, 1), (1, -1)):
                if kind == "score":
                    weight[anchor, 0, :2], bias[anchor, 0] = (8 * sign, -8 * sign), -8
                elif kind == "bbox":
                    weight[anchor, :, 2], bias[anchor] = 1, np.array([2, 3, 4, 5]) + anchor
                else:
                    weight[anchor, 0::2, 2], bias[anchor] = 1, np.array(MARKS).ravel() * (1 + anchor)
            if kind == nan:
                bias[1] = np.nan
            end = f"{kind}_{stride}"
            plain = kind != "score" or without_sigmoid
            axes = [0, 2, 3, 1] if batch_axis else [2, 3, 0, 1]
            shape = [0, -1, numbers] if batch_axis else [-1, numbers]
            weights += [
                numpy_helper.from_array(weight.reshape(-1, 3, 1, 1), f"{end}.w"),
                numpy_helper.from_array(bias.ravel(), f"{end}.b"),
                numpy_helper.from_array(np.array(shape, np.int64), f"{end}.s"),
            ]
            nodes += [
                helper.make_node(
                    "Conv", [name, f"{end}.w", f"{end}.b"], [f"{end}.c"],
                    kernel_shape=[1, 1], strides=[stride, stride],
                ),
                helper.make_node("Transpose", [f"{end}.c"], [f"{end}.t"], perm=axes),
                helper.make_node("Reshape", [f"{end}.t", f"{end}.s"], [end if plain else f"{end}.r"]),
            ]  # fmt: skip
            if not plain:
                nodes.append(helper.make_node("Sigmoid", [f"{end}.r"], [end]))
            # As in InsightFace's own files, the shapes told are those of another size of photo.
            lengths = ([None] if batch_axis else []) + [
                2 * (640 // stride) ** 2 if not size else None,
                numbers,
            ]
            outputs.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, lengths if told else None))
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3, *(size or ("?", "??"))])
    ordered = [outputs[i] for i in order if i < len(outputs)]
    return _model(helper.make_graph(nodes, "scrfd", [given], ordered, weights))


# YuNet


def yunet_faces(photo: np.ndarray, threshold: float = 0.5) -> list[Expected]:
    """What `yunet` finds in a photo, one by one."""
    found = []
    for stride in STRIDES:
        for row in range(math.ceil(photo.shape[0] / stride)):
            for column in range(math.ceil(photo.shape[1] / stride)):
                red, green, blue = (float(v) / 255 for v in photo[row * stride, column * stride])
                score = math.sqrt(sigmoid(16 * red - 8) * sigmoid(8 - 16 * green))
                if score < threshold:
                    continue
                x, y = (column + 0.5 + blue) * stride, (row + 0.25) * stride
                width, height = math.exp(0.5 + blue) * stride, math.exp(0.75 + blue) * stride
                marks = [[(column + dx + blue) * stride, (row + dy) * stride] for dx, dy in MARKS]
                box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                found.append((box, score, marks))
    return found


def yunet(
    *,
    size: tuple[int, int] | None = (640, 640),
    nan: str = "",
    leave_out: str = "",
    numbers_of_kps: int = 10,
    shape_fixed: bool = False,
) -> bytes:
    """An ONNX file like those of the OpenCV zoo.

    Args:
        size: (height, width) that the file says its input has, None for any.
        nan: A kind of output without numbers.
        leave_out: An output that is not there.
        numbers_of_kps: Numbers of landmarks a cell.
        shape_fixed: Whether the network can be run at `size` only.
    """
    nodes, weights, outputs = [], [], []
    for kind, numbers in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", numbers_of_kps)):
        for stride in STRIDES:
            weight, bias = np.zeros((numbers, 3), np.float32), np.zeros(numbers, np.float32)
            if kind == "cls":
                weight[0, 2], bias[0] = 16 / 255, -8  # the input is BGR
            elif kind == "obj":
                weight[0, 1], bias[0] = -16 / 255, 8
            elif kind == "bbox":
                weight[[0, 2, 3], 0], bias[:] = 1 / 255, (0.5, 0.25, 0.5, 0.75)
            else:
                weight[0::2, 0], bias[:] = 1 / 255, np.resize(np.array(MARKS).ravel(), numbers)
            if kind == nan:
                bias[:] = np.nan
            end = f"{kind}_{stride}"
            if end == leave_out:
                continue
            cells = (size[0] // stride) * (size[1] // stride) if size else None
            last = f"{end}.r" if numbers == 1 else end
            weights += [
                numpy_helper.from_array(weight.reshape(-1, 3, 1, 1), f"{end}.w"),
                numpy_helper.from_array(bias, f"{end}.b"),
                numpy_helper.from_array(np.array([1, cells if shape_fixed else -1, numbers]), f"{end}.s"),
            ]
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"{end}.w", f"{end}.b"], [f"{end}.c"],
                    kernel_shape=[1, 1], strides=[stride, stride],
                ),
                helper.make_node("Transpose", [f"{end}.c"], [f"{end}.t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{end}.t", f"{end}.s"], [last]),
            ]  # fmt: skip
            if numbers == 1:
                nodes.append(helper.make_node("Sigmoid", [last], [end]))
            outputs.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, cells, numbers]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *(size or ("height", "width"))])
    return _model(helper.make_graph(nodes, "yunet", [given], outputs, weights))


def _model(graph: object) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    data: bytes = model.SerializeToString()
    return data


# Model files


def write_detector_of(path: Path, network: bytes, entry: str, **changes: object) -> ModelFile:
    """The network as a model file that says of itself what the zoo's `entry` says."""
    facts = find(entry).facewise
    assert facts is not None
    fields = {
        "preprocess": Preprocess.from_dict(facts["preprocess"]),
        "decoder": facts["decoder"],
        **changes,
    }
    card = ModelCard("detector", path.stem, "1", "MIT", "planted in tests", **fields)  # type: ignore[arg-type]
    return write_model(path, network, card)


def same(faces: Sequence[object], expected: Sequence[Expected], *, atol: float = 2e-3) -> None:
    """The same faces, in whatever order; those without area are no faces."""
    real = [face for face in expected if face[0][2] > face[0][0] and face[0][3] > face[0][1]]
    assert len(faces) == len(real)
    key = lambda box: tuple(np.round(box, 1))  # noqa: E731
    ours = sorted(faces, key=lambda face: key(face.box))  # type: ignore[attr-defined]
    for face, (box, score, marks) in zip(ours, sorted(real, key=lambda face: key(face[0])), strict=True):
        np.testing.assert_allclose(face.box, box, atol=atol, rtol=1e-4)  # type: ignore[attr-defined]
        np.testing.assert_allclose(face.landmarks, marks, atol=atol, rtol=1e-4)  # type: ignore[attr-defined]
        assert abs(face.score - score) < 1e-4  # type: ignore[attr-defined]
