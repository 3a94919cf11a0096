"""Photos that do not lie upright: the same answer whichever way they are turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facewise.detection import DetectorSettings, OnnxDetector, load_detector
from facewise.detection.orientation import TRIED, find_upright
from facewise.embedding import Embedder
from facewise.errors import FaceNotFoundError
from facewise.models import read_model
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.recognizer import Recognizer
from facewise.types import Face, Image
from tiny_models import person

Draw = Callable[..., np.ndarray]
ADA, BOB = 2, 7
UPRIGHT, TURNED = 0.999, 0.9
FACES = [(200, 100, 64, ADA), (380, 140, 40, BOB)]


class Upright:
    """Finds drawn people as real networks do: upright ones surely, others not, or with upright landmarks.

    Args:
        model: A tiny detector.
        score: Of people who lie another way; None finds none of them.
    """

    sure = 0.99

    def __init__(self, model: Path, score: float | None) -> None:
        self._finds = load_detector(read_model(model), threads=1)
        self._score = score
        self.name, self.fingerprint = self._finds.name, self._finds.fingerprint
        self.settings = DetectorSettings()
        self.looks: list[tuple[int, ...]] = []

    def detect(self, image: Image, *, threads: int | None = None) -> list[Face]:  # noqa: ARG002
        self.looks.append(image.shape[:2])
        faces = [(face, self._lies_upright(image, face)) for face in self._finds.detect(image)]
        return [
            replace(face, score=UPRIGHT if upright else self._score)
            for face, upright in faces
            if upright or self._score is not None
        ]

    def detect_batch(self, images: Sequence[Image], *, threads: int | None = None) -> list[list[Face]]:
        return [self.detect(image, threads=threads) for image in images]

    @staticmethod
    def _lies_upright(image: Image, face: Face) -> bool:
        """By the colour of its upper left quarter."""
        x, y = (face.box[:2] + 0.3 * (face.box[2:] - face.box[:2])).astype(int)
        return any(np.abs(image[y, x].astype(int) - person(who)[0]).max() < 60 for who in (ADA, BOB))


def turned(image: Image, quarters: int) -> Image:
    return np.ascontiguousarray(np.rot90(image, quarters))


def pipeline_of(detector: object, embedder: Path) -> Pipeline:
    return Pipeline(detector, Embedder(read_model(embedder), threads=1), threads=1)  # type: ignore[arg-type]


def place_in(point: np.ndarray, quarters: int, size: tuple[int, int]) -> np.ndarray:
    """Where a point of a photo (x, y from its corner) is when it is turned counterclockwise."""
    height, width = size
    for _ in range(quarters):
        point, height, width = np.array([point[1], width - point[0]]), width, height
    return point


@pytest.mark.parametrize("score", [None, TURNED], ids=["not found", "found as if upright"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_answer_is_the_same(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw, quarters: int, score: float | None
) -> None:
    pipeline = pipeline_of(Upright(tiny_detector_file, score), tiny_embedder_file)
    photo = drawn_photo(FACES, (190, 420))  # what is inside the one would be outside the other
    upright, found = pipeline.read(photo), pipeline.read(turned(photo, quarters))
    assert (found.size, len(found.faces)) == (turned(photo, quarters).shape[:2], 2)
    for face, expected in zip(found.faces, upright.faces, strict=True):
        np.testing.assert_allclose(face.embedding, expected.embedding, atol=1e-5)
        assert face.score == expected.score
        corners = [place_in(corner, quarters, photo.shape[:2]) for corner in expected.box.reshape(2, 2)]
        np.testing.assert_allclose(face.box, np.sort(corners, axis=0).ravel(), atol=0.1)
        marks = [place_in(mark + 0.5, quarters, photo.shape[:2]) - 0.5 for mark in expected.landmarks]
        np.testing.assert_allclose(face.landmarks, marks, atol=0.1)
        assert face.quality is not None
        assert expected.quality is not None
        off = face.quality.roll - expected.quality.roll + quarters * np.pi / 2
        assert np.cos(off) == pytest.approx(1, abs=1e-3)
        assert face.quality.yaw == pytest.approx(expected.quality.yaw, abs=1e-2)
        assert face.quality.reasons == expected.quality.reasons


def test_a_sure_face_is_looked_at_once(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw
) -> None:
    detector = Upright(tiny_detector_file, TURNED)
    pipeline = pipeline_of(detector, tiny_embedder_file)
    photo = drawn_photo(FACES, (190, 420))
    pipeline.read(photo)
    assert detector.looks == [photo.shape[:2]]
    # Nor is the photo turned for one who lies the other way, among others who do not.
    photo[110:170, 350:410] = photo[110:170, 350:410][::-1, ::-1]
    assert len(pipeline.read(photo).faces) == 2
    assert len(detector.looks) == 2


@pytest.mark.parametrize("least", [0, 60])
def test_a_good_face_is_looked_at_alone(
    tiny_detector_file: Path, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch, least: float
) -> None:
    """Also where small faces are left out: it must not become one."""
    detector = OnnxDetector(read_model(tiny_detector_file), settings=DetectorSettings(min_face=least))
    shapes = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (shapes.append(batch.shape), run(batch))[1])
    monkeypatch.setattr(OnnxDetector, "sure", 0.9999)
    quarters, (face,) = find_upright(detector, drawn_photo([(160, 120, 64)], (240, 320)))
    assert quarters == 0
    assert face.score < detector.sure
    side = max(64, 2.5 * least)
    assert shapes == [(1, 3, 240, 320), (1, 3, side, side), (3, 3, side, side)]


def test_where_nothing_is_found_is_told(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw
) -> None:
    detector = Upright(tiny_detector_file, None)
    pipeline = pipeline_of(detector, tiny_embedder_file)
    empty = drawn_photo([], (200, 300))
    assert pipeline.read(empty).faces == ()
    assert detector.looks == [(200, 300), (300, 200), (200, 300), (300, 200)]
    with pytest.raises(FaceNotFoundError, match=f"No face was found in array, {TRIED}"):
        Recognizer(pipeline=pipeline).embed(empty)
    assert "90°, 180° or 270°" in TRIED
    detector.looks.clear()
    assert pipeline.upright_only().read(turned(drawn_photo(FACES, (190, 420)), 2)).faces == ()
    assert len(detector.looks) == 1


class Doubtful(Upright):
    """Finds something in each photo that lies upright, with so much confidence, and nothing in others."""

    def __init__(self, model: Path, score: float) -> None:
        super().__init__(model, None)
        self.score = score

    def detect(self, image: Image, *, threads: int | None = None) -> list[Face]:  # noqa: ARG002
        return [replace(face, score=self.score) for face in super().detect(image)]


@pytest.mark.parametrize(("score", "found"), [(0.8, False), (0.95, True)])
def test_what_is_doubtful_in_a_turned_photo_is_no_face(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw, score: float, found: bool
) -> None:
    """A photo without a face is looked at four times; it must not have four times the false alarms."""
    pipeline = pipeline_of(Doubtful(tiny_detector_file, score), tiny_embedder_file)
    photo = drawn_photo(FACES[:1])
    assert len(pipeline.read(photo).faces) == 1
    assert bool(pipeline.read(turned(photo, 1)).faces) is found


def test_boxes_are_cut_upright_too(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw
) -> None:
    from facewise.geometry import Cut

    pipeline = Pipeline(Upright(tiny_detector_file, TURNED), None, cut=Cut(96, "box", 0.2), threads=1)  # type: ignore[arg-type]
    photo = drawn_photo(FACES[:1])

    def crop(of: PhotoFaces) -> np.ndarray:
        assert of.crops is not None
        return of.crops[0].astype(int)

    steps = Steps(embed=False, keep_crops=True)
    upright = crop(pipeline.read(photo, steps))
    for quarters in (1, 2, 3):
        apart = crop(pipeline.read(turned(photo, quarters), steps)) - upright
        assert np.abs(apart).mean() < 3
