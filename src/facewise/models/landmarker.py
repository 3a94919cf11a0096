"""MediaPipe's Face Landmarker, a zip of three TFLite networks and a geometry, to one model file.

The networks of points and of expression become one: what the second takes are points that the first gives.
MediaPipe computes the expression from points of the photo; here they are those of the crop, in which the eyes
are level, so a tilted head has the expression it has upright. The third network, which finds faces, gives no
corners of the mouth and is left out: faces are found by a detector of Facewise.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from facewise.errors import ModelError
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.models.onnxmeta import fields
from facewise.models.tflite import Converted, convert, read_graph
from facewise.preprocess import Preprocess

NAME = "mediapipe-face-landmarker"
"""The name its model file gets."""

POINTS_FILE, EXPRESSION_FILE = "face_landmarks_detector.tflite", "face_blendshapes.tflite"
GEOMETRY_FILE = "geometry_pipeline_metadata_landmarks.binarypb"

KNOWN = "b261925d4aad812b47a0e8d58c1baa1223270a5d1f663d78338bc881c003879d"
"""sha256 of Google's file, version 2023-04-02."""

POINTS, GEOMETRY_POINTS = 478, 468
"""Irises have no place in the geometry."""

BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
"""What the expression network gives, in its order: ARKit's names; left and right are the person's."""

LANDMARKER = ModelCard(
    kind="landmarker",
    name=NAME,
    version="1",
    licence="Apache-2.0",
    source="google/mediapipe, Face Landmarker",
    preprocess=Preprocess(192, (0.0,) * 3, (255.0,) * 3, "RGB", "none"),
    decoder={"name": "mediapipe-face", "blendshapes": list(BLENDSHAPES)},
)

_OF_EXPRESSION = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70,
    78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149,
    150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195,
    197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300,
    308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)  # fmt: skip
"""The points that the expression network takes, in MediaPipe's order."""

_MOST_BYTES = {POINTS_FILE: 32 << 20, EXPRESSION_FILE: 32 << 20, GEOMETRY_FILE: 1 << 20}
_MOST_FILES = 64
"""Within the zip."""

_VERTEX = 5
"""Numbers of a vertex: x, y, z and where in a texture it is."""


def import_landmarker(
    path: Path, folder: str | os.PathLike[str], *, name: str | None = None
) -> tuple[ModelFile, bool]:
    """Turn a Face Landmarker into a model file.

    Args:
        path: The `.task` file.
        folder: Where the model file goes, as NAME.onnx.
        name: Name of the model; None is `NAME`.

    Returns:
        The model file, and whether the file is Google's own.

    Raises:
        ModelError: It is no such file, damaged, or holds networks of another kind, or such as do not run.
        FacewiseError: The model file cannot be written.
    """
    files, digest = _unzipped(path)
    try:
        network = _joined(
            _network(files[POINTS_FILE], (1, 192, 192, 3), {3 * POINTS, 1}, "points"),
            _network(files[EXPRESSION_FILE], (1, len(_OF_EXPRESSION), 2), {len(BLENDSHAPES)}, "expression"),
        )
        geometry = _geometry(files[GEOMETRY_FILE])
        _run_once(network)
    except ModelError as error:
        raise ModelError(f"{path} cannot be imported: {error}") from error
    card = replace(
        LANDMARKER,
        name=name or NAME,
        decoder={**(LANDMARKER.decoder or {}), "geometry": geometry},
        training={"checkpoint": path.name, "checkpoint_sha256": digest},
    )
    return write_model(Path(folder) / f"{card.name}.onnx", network, card), digest == KNOWN


def _unzipped(path: Path) -> tuple[dict[str, bytes], str]:
    """The files wanted, and the sha256 of the zip."""
    wanted = tuple(_MOST_BYTES)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
            if len(names) > _MOST_FILES or not set(wanted) <= set(names):
                raise ModelError(
                    f"{path} is no Face Landmarker with blendshapes: that is a zip of {', '.join(wanted)}."
                )
            return {name: _member(path, opened, name) for name in wanted}, digest
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}.") from error
    # RuntimeError: a password; NotImplementedError: a compression of another kind.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{path} is no sound zip file: {error}.") from error
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror or error}.") from error


def _member(path: Path, opened: zipfile.ZipFile, name: str) -> bytes:
    with opened.open(name) as source:
        # The zip's own word about a size is not trusted.
        data = source.read(_MOST_BYTES[name] + 1)
    if len(data) > _MOST_BYTES[name]:
        raise ModelError(f"{path} cannot be imported: its {name} has more than {_MOST_BYTES[name] >> 20} MB.")
    return data


def _network(data: bytes, takes: tuple[int, ...], gives: set[int], name: str) -> Converted:
    """One of the networks, its outputs by length: the longest first."""
    try:
        graph = read_graph(data)
        made = convert(graph, name)
    except ModelError as error:
        raise ModelError(f"of its network of {name}, {error}") from error
    shape = [graph.tensors[number].shape for number in graph.inputs]
    lengths = [math.prod(graph.tensors[number].shape) for number in graph.outputs]
    if shape != [takes] or len(lengths) != len(gives) or set(lengths) != gives:
        raise ModelError(f"its network of {name} takes {shape} and gives {lengths} numbers: it is another.")
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    made.outputs = tuple(made.outputs[i] for i in order)
    return made


def _joined(points: Converted, expression: Converted) -> bytes:
    """Both networks as one: (1, 3, 192, 192) to points in pixels of it, presence in [0, 1], blendshapes."""
    vectors = {
        "points.shape": [1, POINTS, 3], "presence.shape": [1, 1], "expression.shape": [1, len(BLENDSHAPES)],
        "expression.points": list(_OF_EXPRESSION), "zero": [0], "two": [2], "last": [2],
    }  # fmt: skip
    between = [
        helper.make_node("Reshape", [points.outputs[0], "points.shape"], ["points"]),
        helper.make_node("Reshape", [points.outputs[1], "presence.shape"], ["presence.logit"]),
        helper.make_node("Sigmoid", ["presence.logit"], ["presence"]),
        helper.make_node("Gather", ["points", "expression.points"], ["expression.seen"], axis=1),
        helper.make_node("Slice", ["expression.seen", "zero", "two", "last"], list(expression.inputs)),
    ]
    last = helper.make_node("Reshape", [expression.outputs[0], "expression.shape"], ["blendshapes"])

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [*points.nodes, *between, *expression.nodes, last],
        NAME,
        [value(points.inputs[0], 1, 3, 192, 192)],
        [value("points", 1, POINTS, 3), value("presence", 1, 1), value("blendshapes", 1, len(BLENDSHAPES))],
        [
            *points.initializers(),
            *expression.initializers(),
            *(helper.make_tensor(key, TensorProto.INT64, [len(v)], v) for key, v in vectors.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    try:
        onnx.checker.check_model(model, full_check=True)
    # Of the checker's own kinds of error one is a RuntimeError, the other an Exception.
    except Exception as error:
        raise ModelError(f"what it holds makes no network: {str(error).splitlines()[0]}") from error
    return bytes(model.SerializeToString())


def _run_once(network: bytes) -> None:
    """See that it gives numbers, on noise."""
    import onnxruntime as ort  # noqa: PLC0415  slow to load

    options = ort.SessionOptions()
    options.log_severity_level = 4
    noise = np.random.default_rng(0).random((1, 3, 192, 192), dtype=np.float32)
    try:
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: noise})
    # ONNX Runtime has a class of its own for each way to fail, all children of Exception.
    except Exception as error:
        raise ModelError(f"what it holds does not run: {str(error).splitlines()[0]}") from error
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelError("its networks give numbers that are not finite.")


def _geometry(data: bytes) -> list[list[float]]:
    """(468, 3) centimetres right, up and towards the viewer: MediaPipe's canonical face.

    Of its `GeometryPipelineMetadata` the mesh (1) and of that the vertices (3).
    """
    vertices = list[float]()
    try:
        for number, _, start, end in fields(data, 0, len(data)):
            inner = fields(data, start, end) if number == 1 else ()
            vertices += [_float(data[at:stop]) for field, _, at, stop in inner if field == 3]
    except (ModelError, struct.error) as error:
        raise ModelError("its geometry is damaged.") from error
    if len(vertices) != _VERTEX * GEOMETRY_POINTS or not all(map(math.isfinite, vertices)):
        raise ModelError("its geometry is not that of a face.")
    return [vertices[i : i + 3] for i in range(0, len(vertices), _VERTEX)]


def _float(data: bytes) -> float:
    """A float32, by the shortest decimal that is it."""
    (value,) = struct.unpack("<f", data)
    return float(f"{value:.9g}")
