"""What a mesh adds to the quality of a face: true turns, closed eyes, open mouths."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from facewise.pipeline import Pipeline, Steps
from facewise.quality import with_mesh
from facewise.types import Mesh, Pose, Quality
from tiny_models import turned_head, write_landmarker

MEASURED = Quality(0.9, 40.0, 100.0, 0.9, 0.1, 0.2, reasons=("turned by 62°", "blurred"))


def mesh(
    yaw: float = 0.0, pitch: float = 0.0, *, jaw: float = 0.0, blinks: tuple[float, float] = (0.0, 0.0),
    eyes: tuple[float, float] = (0.3, 0.3),
) -> Mesh:  # fmt: skip
    shapes = {"jawOpen": jaw, "eyeBlinkLeft": blinks[0], "eyeBlinkRight": blinks[1]}
    return Mesh(
        np.zeros((478, 3), np.float32), 0.9, shapes, Pose(math.radians(yaw), math.radians(pitch), 0.1), eyes
    )


@pytest.mark.parametrize(
    ("seen", "reasons", "remarks"),
    [
        (mesh(29, 10), ("blurred",), ()),
        (mesh(-31, 10), ("blurred",), ("turned by 31°",)),
        (mesh(10, -59), ("blurred",), ("turned by 59°",)),
        (mesh(61, 0), ("blurred", "turned by 61°"), ()),
        (mesh(jaw=0.4), ("blurred",), ("mouth open",)),
        (mesh(blinks=(0.7, 0.65), eyes=(0.1, 0.12)), ("blurred",), ("eyes closed",)),
        # Somebody who winks, or whose eyes are narrow.
        (mesh(blinks=(0.7, 0.1), eyes=(0.1, 0.3)), ("blurred",), ()),
        (mesh(blinks=(0.5, 0.5), eyes=(0.1, 0.1)), ("blurred",), ()),
        (mesh(blinks=(0.7, 0.7), eyes=(0.2, 0.1)), ("blurred",), ()),
        (mesh(40, 0, jaw=0.9), ("blurred",), ("turned by 40°", "mouth open")),
    ],
)
def test_a_mesh_knows_turns_eyes_and_mouth(
    seen: Mesh, reasons: tuple[str, ...], remarks: tuple[str, ...]
) -> None:
    found = with_mesh(MEASURED, seen)
    assert (found.reasons, found.remarks) == (reasons, remarks)
    assert (found.yaw, found.pitch, found.roll) == (seen.pose.yaw, seen.pose.pitch, seen.pose.roll)
    as_before = replace(found, yaw=0.9, pitch=0.1, roll=0.2, reasons=MEASURED.reasons, remarks=())
    assert asdict(as_before) == asdict(MEASURED)


def test_quality_without_a_mesh_stays_as_it_was(
    tiny_detector_file: Path, drawn_photo, tmp_path: Path
) -> None:
    model = write_landmarker(tmp_path / "turned.onnx", *turned_head(Pose(math.radians(40), 0.0, 0.0)))
    photo, steps = drawn_photo([(160, 120, 90)]), Steps(embed=False)
    plain = Pipeline.load(tiny_detector_file, embed=False, threads=1)
    (before,) = plain.read(photo, steps).faces
    (after,) = plain.with_mesh(model.path).read(photo, steps).faces
    assert before.mesh is None
    assert before.quality.remarks == ()
    assert abs(before.quality.yaw) < 0.05
    assert after.quality.remarks == ("turned by 40°",)
    assert after.quality.reasons == before.quality.reasons
    assert after.quality.sharpness == before.quality.sharpness
