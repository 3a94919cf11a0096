"""`facewise landmarks`: points, poses and expressions told, drawn and written; bad photos among good ones."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.models.landmarker import NAME
from facewise.types import Pose
from tiny_models import draw, turned_head, write_landmarker

POSE = Pose(math.radians(20), math.radians(-10), 0.0)


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_landmarker(tmp_path_factory.mktemp("mesh") / "drawn.onnx", *turned_head(POSE)).path


@pytest.fixture
def photos(place: Path) -> Path:
    folder = place / "photos"
    folder.mkdir()
    for name, faces in (
        ("ada", [(160, 120, 90, 1)]), ("pair", [(90, 120, 80, 2), (230, 120, 70, 3)]), ("nobody", []),
        ("far", [(160, 120, 17, 4)]),
    ):  # fmt: skip
        PIL.Image.fromarray(draw((240, 320), faces)).save(folder / f"{name}.png")
    return folder


def test_what_is_told_of_good_photos_and_of_bad_ones(facewise, photos, mesh_file):
    done = facewise(
        "landmarks", photos, "--landmarker", mesh_file, "--draw", "drawn", "--csv", "m.csv", code=3
    )
    rows = [line for line in done.out.splitlines() if ".png" in line]
    assert len(rows) == 3
    assert all("+20" in row and "-10" in row and "shape51 1.00" in row for row in rows)
    assert "3 faces in 4 photos." in done.out
    far, nobody, end = done.complaints
    assert "far.png gets no points: its face is 17 pixels large, and points need 20" in far
    assert "No face was found in" in nobody
    assert "2 bad photos, named above; the good ones are done." in end
    assert sorted(path.name for path in Path("drawn").iterdir()) == [
        "ada.jpg", "far.jpg", "nobody.jpg", "pair.jpg",
    ]  # fmt: skip
    before, after = (np.array(PIL.Image.open(p), np.int16) for p in (photos / "ada.png", "drawn/ada.jpg"))
    assert (
        np.abs(after - np.repeat(np.repeat(before, len(after) // 240, 0), len(after) // 240, 1)).max() > 100
    )
    with Path("m.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(Path(row["photo"]).name, row["face"]) for row in table] == [
        ("ada.png", "1"), ("pair.png", "1"), ("pair.png", "2"),
    ]  # fmt: skip
    assert [float(row["yaw"]) for row in table] == pytest.approx([20.0] * 3, abs=0.5)
    assert len(table[0]) == 8 + 52 + 3 * 478


def test_json_tells_all(facewise, photos, mesh_file):
    done = facewise("landmarks", photos / "pair.png", "--landmarker", mesh_file, "--main", "--json").json
    (photo,) = done["photos"]
    (face,) = photo["faces"]
    assert done["main_of_several"] == [str(photos / "pair.png")]
    assert np.array(face["mesh"]["points"]).shape == (478, 3)
    assert face["mesh"]["pose_degrees"] == pytest.approx({"yaw": 20.0, "pitch": -10.0, "roll": 0.0}, abs=0.5)
    assert len(face["mesh"]["blendshapes"]) == 52
    assert "quality" in face


def test_no_landmarker_and_models_of_other_kinds(facewise, photos, store, mesh_file):
    done = facewise("landmarks", photos / "ada.png", code=3)
    assert f"No landmarker is installed: bring the default one, {NAME}" in done.err
    done = facewise("landmarks", photos / "ada.png", "--landmarker", "other", code=3)
    assert "is a model of kind 'embedder', but a 'landmarker' is needed here" in done.err
    done = facewise("detect", photos / "ada.png", "--detector", mesh_file, code=3)
    assert "is a model of kind 'landmarker'" in done.err


def test_a_landmarker_in_the_store_is_listed_shown_and_verified(facewise, photos, store, mesh_file):
    shutil.copy(mesh_file, store / "models" / f"{NAME}.onnx")
    try:
        assert "landmarker, the default" in facewise("models", "list").out
        assert "1 model is sound" in facewise("models", "verify", NAME).out
        shown = facewise("models", "show", NAME)
        assert "geometry" not in shown.out
        assert "468 points" in shown.out or "landmarker" in shown.out
        assert "1 face in 1 photo" in facewise("landmarks", photos / "ada.png").out
    finally:
        (store / "models" / f"{NAME}.onnx").unlink()


def test_enrolment_remarks_what_a_better_photo_would_not_have(facewise, photos, store, tmp_path):
    model = write_landmarker(tmp_path / "turned.onnx", *turned_head(Pose(math.radians(40), 0.0, 0.0)))
    shutil.copy(model.path, store / "models" / f"{NAME}.onnx")
    enrol = ("enroll", "Ada", photos / "ada.png", "--gallery", "people.db", "--mesh")
    better = "its face could be shown better (turned by 40°): take one from the front"
    try:
        refused = facewise(*enrol, "--quality", "strict", code=3)
        assert better in refused.err
        done = facewise(*enrol)
        assert better in done.err
        assert "1 photo of 1 person enrolled" in done.out
        plain = facewise("enroll", "Bea", photos / "pair.png", "--gallery", "people.db")
        assert "turned" not in plain.err
    finally:
        (store / "models" / f"{NAME}.onnx").unlink()
