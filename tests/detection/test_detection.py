"""Detection: decoding and suppression against naive loops, the whole of it on drawn faces of known places."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.detection import DetectorSettings, OnnxDetector, non_maximum_suppression
from facewise.detection.base import RawFaces, make_decoder
from facewise.detection.model_detector import pieces_of
from facewise.errors import ModelError, SettingError
from facewise.models import read_model, write_model
from facewise.types import Face
from tiny_models import GREY, LANDMARKS, landmarks_of

OPTIONS = {
    "name": "retinaface",
    "strides": [8, 16, 32],
    "min_sizes": [[16, 32], [64, 128], [256, 512]],
    "variances": [0.1, 0.2],
}
Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def detector(tiny_detector_file: Path) -> OnnxDetector:
    return OnnxDetector(read_model(tiny_detector_file), threads=2)


def with_settings(detector: OnnxDetector, **changes: object) -> OnnxDetector:
    return OnnxDetector(detector.model, settings=DetectorSettings(**changes), threads=2)  # type: ignore[arg-type]


def box_of(x: float, y: float, diameter: float) -> list[float]:
    half = diameter / 2
    return [x - half, y - half, x + half, y + half]


def found_at(faces: list[Face], x: float, y: float, diameter: float, within: float = 0.5) -> Face:
    """The one face that is there."""
    near = [face for face in faces if np.abs(face.box - box_of(x, y, diameter)).max() < within]
    assert len(near) == 1, [face.box for face in faces]
    np.testing.assert_allclose(near[0].landmarks, landmarks_of(x, y, diameter), atol=within)
    return near[0]


def same_faces(a: list[Face], b: list[Face], atol: float = 1e-3) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=atol)
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=atol)
        assert one.score == pytest.approx(other.score, abs=1e-4)


# Anchors and offsets


def pytorch_retinaface(
    size: tuple[int, int], offsets: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (A, 4) and landmarks (A, 5, 2), anchor by anchor in coordinates from 0 to 1, as the original."""
    height, width = size
    priors = []
    for stride, sizes in zip((8, 16, 32), ((16, 32), (64, 128), (256, 512)), strict=True):
        for row, column in product(range(math.ceil(height / stride)), range(math.ceil(width / stride))):
            for side in sizes:
                middle = ((column + 0.5) * stride / width, (row + 0.5) * stride / height)
                priors.append((*middle, side / width, side / height))
    boxes, marks = [], []
    for (cx, cy, w, h), (dx, dy, dw, dh), point in zip(priors, offsets, points, strict=True):
        x, y = cx + dx * 0.1 * w, cy + dy * 0.1 * h
        bw, bh = w * math.exp(dw * 0.2), h * math.exp(dh * 0.2)
        boxes.append(
            [(x - bw / 2) * width, (y - bh / 2) * height, (x + bw / 2) * width, (y + bh / 2) * height]
        )
        marks.append(
            [
                [(cx + point[2 * k] * 0.1 * w) * width, (cy + point[2 * k + 1] * 0.1 * h) * height]
                for k in range(5)
            ]
        )
    return np.array(boxes), np.array(marks)


def anchors_of(size: tuple[int, int]) -> int:
    return sum(2 * math.ceil(size[0] / s) * math.ceil(size[1] / s) for s in (8, 16, 32))


@pytest.mark.parametrize("size", [(64, 96), (250, 250), (33, 71), (1, 1), (1, 200), (7, 8)], ids=str)
def test_decodes_as_the_original_does(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    count = anchors_of(size)
    offsets = rng.normal(0, 2, (2, count, 4)).astype(np.float32)
    points = rng.normal(0, 3, (2, count, 10)).astype(np.float32)
    scores = rng.uniform(0, 1, (2, count)).astype(np.float32)
    decoded = make_decoder(OPTIONS).decode([offsets, scores, points], size, 0.6)
    assert len(decoded) == 2
    for i, raw in enumerate(decoded):
        boxes, marks = pytorch_retinaface(size, offsets[i], points[i])
        passed = [a for a in range(count) if scores[i, a] > 0.6]
        np.testing.assert_array_equal(raw.scores, scores[i, passed])
        np.testing.assert_allclose(raw.boxes, boxes[passed].reshape(-1, 4), rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(raw.landmarks, marks[passed].reshape(-1, 5, 2), rtol=1e-4, atol=1e-2)
        assert raw.boxes.dtype == raw.landmarks.dtype == np.float32


def test_other_options_give_other_anchors() -> None:
    options = {"name": "retinaface", "strides": [4], "min_sizes": [[10, 20, 30]], "variances": [0.5, 1.0]}
    zeros = [np.zeros((1, 3 * 2 * 3, n), np.float32) for n in (4, 1, 10)]
    zeros[1] = np.ones((1, 18), np.float32)
    (raw,) = make_decoder(options).decode(zeros, (8, 11), 0.5)
    np.testing.assert_array_equal(raw.boxes[:3], [[-3, -3, 7, 7], [-8, -8, 12, 12], [-13, -13, 17, 17]])
    np.testing.assert_array_equal(raw.boxes[3], [1, -3, 11, 7])  # the next column
    np.testing.assert_array_equal(raw.boxes[9], [-3, 1, 7, 11])  # the next row
    np.testing.assert_array_equal(raw.landmarks[0], np.full((5, 2), 2))


def test_absurd_offsets_do_not_overflow(recwarn: pytest.WarningsRecorder) -> None:
    count = anchors_of((32, 32))
    offsets, points = np.full((1, count, 4), 1e4, np.float32), np.zeros((1, count, 10), np.float32)
    (raw,) = make_decoder(OPTIONS).decode([offsets, np.ones((1, count), np.float32), points], (32, 32), 0.5)
    assert np.isfinite(raw.boxes).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    "options",
    [
        {"name": "unheard-of"},
        {},
        {"name": "retinaface"},
        OPTIONS | {"strides": [8, 16]},
        OPTIONS | {"strides": "no"},
        OPTIONS | {"min_sizes": 5},
        OPTIONS | {"variances": None},
        OPTIONS | {"variances": []},
        OPTIONS | {"strides": [0, 16, 32]},
    ],
    ids=str,
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        make_decoder(options)


# Non-maximum suppression


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, first: int | None) -> list[int]:
    order = sorted(range(len(scores)), key=lambda i: (i != first, -scores[i], i))
    kept: list[int] = []
    for i in order:
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@settings(max_examples=100)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.4, 0.5, 1.0]), st.booleans()
)
def test_nms_is_the_naive_loop(seed: int, count: int, threshold: float, lead: bool) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 30, (count, 2)).astype(np.float64)
    boxes = np.concatenate([corner, corner + rng.integers(1, 20, (count, 2))], axis=1)
    scores = rng.integers(0, 6, count) / 6  # many ties
    first = int(rng.integers(count)) if lead and count else None
    kept = non_maximum_suppression(
        boxes.astype(np.float32), scores.astype(np.float32), threshold, first=first
    )
    assert kept.tolist() == naive_nms(boxes, scores.astype(np.float32), threshold, first)


def test_nms_at_exactly_the_threshold_keeps_both() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [0, 0, 10, 10]], np.float32)  # overlaps 1/3 and 1
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert non_maximum_suppression(boxes, scores, 1 / 3).tolist() == [0, 1]
    assert non_maximum_suppression(boxes, scores, 0.33).tolist() == [0]
    assert non_maximum_suppression(boxes, scores, 1.0).tolist() == [0, 1, 2]


def test_nms_of_the_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.9, 0.6, 0.95], np.float32)
    assert non_maximum_suppression(boxes, scores, 0.4).tolist() == [2, 0]
    assert non_maximum_suppression(boxes, scores, 0.4, first=1).tolist() == [1, 2]


# Drawn faces


@pytest.mark.parametrize("diameter", [20, 27, 45, 64, 100, 128, 190])
def test_finds_a_face_where_it_is(detector: OnnxDetector, drawn_photo: Draw, diameter: float) -> None:
    (face,) = detector.detect(drawn_photo([(151.3, 123.8, diameter)]))
    found_at([face], 151.3, 123.8, diameter)
    assert 0.5 < face.score <= 1
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert (face.box.shape, face.landmarks.shape) == ((4,), (5, 2))
    assert face.embedding is None
    assert face.quality is None
    assert face.width == pytest.approx(diameter, abs=0.5)
    assert face.height == pytest.approx(diameter, abs=0.5)


def test_finds_nothing_where_nothing_is(detector: OnnxDetector, drawn_photo: Draw) -> None:
    for value in (0, GREY, 255):
        assert detector.detect(np.full((100, 140, 3), value, np.uint8)) == []
    assert detector.detect_batch([]) == []


def test_finds_several_and_leads_with_the_main_one(detector: OnnxDetector, drawn_photo: Draw) -> None:
    # The middle one fits no anchor well, so its score is the lowest; it leads because it is in the middle.
    places = [(80, 70, 32), (300, 200, 45), (480, 300, 64), (90, 300, 60), (500, 80, 40)]
    faces = detector.detect(drawn_photo(places, (400, 600)))
    assert len(faces) == 5
    for place in places:
        found_at(faces, *place)
    found_at(faces[:1], *places[1])
    assert faces[0].score < max(face.score for face in faces)
    rest = [face.score for face in faces[1:]]
    assert rest == sorted(rest, reverse=True)


def test_channel_order_reaches_the_network_as_the_model_file_says(
    detector: OnnxDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[np.ndarray] = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (fed.append(batch), run(batch))[1])
    photo = np.zeros((10, 12, 3), np.uint8)
    photo[2, 3] = (250, 120, 10)
    detector.detect(photo)
    assert fed[0].shape == (1, 3, 10, 12)
    np.testing.assert_allclose(fed[0][0, :, 2, 3], [10 - 104, 120 - 117, 250 - 123])


def test_a_photo_twice_as_large_gives_boxes_twice_as_large(detector: OnnxDetector, drawn_photo: Draw) -> None:
    places = [(100, 90, 64), (250, 160, 100)]
    small = detector.detect(drawn_photo(places))
    double = detector.detect(drawn_photo([(2 * x, 2 * y, 2 * d) for x, y, d in places], size=(480, 640)))
    for faces in (small, double):
        faces.sort(key=lambda face: face.box[0])
    assert len(small) == len(double) == 2
    for one, other in zip(small, double, strict=True):
        np.testing.assert_allclose(other.box, one.box * 2, atol=1)
        np.testing.assert_allclose(other.landmarks, one.landmarks * 2, atol=1)


@pytest.mark.parametrize("size", [(900, 1200), (1201, 700), (500, 1400)], ids=str)
@pytest.mark.parametrize("cap", [200, 640])
def test_the_working_size_is_capped_and_boxes_are_mapped_back(
    detector: OnnxDetector,
    drawn_photo: Draw,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    cap: int,
) -> None:
    capped = with_settings(detector, max_size=cap)
    shapes: list[tuple[int, ...]] = []
    run = capped.network.run
    monkeypatch.setattr(capped.network, "run", lambda batch: (shapes.append(batch.shape), run(batch))[1])
    place = (size[1] * 0.45, size[0] * 0.55, min(size) * 0.6)
    if place[2] * cap / max(size) < 18:
        place = (place[0], place[1], 19 * max(size) / cap)
    faces = capped.detect(drawn_photo([place], size))
    pixel = max(size) / cap
    found_at(faces, *place, within=0.5 + 0.4 * pixel)
    (shape,) = shapes
    assert max(shape[2:]) == cap
    np.testing.assert_allclose(shape[2:], np.array(size) / pixel, atol=0.5)


def test_a_photo_within_the_cap_is_looked_at_as_it_is(
    detector: OnnxDetector, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (shapes.append(batch.shape), run(batch))[1])
    detector.detect(drawn_photo([(500, 300, 100)], (600, 1024)))
    assert shapes == [(1, 3, 600, 1024)]


def test_a_second_look_finds_a_face_that_fills_a_large_photo(
    detector: OnnxDetector, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (looks.append(batch.shape[2:]), run(batch))[1])
    found_at(detector.detect(drawn_photo([(500, 510, 940)], (1000, 1000))), 500, 510, 940, within=5)
    assert looks == [(1000, 1000), (320, 320)]
    looks.clear()
    detector.detect(drawn_photo([(500, 500, 120)], (1000, 1000)))
    assert looks == [(1000, 1000)]  # nobody looks twice where a face was found
    looks.clear()
    detector.detect(drawn_photo([], (240, 320)))
    assert looks == [(240, 320)]  # nor where the second look would be the first


def test_a_second_look_in_a_batch_goes_to_the_right_photo(detector: OnnxDetector, drawn_photo: Draw) -> None:
    size = (800, 1000)
    photos = [
        drawn_photo([], size),
        drawn_photo([(480, 400, 790)], size),
        drawn_photo([(300, 300, 120)], size),
    ]
    nothing, large, plain = detector.detect_batch(photos)
    assert nothing == []
    found_at(large, 480, 400, 790, within=5)
    found_at(plain, 300, 300, 120)


def test_a_face_too_large_to_be_seen_whole_is_taken_from_a_smaller_picture(
    detector: OnnxDetector, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network takes part of a large face for one: here it is as large as its largest anchors."""
    photo = drawn_photo([(500, 500, 800, 1), (60, 60, 60, 2)], (1000, 1000))
    run = detector._run

    def partly(images: list[np.ndarray], threads: int | None) -> list[RawFaces]:
        found = run(images, threads)
        if len(images[0]) < 1000:
            return found
        part = RawFaces(
            np.float32([[330, 280, 790, 700]]), np.float32([0.9]), landmarks_of(560, 490, 430)[None]
        )
        return [RawFaces.joined([part, *found])]

    monkeypatch.setattr(detector, "_run", partly)
    faces = detector.detect(photo)
    assert len(faces) == 2
    found_at(faces, 500, 500, 800, within=5)
    found_at(faces, 60, 60, 60)


@pytest.mark.parametrize("upright", [True, False])
def test_a_very_long_photo_is_looked_at_in_pieces(
    detector: OnnxDetector, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch, upright: bool
) -> None:
    """Small faces are found that would be specks of the whole scaled down, and each once."""
    shapes = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (shapes.append(batch.shape), run(batch))[1])
    places = [(60 + 170.5 * i, 60 + 90 * (i % 3), 30 + 8 * (i % 5)) for i in range(35)]
    photo = drawn_photo(places, (300, 6100))
    if upright:
        photo = np.ascontiguousarray(photo.transpose(1, 0, 2))
        places = [(y, x, diameter) for x, y, diameter in places]
    faces = detector.detect(photo)
    assert len(faces) == len(places)
    for place in places:
        near = [f for f in faces if np.abs(f.box - box_of(*place)).max() < 1.5]
        assert len(near) == 1
    assert {max(shape[2:]) for shape in shapes} == {1024}
    shapes.clear()
    detector.detect(drawn_photo([], (100, 1000)))
    assert len(shapes) == 2  # nothing is scaled down there: it is looked at whole, and small


def test_pieces_hold_every_face_that_fits_into_the_photo(drawn_photo: Draw) -> None:
    for size in ((100, 4000), (1024, 3073), (700, 30_000), (9000, 50)):
        photo, short = np.zeros((*size, 3), np.uint8), min(size)
        pieces = pieces_of(photo, DetectorSettings())
        assert (pieces[0].start, pieces[-1].end) == (0, max(size))
        for piece, after in pairwise(pieces):
            assert piece.end - after.start >= short
            middle = (piece.last + after.first) / 2
            assert after.start + short / 2 <= middle + 1
            assert middle - 1 <= piece.end - short / 2
    for size in ((1000, 3000), (200, 1024), (3000, 2000)):
        assert len(pieces_of(np.zeros((*size, 3), np.uint8), DetectorSettings())) == 1


def test_least_size(detector: OnnxDetector, drawn_photo: Draw) -> None:
    photo = drawn_photo([(60, 60, 30), (220, 150, 64)])
    assert len(with_settings(detector, min_face=0).detect(photo)) == 2
    assert len(with_settings(detector, min_face=29).detect(photo)) == 2
    (face,) = with_settings(detector, min_face=31).detect(photo)
    found_at([face], 220, 150, 64)
    assert with_settings(detector, min_face=65).detect(photo) == []
    # In pixels of the photo, not of the working size.
    (face,) = with_settings(detector, min_face=31, max_size=160).detect(photo)
    found_at([face], 220, 150, 64, within=2)


def test_greatest_number(detector: OnnxDetector, drawn_photo: Draw) -> None:
    photo = drawn_photo([(60, 60, 32), (160, 120, 45), (250, 180, 64)])
    everybody = detector.detect(photo)
    assert len(everybody) == 3
    for count in (1, 2):
        same_faces(with_settings(detector, max_faces=count).detect(photo), everybody[:count])


def test_least_score(detector: OnnxDetector, drawn_photo: Draw) -> None:
    photo = drawn_photo([(60, 60, 32), (220, 150, 45)])
    scores = sorted(face.score for face in detector.detect(photo))
    between = (scores[0] + scores[1]) / 2
    (face,) = with_settings(detector, score_threshold=between).detect(photo)
    assert face.score == pytest.approx(scores[1], abs=1e-5)


@pytest.mark.parametrize(("x", "y"), [(0, 100), (319, 120), (160, 2), (150, 238)])
def test_a_face_cut_by_the_edge(detector: OnnxDetector, drawn_photo: Draw, x: float, y: float) -> None:
    (face,) = detector.detect(drawn_photo([(x, y, 90)]))
    centre = (face.box[:2] + face.box[2:]) / 2
    assert np.hypot(*(centre - (x, y))) < 25
    assert face.box[0] < 0 or face.box[1] < 0 or face.box[2] > 320 or face.box[3] > 240


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (2, 3), (31, 33), (5000, 3), (8, 8)], ids=str)
def test_tiny_and_extreme_photos(detector: OnnxDetector, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for photo in (np.zeros((*size, 3), np.uint8), rng.integers(0, 256, (*size, 3), dtype=np.uint8)):
        for face in detector.detect(photo):
            assert np.isfinite(face.box).all()


def test_a_batch_of_mixed_sizes_is_one_by_one(
    detector: OnnxDetector, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(240, 320), (200, 200), (240, 320), (1300, 800), (240, 320), (1, 1)] + [(200, 200)] * 9
    photos = [
        drawn_photo([(60 + 7 * i, 70 + 3 * i, 40 + 2 * i, i)] if i != 4 else [], size)
        for i, size in enumerate(sizes)
    ]
    alone = [detector.detect(photo) for photo in photos]
    calls = []
    run = detector.network.run
    monkeypatch.setattr(detector.network, "run", lambda batch: (calls.append(batch.shape), run(batch))[1])
    together = detector.detect_batch(photos)
    assert [len(faces) for faces in together] == [i not in (4, 5) for i in range(15)]
    for one, other in zip(alone, together, strict=True):
        same_faces(one, other)
    # Equal sizes share a call, of at most eight photos.
    assert sorted(shape[0] for shape in calls if shape[2:] == (200, 200)) == [2, 8]
    assert [shape[0] for shape in calls if shape[2:] == (240, 320)] == [3]


def test_photos_that_share_a_working_size_keep_their_own_scale(
    detector: OnnxDetector, drawn_photo: Draw
) -> None:
    capped = with_settings(detector, max_size=256)
    place = np.array([160.0, 120.0, 70.0])
    photos = [drawn_photo([tuple(place * k)], (int(192 * k), int(256 * k))) for k in (1, 2, 3.5)]
    for k, faces in zip((1, 2, 3.5), capped.detect_batch(photos), strict=True):
        found_at(faces, *(place * k), within=k)


def test_threads_do_not_change_what_is_found(detector: OnnxDetector, drawn_photo: Draw) -> None:
    photo = drawn_photo([(60, 60, 32), (160, 120, 45), (250, 180, 64)])
    expected = detector.detect(photo)
    same_faces(detector.detect(photo, threads=1), expected)
    same_faces(OnnxDetector(detector.model, threads=4).detect(photo), expected)


def test_the_photo_is_left_alone(detector: OnnxDetector, drawn_photo: Draw) -> None:
    photo = drawn_photo([(60, 60, 32)])
    before = photo.copy()
    detector.detect(photo)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"score_threshold": 0},
        {"score_threshold": 1},
        {"score_threshold": -0.5},
        {"score_threshold": float("nan")},
        {"nms_threshold": 0},
        {"nms_threshold": 1.5},
        {"nms_threshold": float("nan")},
        {"max_size": 31},
        {"min_face": -1},
        {"min_face": float("nan")},
        {"max_faces": 0},
    ],
    ids=str,
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        DetectorSettings(**wrong)  # type: ignore[arg-type]


def test_an_embedder_is_no_detector(tiny_embedder_file: Path) -> None:
    with pytest.raises(ModelError, match="not a detector"):
        OnnxDetector(read_model(tiny_embedder_file))


def test_outputs_that_the_decoder_cannot_read(tiny_embedder_file: Path, tmp_path: Path, detector) -> None:
    """A detector's card on another network: an error, not a traceback."""
    embedder = read_model(tiny_embedder_file)
    confused = OnnxDetector(write_model(tmp_path / "confused.onnx", embedder.network, detector.model.card))
    for photo in (np.zeros((112, 112, 3), np.uint8), np.zeros((50, 60, 3), np.uint8)):
        with pytest.raises(ModelError):
            confused.detect(photo)


def test_name_and_fingerprint(detector: OnnxDetector) -> None:
    assert detector.name == "tiny-detector"
    assert detector.fingerprint == detector.model.fingerprint
    assert detector.provider == "cpu"
    assert detector.settings == DetectorSettings()


def test_a_box_without_area_or_number_is_no_face(
    detector: OnnxDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a network gives, what comes out can be aligned and drawn."""
    count = anchors_of((64, 64))

    def broken(batch: np.ndarray) -> list[np.ndarray]:
        boxes, scores = np.zeros((1, count, 4), np.float32), np.full((1, count), 0.9, np.float32)
        points = np.zeros((1, count, 10), np.float32)
        boxes[0, ::3, 0] = np.nan
        boxes[0, 1::3, 2] = -1e9
        points[0, 2::6, 5] = np.inf
        scores[0, 5] = np.nan
        return [boxes, scores, points]

    monkeypatch.setattr(detector.network, "run", broken)
    faces = detector.detect(np.zeros((64, 64, 3), np.uint8))
    assert faces
    for face in faces:
        assert np.isfinite(face.box).all()
        assert np.isfinite(face.landmarks).all()
        assert np.isfinite(face.score)
        assert face.width > 0
        assert face.height > 0


def test_noise_that_passes_every_anchor_leaves_suppression_little(
    detector: OnnxDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = anchors_of((1024, 1024))
    rng = np.random.default_rng(0)

    def noisy(batch: np.ndarray) -> list[np.ndarray]:
        scores = rng.uniform(0.5, 1, (1, count)).astype(np.float32)
        return [np.full((1, count, 4), -2, np.float32), scores, np.zeros((1, count, 10), np.float32)]

    compared = []  # suppression is quadratic in these

    def counted(boxes: np.ndarray, *others: object, **options: object) -> np.ndarray:
        compared.append(len(boxes))
        return non_maximum_suppression(boxes, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(detector.network, "run", noisy)
    monkeypatch.setattr("facewise.detection.model_detector.non_maximum_suppression", counted)
    faces = detector.detect(np.zeros((1024, 1024, 3), np.uint8))
    assert compared == [5000] < [count]
    assert len(faces) == detector.settings.max_faces


def test_landmarks_are_in_the_order_of_the_contract(detector: OnnxDetector, drawn_photo: Draw) -> None:
    """Eye at the image's left, eye at its right, nose, mouth corner left, mouth corner right."""
    (face,) = detector.detect(drawn_photo([(150, 120, 100)]))
    x, y = face.landmarks.T
    assert x[0] < x[2] < x[1]
    assert x[3] < x[4]
    assert max(y[0], y[1]) < y[2] < min(y[3], y[4])
    np.testing.assert_allclose((face.landmarks - (150, 120)) / 100, LANDMARKS, atol=0.01)


def test_probabilities_of_no_face_and_of_a_face() -> None:
    """yakhyo's exports of RetinaFace give both."""
    rng = np.random.default_rng(3)
    count = anchors_of((64, 96))
    offsets, points = (rng.normal(0, 1, (2, count, n)).astype(np.float32) for n in (4, 10))
    scores = rng.uniform(0, 1, (2, count)).astype(np.float32)
    decode = make_decoder(OPTIONS).decode
    both = decode([offsets, np.stack([1 - scores, scores], axis=-1), points], (64, 96), 0.6)
    for one, other in zip(decode([offsets, scores, points], (64, 96), 0.6), both, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
