"""MediaPipe's Face Landmarker to a model file; what is no such file, damaged, or a bomb, in a sentence."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facewise.errors import ModelError, SettingError
from facewise.models.importing import import_checkpoint
from facewise.models.landmarker import EXPRESSION_FILE, GEOMETRY_FILE, NAME, POINTS_FILE
from facewise.models.onnxmeta import delimited
from facewise.models.tflite import read_graph

TASK = "face_landmarker_v2_with_blendshapes.task"


def geometry(vertices: np.ndarray) -> bytes:
    """As MediaPipe writes a mesh: five float32 a vertex, each a field of its own."""
    return delimited(1, b"".join(b"\x1d" + struct.pack("<f", v) for v in vertices.ravel()))


def packed(path: Path, **changed: bytes | None) -> Path:
    files = {"points": (POINTS_FILE, b"points"), "expression": (EXPRESSION_FILE, b"expression"),
             "geometry": (GEOMETRY_FILE, geometry(np.ones((468, 5))))}  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for key, (name, data) in files.items():
            if (held := changed.get(key, data)) is not None:
                opened.writestr(name, held)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path, "There is no file"),
        (lambda path: path.write_bytes(b"no zip at all") and path, "no sound zip file"),
        (lambda path: packed(path, geometry=None), "is no Face Landmarker with blendshapes"),
        (packed, "of its network of points, it does not say TFL3"),
        (lambda path: packed(path, points=bytes(33 << 20)), f"{POINTS_FILE} has more than 32 MB"),
        (lambda path: packed(path, geometry=bytes(2 << 20)), f"{GEOMETRY_FILE} has more than 1 MB"),
    ],
)
def test_what_is_no_landmarker_is_told(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        import_checkpoint(make(tmp_path / "face.task"), tmp_path)
    assert not list(tmp_path.glob("*.onnx"))


def test_a_zip_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "face.task", points=np.random.default_rng(0).bytes(5000))
    data = bytearray(path.read_bytes())
    data[300:320] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no sound zip file"):
        import_checkpoint(path, tmp_path)


def test_it_is_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="can only be"):
        import_checkpoint(packed(tmp_path / "face.task"), tmp_path, family="facenet")


@pytest.mark.real
def test_the_landmarker_of_google_is_known(shared: Path, tmp_path: Path) -> None:
    done = import_checkpoint(shared / "models" / TASK, tmp_path, name="mesh")
    assert done.known
    card = done.model.card
    assert (done.model.path.name, card.kind, card.licence) == ("mesh.onnx", "landmarker", "Apache-2.0")
    # The tip of the nose is farthest out, on the middle line; JSON keeps float32 numbers as they were.
    points = np.array(card.decoder["geometry"])
    assert points.shape == (468, 3)
    assert points[:, 2].argmax() == 4
    assert abs(points[4, 0]) < 1e-6
    assert json.loads(json.dumps(points.tolist())) == [
        [float(f"{v:.9g}") for v in row] for row in points.astype(np.float32).tolist()
    ]
    session = onnxruntime.InferenceSession(done.model.network, providers=["CPUExecutionProvider"])
    crop = np.random.default_rng(0).random((1, 3, 192, 192), dtype=np.float32)
    points, presence, shapes = session.run(None, {session.get_inputs()[0].name: crop})
    assert (points.shape, presence.shape, shapes.shape) == ((1, 478, 3), (1, 1), (1, 52))
    assert 0 <= presence[0, 0] <= 1


@pytest.mark.real
def test_networks_in_each_others_place_are_told(shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "models" / TASK) as task:
        points, expression = task.read(POINTS_FILE), task.read(EXPRESSION_FILE)
        shape = task.read(GEOMETRY_FILE)
    swapped = packed(tmp_path / "swapped.task", points=expression, expression=points, geometry=shape)
    with pytest.raises(ModelError, match="it is another"):
        import_checkpoint(swapped, tmp_path)
    kernel = next(t.value for t in read_graph(points).tensors if t.value is not None and t.value.size > 1000)
    spoiled = points.replace(kernel.tobytes(), b"\xff" * kernel.nbytes)
    broken = packed(tmp_path / "nan.task", points=spoiled, expression=expression, geometry=shape)
    with pytest.raises(ModelError, match="not finite"):
        import_checkpoint(broken, tmp_path)
    for bad, says in ((shape[:900], "damaged"), (geometry(np.ones((9, 5))), "not that of a face"),
                      (geometry(np.full((468, 5), np.inf)), "not that of a face")):  # fmt: skip
        spoiled = packed(tmp_path / "bad.task", points=points, expression=expression, geometry=bad)
        with pytest.raises(ModelError, match=says):
            import_checkpoint(spoiled, tmp_path)
    assert not (tmp_path / f"{NAME}.onnx").exists()
