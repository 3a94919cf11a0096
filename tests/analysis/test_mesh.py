"""Meshes from photo to answer, with a network that finds the same points in every drawn face."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import facewise as fw
from facewise.analysis.mesh import Landmarker
from facewise.data.synthetic import Person, View, render
from facewise.errors import ModelError
from facewise.models import ModelFile, read_model, write_model
from facewise.models.landmarker import NAME, import_landmarker
from facewise.pipeline import Pipeline, Steps
from facewise.recognizer import Recognizer
from facewise.types import Face, Pose
from tiny_models import landmarks_of, turned_head, write_landmarker

POSE = Pose(yaw=0.5, pitch=-0.3, roll=0.2)
EYE_LINE = -0.1949 / 35.2373
"""The tilt of a drawn face's eyes, radians: the template's are not quite level."""


@pytest.fixture(scope="module")
def landmarker(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    points, geometry = turned_head(POSE)
    return write_landmarker(tmp_path_factory.mktemp("landmarker") / f"{NAME}.onnx", points, geometry)


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file: Path, landmarker: ModelFile) -> Pipeline:
    return Pipeline.load(tiny_detector_file, embed=False, threads=1, mesh=landmarker.path)


def face_at(x: float, y: float, diameter: float) -> Face:
    box = np.array([x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2], np.float32)
    return Face(box, 0.9, landmarks_of(x, y, diameter))


def test_points_are_those_of_a_square_about_the_face_with_level_eyes(landmarker, drawn_photo) -> None:
    x, y, diameter = 170.0, 110.0, 80.0
    (mesh,) = Landmarker(landmarker).meshes(drawn_photo([(x, y, diameter)]), [face_at(x, y, diameter)])
    points = turned_head(POSE)[0]
    tilt = complex(math.cos(EYE_LINE), math.sin(EYE_LINE))
    middle, factor = complex(x, y) + 0.056j * diameter * tilt, 1.39 * diameter / 192 * tilt
    places = middle + factor * ((points[:, 0] - 96) + 1j * (points[:, 1] - 96))
    expected = np.column_stack([places.real, places.imag, points[:, 2] * 1.39 * diameter / 192])
    np.testing.assert_allclose(mesh.points, expected, atol=1e-3)
    assert mesh.points.dtype == np.float32
    assert list(mesh.blendshapes) == [f"shape{i}" for i in range(52)]
    assert mesh.blendshapes["shape51"] == pytest.approx(1.0)


@pytest.mark.parametrize("turn", [0.0, 0.9, -2.5])
def test_the_pose_is_that_of_the_points_and_of_the_square(landmarker, drawn_photo, turn: float) -> None:
    x, y, diameter = 160.0, 120.0, 90.0
    face = face_at(x, y, diameter)
    away = (face.landmarks[:, 0] - x) + 1j * (face.landmarks[:, 1] - y)
    away *= complex(math.cos(turn), math.sin(turn))
    turned = np.column_stack([away.real + x, away.imag + y]).astype(np.float32)
    (mesh,) = Landmarker(landmarker).meshes(
        drawn_photo([(x, y, diameter)]), [replace(face, landmarks=turned)]
    )
    assert (mesh.pose.yaw, mesh.pose.pitch) == pytest.approx((POSE.yaw, POSE.pitch), abs=1e-5)
    off = mesh.pose.roll - POSE.roll - turn - EYE_LINE
    assert math.remainder(off, 2 * math.pi) == pytest.approx(0.0, abs=1e-5)


def test_eyes_are_open_by_the_gap_of_their_lids(tmp_path, drawn_photo) -> None:
    points, geometry = turned_head(Pose(0, 0, 0))
    # One eye 40 wide with its lids 10 apart, the other 20 wide and shut.
    points[[33, 160, 158, 133, 153, 144]] = [
        [40, 80, 0], [50, 75, 0], [70, 75, 0], [80, 80, 0], [70, 85, 0], [50, 85, 0],
    ]  # fmt: skip
    points[[362, 385, 387, 263, 373, 380]] = [
        [110, 80, 0], [115, 80, 0], [125, 80, 0], [130, 80, 0], [125, 80, 0], [115, 80, 0],
    ]  # fmt: skip
    model = write_landmarker(tmp_path / "eyes.onnx", points, geometry)
    (mesh,) = Landmarker(model).meshes(drawn_photo([(160, 120, 90)]), [face_at(160, 120, 90)])
    assert mesh.eyes_open == pytest.approx((0.25, 0.0), abs=1e-5)


def test_what_is_no_face_or_too_small_has_no_mesh(landmarker, drawn_photo) -> None:
    photo = drawn_photo([(160, 120, 90)])
    nowhere = replace(face_at(160, 120, 90), landmarks=np.full((5, 2), np.nan, np.float32))
    faces = [face_at(40, 40, 50), face_at(160, 120, 15), nowhere, face_at(160, 120, 90), face_at(1e9, 0, 1e8)]
    meshes = Landmarker(landmarker).meshes(photo, faces)
    assert [mesh is not None for mesh in meshes] == [False, False, False, True, False]


def test_the_pipeline_gives_every_face_its_mesh(pipeline, drawn_photo) -> None:
    photo = drawn_photo([(80, 120, 70), (230, 120, 50)])
    found = pipeline.read(photo, Steps(embed=False)).faces
    assert len(found) == 2
    for face in found:
        middle = face.mesh.points[:, :2].mean(axis=0)
        np.testing.assert_allclose(middle, (face.box[:2] + face.box[2:]) / 2, atol=0.1 * face.width)
    again = pickle.loads(pickle.dumps(pipeline)).read(photo, Steps(embed=False)).faces
    np.testing.assert_array_equal(again[0].mesh.points, found[0].mesh.points)
    assert [f.mesh is not None for f in pipeline.upright_only().read(photo, Steps(embed=False)).faces] == [
        True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_meshes_of_photos_that_lie_on_a_side_lie_with_them(landmarker, drawn_photo, quarters: int) -> None:
    from facewise.detection.orientation import in_photo

    mesh = Landmarker(landmarker).meshes(drawn_photo([(140, 90, 90)], (200, 300)), [face_at(140, 90, 90)])
    face = replace(face_at(140, 90, 90), mesh=mesh[0])
    # A mesh that has the landmarks among its points goes where they go.
    points = face.mesh.points.copy()
    points[:5, :2] = face.landmarks
    size = (200, 300) if quarters == 2 else (300, 200)
    lying = in_photo(replace(face, mesh=replace(face.mesh, points=points)), quarters, size)
    np.testing.assert_allclose(lying.mesh.points[:5, :2], lying.landmarks, atol=1e-4)
    np.testing.assert_array_equal(lying.mesh.points[:, 2], points[:, 2])
    turned = math.remainder(lying.mesh.pose.roll - face.mesh.pose.roll - quarters * math.pi / 2, 2 * math.pi)
    assert turned == pytest.approx(0.0, abs=1e-6)


def test_landmarks_in_python(
    tiny_detector_file, tiny_embedder_file, landmarker, drawn_photo, monkeypatch, tmp_path
):
    recognizer = Recognizer(pipeline=Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1))
    photo = drawn_photo([(160, 120, 90)])
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=f"No landmarker is installed: bring the default one, {NAME}"):
        recognizer.landmarks(photo)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{NAME}.onnx").write_bytes(landmarker.network)
    (face,) = recognizer.landmarks(photo)
    assert face.mesh.points.shape == (478, 3)
    assert face.embedding is None
    assert recognizer.faces(photo)[0].mesh is None
    assert "landmarks" in dir(fw)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"geometry": [[1, 2, 3]] * 479}, "none of a face"),
        ({"geometry": [[1, 2]] * 400}, "none of a face"),
        ({"geometry": [[1, 2, 1e999]] * 400}, "none of a face"),
        ({"geometry": "much"}, "does not say what its numbers are"),
        ({"blendshapes": ["one"]}, "gives numbers of shape"),
        ({"blendshapes": None}, "does not say"),
        ({"name": "another"}, "does not say which points"),
    ],
)
def test_a_landmarker_that_is_none_is_told(landmarker, tmp_path, change, says: str) -> None:
    card = landmarker.card
    bad = replace(card, decoder={**card.decoder, **change})
    with pytest.raises(ModelError, match=says):
        Landmarker(write_model(tmp_path / "bad.onnx", landmarker.network, bad))


def test_models_of_other_kinds_are_told(tiny_embedder_file, landmarker, tiny_detector_file) -> None:
    with pytest.raises(ModelError, match="of kind 'embedder', but a 'landmarker'"):
        Landmarker.load(tiny_embedder_file)
    with pytest.raises(ModelError, match="no landmarker"):
        Landmarker(read_model(tiny_embedder_file))
    with pytest.raises(ModelError, match="of kind 'landmarker', but a 'embedder'"):
        Pipeline.load(tiny_detector_file, landmarker.path)


def test_numbers_that_are_none_are_told(tmp_path, drawn_photo) -> None:
    points, geometry = turned_head(POSE)
    points[5, 1] = np.nan
    model = write_landmarker(tmp_path / "nan.onnx", points, geometry)
    with pytest.raises(ModelError, match="no number"):
        Landmarker(model).meshes(drawn_photo([(160, 120, 90)]), [face_at(160, 120, 90)])
    with pytest.raises(ModelError, match="no number"):
        Landmarker(model).probe()


@pytest.mark.real
def test_drawn_people_of_known_pose(shared: Path, tmp_path: Path) -> None:
    """MediaPipe's own networks: half of the poses are within 4° (benchmarks/pose.py has many more people)."""
    model, known = import_landmarker(shared / "models" / "face_landmarker_v2_with_blendshapes.task", tmp_path)
    assert known
    pipeline = Pipeline.load(embed=False, threads=1, mesh=model.path)
    rng, errors = np.random.default_rng(4), []
    for number in range(20):
        yaw, pitch, roll = rng.uniform(-math.pi / 4, math.pi / 4, 3)
        view = replace(View.draw(31, number, 1, size=250), yaw=yaw, pitch=pitch, roll=roll, cover=0.0)
        photo = render(Person.draw(31, number), view).image
        for face in pipeline.read(photo, Steps(embed=False, main_only=True)).faces:
            if face.mesh is not None:
                pose = face.mesh.pose
                errors.append((pose.yaw - yaw, pose.pitch - pitch, pose.roll - roll))
    assert len(errors) >= 15
    assert np.degrees(np.median(np.abs(errors), axis=0)).max() <= 4.0
