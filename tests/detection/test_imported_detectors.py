"""SCRFD and YuNet from a bare ONNX file: recognised by their outputs, imported, and they find faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facewise.detection import DetectorSettings, load_detector
from facewise.models.importing import import_checkpoint
from facewise.models.zoo import find
from planted_detectors import same, scrfd, scrfd_faces, yunet, yunet_faces

PHOTO = np.zeros((64, 96, 3), np.uint8)
PHOTO[16, 32] = (255, 0, 0)
PHOTO[32, 64] = (255, 0, 200)


@pytest.mark.parametrize(
    ("network", "entry", "expected"),
    [
        (scrfd(), "scrfd_10g", scrfd_faces(PHOTO)),
        (
            scrfd(batch="N", batch_axis=True, order=(3, 1, 0, 2, 5, 4, 8, 7, 6)),
            "scrfd_10g",
            scrfd_faces(PHOTO),
        ),
        (yunet(size=None), "yunet_2023mar", yunet_faces(PHOTO)),
        (yunet(), "yunet_2023mar", yunet_faces(PHOTO)),
    ],
    ids=["scrfd", "scrfd, batches", "yunet", "yunet of one size"],
)
def test_import_and_detect(tmp_path: Path, network: bytes, entry: str, expected: list[object]) -> None:
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(network)
    imported = import_checkpoint(path, tmp_path / "store")
    card, published = imported.model.card, find(entry).facewise
    assert published is not None
    assert card.kind == "detector"
    assert card.name == "det_10g"
    assert card.decoder == published["decoder"]
    assert card.preprocess.to_dict() == published["preprocess"]
    detector = load_detector(
        imported.model, settings=DetectorSettings(score_threshold=0.5, nms_threshold=1.0)
    )
    same(detector.detect(PHOTO), expected)
