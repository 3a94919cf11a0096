"""MiniFASNet on NUAA's sample, each subject judged by the others, and on live faces of LFW."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from facewise.analysis.liveness import LivenessModel
from facewise.evaluation.liveness import calibrate_liveness
from facewise.models import find_model
from facewise.models.importing import import_checkpoint
from facewise.pipeline import Pipeline, Steps

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def pipeline(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tmp_path_factory.mktemp("minifasnet")
    nets = [
        import_checkpoint(shared / "models" / name, folder).model
        for name in ("minifasnet_v2_2.7_80x80.pth", "minifasnet_v1se_4.0_80x80.pth")
    ]
    from facewise.detection import load_detector

    detector = load_detector(find_model("facewise-detect-s", kind="detector"))
    return Pipeline(detector, None, liveness=LivenessModel(nets))


def test_nuaa_by_subject_and_lfw(shared: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    root = shared / "data" / "liveness"
    with (root / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = tmp_path / "NUAA" / row["label"] / row["subject"] / Path(row["path"]).name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(root / row["path"])
    known = calibrate_liveness(tmp_path / "NUAA", pipeline).calibration
    assert (known.folds, known.faceless) == (5, (0, 0))
    assert (known.apcer.photos, known.bpcer.photos) == (68, 49)
    assert known.apcer.rate <= 0.05
    assert known.bpcer.rate <= 0.15
    # As their publisher decides, some 9% of LFW's faces are called pictures (137 of 150 are live).
    photos = sorted((shared / "data" / "lfw" / "images").glob("*/*_0001.jpg"))[::40][:100]
    faces = [found.faces[0] for found in pipeline.read_many(photos, Steps(embed=False, main_only=True))]
    scores = [face.liveness.score for face in faces if face.liveness is not None]
    assert sum(score < 0.5 for score in scores) / len(scores) <= 0.25
    assert sum(score < known.threshold for score in scores) / len(scores) <= 0.05
