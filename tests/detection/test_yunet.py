"""YuNet through OpenCV, on networks of its signature whose faces are pixels, against plain loops."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facewise.detection import DetectorSettings, OnnxDetector, YuNetDetector, load_detector
from facewise.errors import ModelError, SettingError
from facewise.models.quantize import quantize, refuse
from facewise.preprocess import Preprocess
from planted_detectors import same, write_detector_of, yunet, yunet_faces

ALL = DetectorSettings(nms_threshold=1.0, max_faces=100_000)
"""Nothing is suppressed."""
OPTIONS = {"name": "yunet", "strides": [8, 16, 32]}


def detector(folder: Path, config: DetectorSettings = ALL, **how: object) -> YuNetDetector:
    model = write_detector_of(folder / "planted.onnx", yunet(**how), "yunet_2023mar")  # type: ignore[arg-type]
    found = load_detector(model, settings=config)
    assert isinstance(found, YuNetDetector)
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> YuNetDetector:
    return detector(tmp_path_factory.mktemp("yunet"))


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def blank(*size: int) -> np.ndarray:
    """Green: no face anywhere."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 1] = 255
    return image


def test_one_face_by_hand(plain: YuNetDetector) -> None:
    """A red pixel at row 24, column 40 is cell (3, 5) of stride 8."""
    image = blank(64, 96)
    image[24, 40] = (255, 0, 0)
    (face,) = plain.detect(image)
    width, height = 8 * np.exp(0.5), 8 * np.exp(0.75)
    np.testing.assert_allclose(
        face.box, [44 - width / 2, 26 - height / 2, 44 + width / 2, 26 + height / 2], atol=1e-3
    )
    np.testing.assert_allclose(face.landmarks, [[32, 16], [48, 15], [40, 26], [34, 32], [46, 33]], atol=1e-3)
    assert face.score == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-5)
    assert face.box.dtype == face.landmarks.dtype == np.float32


@pytest.mark.parametrize(
    "size", [(64, 64), (640, 640), (75, 100), (1, 1), (31, 33), (97, 40), (7, 300), (129, 128)], ids=str
)
@pytest.mark.parametrize("fixed", [True, False])
def test_any_size_is_decoded_as_the_loops_do(
    tmp_path: Path, plain: YuNetDetector, size: tuple[int, int], fixed: bool
) -> None:
    """Also by a file that says its input is 640 by 640, as face_detection_yunet_2023mar does."""
    found = plain if fixed else detector(tmp_path, size=None)
    for seed in range(1 if size == (640, 640) else 3):
        image = noise(size, seed)
        same(found.detect(image), yunet_faces(image))


@pytest.mark.parametrize("size", [(96, 128), (40, 30), (96, 7), (10, 128)], ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_runs_at_its_size_alone(tmp_path: Path, size: tuple[int, int], times: int) -> None:
    """Small photos are laid on a canvas of that size, larger ones scaled down until they fit."""
    found = detector(tmp_path, size=(96, 128), shape_fixed=True)
    if times == 2 and size == (40, 30):
        size = (96, 30)
    image = noise(size, 3)
    expected = [
        ([times * v for v in box], score, [[times * x, times * y] for x, y in marks])
        for box, score, marks in yunet_faces(image)
    ]
    same(found.detect(image.repeat(times, axis=0).repeat(times, axis=1)), expected, atol=5e-3)


@pytest.mark.parametrize("threshold", [0.1, 0.7, 0.95])
def test_least_score(tmp_path: Path, threshold: float) -> None:
    config = DetectorSettings(nms_threshold=1.0, max_faces=100_000, score_threshold=threshold)
    image = noise((70, 90), 1)
    same(detector(tmp_path, config).detect(image), yunet_faces(image, threshold))


def test_a_photo_larger_than_is_looked_at(tmp_path: Path) -> None:
    config = DetectorSettings(nms_threshold=1.0, max_faces=100_000, max_size=100)
    small = noise((75, 100), 5)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    expected = [
        ([2 * v for v in box], score, [[2 * x, 2 * y] for x, y in marks])
        for box, score, marks in yunet_faces(small)
    ]
    same(detector(tmp_path, config).detect(large), expected, atol=5e-3)


def test_several_faces_doubles_gone_and_the_middle_one_first(tmp_path: Path) -> None:
    image = blank(320, 320)
    for row, column in ((8, 24), (168, 168), (296, 264)):
        image[row, column] = (255, 0, 120)
    image[168, 176] = (255, 0, 255)
    faces = detector(tmp_path, DetectorSettings(nms_threshold=0.2)).detect(image)
    assert len(faces) == 3
    centre = (faces[0].box[:2] + faces[0].box[2:]) / 2
    assert np.abs(centre - 170).max() < 30
    assert len(detector(tmp_path).detect(image)) == 4
    assert len(detector(tmp_path, DetectorSettings(max_faces=2)).detect(image)) == 2
    assert detector(tmp_path, DetectorSettings(min_face=60)).detect(image) == []


def test_nothing_is_found_where_nothing_is(plain: YuNetDetector) -> None:
    assert plain.detect(blank(64, 64)) == []
    assert plain.detect(blank(50, 400)) == []
    assert plain.detect_batch([]) == []


def test_a_batch_is_one_by_one(plain: YuNetDetector) -> None:
    images = [noise(size, 7) for size in ((50, 64), (90, 64), (50, 64))]
    for faces, image in zip(plain.detect_batch(images), images, strict=True):
        same(faces, yunet_faces(image))


def test_threads_do_not_disturb_each_other(plain: YuNetDetector) -> None:
    """One FaceDetectorYN has one input size: shared, it would mix the photos up."""
    images = [noise((40 + 13 * (i % 5), 120 - 11 * (i % 7)), i) for i in range(60)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda image: plain.detect(image, threads=1), images))
    for faces, image in zip(found, images, strict=True):
        same(faces, yunet_faces(image))


def test_the_photo_is_left_alone(plain: YuNetDetector) -> None:
    image = noise((50, 60), 0)
    before = image.copy()
    plain.detect(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", ["cls", "obj", "bbox", "kps"])
def test_no_numbers_are_no_faces(tmp_path: Path, kind: str) -> None:
    found = detector(tmp_path, nan=kind)
    for size in ((60, 60), (8, 8)):  # also a single cell, whose face OpenCV does not look at again
        for face in found.detect(noise(size, 4)):
            assert np.isfinite(face.box).all()
            assert np.isfinite(face.landmarks).all()
            assert np.isfinite(face.score)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"leave_out": "kps_16"}, "no YuNet.*cannot get"),
        ({"numbers_of_kps": 8}, r"its output kps_8 has \d+ numbers of type float32, but \d+ of float32"),
        ({"leave_out": "kps_16", "size": None}, "no YuNet.*cannot get"),
        ({"size": (300, 320), "shape_fixed": True}, r"not one for photos of 300x320|does not load in OpenCV"),
    ],
)
def test_another_signature_is_told_when_it_is_loaded(
    tmp_path: Path, how: dict[str, object], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        detector(tmp_path, **how)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # the sentence is all there is


def test_bytes_that_are_no_network(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match=r"does not load in OpenCV|is no YuNet") as caught:
        load_detector(write_detector_of(tmp_path / "cut.onnx", b"", "yunet_2023mar"))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_opencv_would_pass_over_is_refused(tmp_path: Path) -> None:
    def load(provider: str = "cpu", threads: int | None = None, **changes: object) -> None:
        model = write_detector_of(tmp_path / "y.onnx", yunet(), "yunet_2023mar", **changes)
        load_detector(model, provider=provider, threads=threads)

    load()
    load("auto")
    with pytest.raises(ModelError, match="on the CPU alone"):
        load("cuda")
    with pytest.raises(SettingError, match="Unknown provider"):
        load("abacus")
    with pytest.raises(SettingError, match="at least 1"):
        load(threads=0)
    with pytest.raises(ModelError, match="strides 8, 16 and 32"):
        load(decoder=OPTIONS | {"strides": [4, 8, 16]})
    with pytest.raises(ModelError, match="another preprocess"):
        load(preprocess=Preprocess(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "RGB", "none"))


@pytest.mark.parametrize("how", [{}, {"size": None}], ids=["640x640", "any size"])
def test_what_another_runtime_can_be_fed(tmp_path: Path, how: dict[str, object]) -> None:
    found, image = detector(tmp_path, **how), noise((33, 70), 0)
    given = found.network_input(image)
    assert given.shape == ((64, 96, 3) if how else (640, 640, 3))
    np.testing.assert_array_equal(given[:33, :70], image)
    assert given.sum() == image.sum()
    assert max(found.network_input(noise((100, 2000), 0)).shape) == (1024 if how else 640)


def test_opencv_runs_it_halved_alone(tmp_path: Path) -> None:
    found = detector(tmp_path)
    refuse(found.model, tmp_path / "small.onnx", "fp16")
    for format_ in ("int8", "fp16-gpu"):
        with pytest.raises(ModelError, match="fp16 is what it can be quantised to"):
            quantize(found.model, tmp_path / "small.onnx", to=format_, photos=[noise((64, 64), 0)])


def test_each_class_takes_its_own_family(tmp_path: Path) -> None:
    model = write_detector_of(tmp_path / "y.onnx", yunet(), "yunet_2023mar")
    with pytest.raises(ModelError, match="yunet"):
        OnnxDetector(model)
    other = write_detector_of(tmp_path / "s.onnx", yunet(), "scrfd_500m")
    with pytest.raises(ModelError, match="does not say it is a YuNet"):
        YuNetDetector(other)
    with pytest.raises(ModelError, match="no SCRFD's"):
        load_detector(other)


def test_it_survives_a_trip_to_another_process(plain: YuNetDetector) -> None:
    image = noise((60, 60), 4)
    again = pickle.loads(pickle.dumps(plain))
    assert again.settings == plain.settings
    assert again.fingerprint == plain.fingerprint
    same(again.detect(image), yunet_faces(image))
