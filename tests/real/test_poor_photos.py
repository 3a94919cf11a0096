"""Blurred and dark photos of strangers, made here of sharp ones, are never one person."""

from __future__ import annotations

import numpy as np
import pytest

from facewise.errors import PoorPhotoError
from facewise.gallery import Gallery, cluster_faces
from facewise.image import read_image
from facewise.models import choose_decision
from facewise.pipeline import Pipeline
from facewise.recognizer import Recognizer

pytestmark = pytest.mark.real

PEOPLE = ("Tony_Blair", "Serena_Williams", "Junichiro_Koizumi")


def blurred(image):
    import cv2

    return cv2.GaussianBlur(image, (0, 0), 5.0)


def dark(image):
    return (image * 0.06).astype(np.uint8)


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    pipeline = Pipeline.load()
    calibration = pipeline.embedder.calibration
    assert calibration is not None
    assert calibration.quality is not None
    return pipeline


@pytest.fixture(scope="module")
def sharp(shared):
    return {name: read_image(shared / f"data/lfw/images/{name}/{name}_0001.jpg") for name in PEOPLE}


@pytest.mark.parametrize("worsen", [blurred, dark])
def test_strangers_by_poor_photos(bundled, sharp, worsen, tmp_path):
    poor = {name: worsen(image) for name, image in sharp.items()}
    first, second, third = PEOPLE
    verdict = Recognizer(pipeline=bundled).verify(poor[first], poor[second])
    assert (verdict.same, verdict.probability) == (None, None)
    assert verdict.note.startswith("no decision: both faces are")
    with Gallery.open(tmp_path / "people.db", pipeline=bundled) as gallery:
        with pytest.raises(
            PoorPhotoError, match=r"its face is .*: take one in more light|take a sharper one"
        ):
            gallery.enroll("Tony", poor[first])
        assert gallery.enroll("Tony", poor[first], quality="off").warnings
        for name in (second, third):
            (match,) = gallery.identify(poor[name])
            assert (match.name, match.decided) == (None, False)
            assert match.note.startswith("no decision: the face is")
    faces = [bundled.read(image).faces[0] for image in poor.values()]
    calibration = bundled.embedder.calibration
    rows = np.stack([face.embedding for face in faces])
    labels, left = cluster_faces(
        rows, [face.quality for face in faces], choose_decision(calibration), calibration
    )
    assert (sorted(labels.tolist()), sorted(left)) == ([0, 1, 2], [0, 1, 2])


def test_sharp_photos_of_the_same_people_are_enrolled_and_found(bundled, sharp, shared, tmp_path):
    with Gallery.open(tmp_path / "people.db", pipeline=bundled) as gallery:
        for name, image in sharp.items():
            assert gallery.enroll(name, image).added == 1
        for name in PEOPLE:
            others = [shared / f"data/lfw/images/{name}/{name}_{number:04d}.jpg" for number in range(2, 7)]
            named = [matches[0].name for _, matches in gallery.identify_many(others)]
            assert named.count(name) >= 3
            assert set(named) <= {name, None}
