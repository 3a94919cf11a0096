"""SCRFD on networks of its signature whose faces are pixels, against plain loops over the photo."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.detection import DetectorSettings, OnnxDetector, load_detector
from facewise.detection.base import make_decoder
from facewise.errors import ModelError
from facewise.models import read_model
from planted_detectors import same, scrfd, scrfd_faces, write_detector_of

ALL = DetectorSettings(nms_threshold=1.0, max_faces=100_000)
"""Nothing is suppressed."""
OPTIONS = {"name": "scrfd", "strides": [8, 16, 32], "anchors": 2}
RED, GREEN, REDDISH = (255, 0, 0), (0, 255, 0), (255, 0, 120)


def detector(folder: Path, config: DetectorSettings = ALL, **how: object) -> OnnxDetector:
    model = write_detector_of(folder / "planted.onnx", scrfd(**how), "scrfd_500m")  # type: ignore[arg-type]
    found = load_detector(model, settings=config, threads=1)
    assert isinstance(found, OnnxDetector)
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> OnnxDetector:
    return detector(tmp_path_factory.mktemp("scrfd"))


def photo(size: tuple[int, int], *pixels: tuple[int, int, tuple[int, int, int]]) -> np.ndarray:
    """A black photo of (height, width) with pixels (row, column, colour)."""
    image = np.zeros((*size, 3), np.uint8)
    for row, column, colour in pixels:
        image[row, column] = colour
    return image


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_one_face_is_where_the_paper_of_sums_says(plain: OnnxDetector) -> None:
    """By hand: a red pixel at row 24, column 40 is the corner of cell (3, 5) of stride 8, first anchor."""
    (face,) = plain.detect(photo((64, 96), (24, 40, (255, 0, 255))))
    grown = 127.5 / 128
    np.testing.assert_allclose(
        face.box,
        [40 - 8 * (2 + grown), 24 - 8 * (3 + grown), 40 + 8 * (4 + grown), 24 + 8 * (5 + grown)],
        atol=1e-3,
    )
    np.testing.assert_allclose(face.landmarks[:, 1], [16, 15, 26, 32, 33], atol=1e-3)
    np.testing.assert_allclose(face.landmarks[:, 0] - 8 * grown, [32, 48, 40, 34, 46], atol=1e-3)
    assert face.landmarks[0, 0] < face.landmarks[1, 0]  # the eye at the image's left first
    assert face.box.dtype == face.landmarks.dtype == np.float32
    (face,) = plain.detect(photo((64, 96), (24, 40, (0, 255, 127))))  # the second anchor is larger
    np.testing.assert_allclose(face.box, [16, -8, 80, 72], atol=0.1)


@pytest.mark.parametrize(
    "size", [(64, 64), (75, 100), (1, 1), (31, 33), (97, 40), (7, 300), (129, 128)], ids=str
)
@pytest.mark.parametrize("batch_axis", [False, True])
def test_any_size_is_decoded_as_the_loops_do(
    tmp_path: Path, plain: OnnxDetector, size: tuple[int, int], batch_axis: bool
) -> None:
    found = detector(tmp_path, batch_axis=True) if batch_axis else plain
    for seed in range(3):
        image = noise(size, seed)
        same(found.detect(image), scrfd_faces(image))


@settings(max_examples=25)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_sizes_and_thresholds(height: int, width: int, seed: int, threshold: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        config = DetectorSettings(nms_threshold=1.0, max_faces=100_000, score_threshold=threshold)
        image = noise((height, width), seed)
        expected = scrfd_faces(image, threshold)
        if all(abs(score - threshold) > 1e-4 for _, score, _ in scrfd_faces(image, 0.01)):
            same(detector(Path(folder), config).detect(image), expected)


def test_the_canvas_is_a_multiple_of_the_strides_and_black(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = detector(tmp_path)
    fed = []
    run = found.network.run
    monkeypatch.setattr(found.network, "run", lambda batch: (fed.append(batch), run(batch))[1])
    found.detect(np.full((33, 70, 3), 255, np.uint8))
    assert fed[0].shape == (1, 3, 64, 96)
    np.testing.assert_allclose(fed[0][:, :, :33, :70], 127.5 / 128, rtol=1e-6)
    assert (fed[0][:, :, 33:] == np.float32(-127.5 / 128)).all()
    assert (fed[0][:, :, :, 70:] == np.float32(-127.5 / 128)).all()


def test_a_photo_larger_than_is_looked_at(tmp_path: Path) -> None:
    config = DetectorSettings(nms_threshold=1.0, max_faces=100_000, max_size=100)
    small = noise((75, 100), 5)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    expected = [
        ([2 * v for v in box], score, [[2 * x, 2 * y] for x, y in marks])
        for box, score, marks in scrfd_faces(small)
    ]
    same(detector(tmp_path, config).detect(large), expected, atol=5e-3)


def test_several_faces_doubles_gone_and_the_middle_one_first(tmp_path: Path) -> None:
    found = detector(tmp_path, DetectorSettings())
    image = photo((320, 320), (8, 24, RED), (168, 168, REDDISH), (296, 264, RED), (168, 176, REDDISH))
    faces = found.detect(image)
    assert len(faces) == 3  # the two in the middle overlap by more than 0.4
    np.testing.assert_allclose(faces[0].box[:2], [168 - 8 * 1.94, 168 - 8 * 2.94], atol=0.1)
    assert [round(float(v)) for v in faces[1].box] in ([16, -8, 48, 40], [256, 280, 288, 328])
    assert len(detector(tmp_path, ALL).detect(image)) == 4


def test_nothing_is_found_where_nothing_is(plain: OnnxDetector) -> None:
    for size in ((64, 64), (33, 500)):
        assert plain.detect(photo(size)) == []
    assert plain.detect_batch([]) == []


@pytest.mark.parametrize("order", [[8, 7, 6, 5, 4, 3, 2, 1, 0], [0, 3, 6, 1, 4, 7, 2, 5, 8]], ids=str)
def test_outputs_in_another_order_or_under_other_names(tmp_path: Path, order: list[int]) -> None:
    image = noise((70, 90), 2)
    same(detector(tmp_path, order=order, name="data").detect(image), scrfd_faces(image))


@pytest.mark.parametrize(
    ("how", "calls"),
    [
        ({}, [1, 1, 1]),  # a batch of one and no axis for it, as in InsightFace's packs
        ({"batch": "n"}, [1, 1, 1]),  # any batch, but outputs without an axis for it
        ({"batch": "n", "batch_axis": True}, [3]),
        ({"batch": 1, "batch_axis": True}, [1, 1, 1]),
        ({"batch": 2, "batch_axis": True}, [2, 2]),  # the second call is filled up with black
        ({"told": False}, [1, 1, 1]),
    ],
    ids=str,
)
def test_as_many_photos_share_a_call_as_the_network_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, object], calls: list[int]
) -> None:
    found = detector(tmp_path, **how)
    seen = []
    run = found.network.run
    monkeypatch.setattr(found.network, "run", lambda batch: (seen.append(len(batch)), run(batch))[1])
    images = [noise((50, 64), seed) for seed in range(3)]
    for faces, image in zip(found.detect_batch(images), images, strict=True):
        same(faces, scrfd_faces(image))
    assert seen == calls


@pytest.mark.parametrize("size", [(64, 96), (40, 30), (64, 20), (10, 96)], ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_fixes_its_size(tmp_path: Path, size: tuple[int, int], times: int) -> None:
    """Small photos are laid on a canvas of that size, larger ones scaled down until they fit."""
    found = detector(tmp_path, size=(64, 96))
    if times == 2 and size == (40, 30):
        size = (64, 30)
    image = noise(size, 3)
    expected = [
        ([times * v for v in box], score, [[times * x, times * y] for x, y in marks])
        for box, score, marks in scrfd_faces(image)
    ]
    same(found.detect(image.repeat(times, axis=0).repeat(times, axis=1)), expected, atol=5e-3)


@pytest.mark.parametrize("kind", ["score", "bbox", "kps"])
def test_no_numbers_are_no_faces(tmp_path: Path, kind: str) -> None:
    """The second anchor gives NaN: what the first one finds stays."""
    image = noise((60, 60), 4)
    faces = detector(tmp_path, nan=kind).detect(image)
    assert 0 < len(faces) < len(scrfd_faces(image))
    for face in faces:
        assert np.isfinite(face.box).all()
        assert np.isfinite(face.landmarks).all()
        assert np.isfinite(face.score)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"kinds": ("score", "bbox")}, "boxes without landmarks.*take the variant with landmarks"),
        ({"kinds": ("score",)}, "there are 3, but scores, boxes and landmarks at 3 strides are 9"),
        ({"order": range(8)}, "there are 8, but"),
    ],
)
def test_a_wrong_number_of_outputs_is_told_when_it_is_loaded(
    tmp_path: Path, how: dict[str, object], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        detector(tmp_path, **how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [{"size": (100_000, 100_000)}, {"batch": 10**9, "size": (64, 64)}], ids=str)
def test_a_file_that_asks_for_absurd_inputs(tmp_path: Path, how: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="no detector needs as much"):
        detector(tmp_path, **how)


def test_wrong_shapes_are_told(tmp_path: Path) -> None:
    maps = [np.zeros((1, 2 * n, 64 // s, 64 // s), np.float32) for n in (1, 4, 10) for s in (8, 16, 32)]
    with pytest.raises(ModelError, match=r"no SCRFD's: their shapes are .*64x64"):
        make_decoder(OPTIONS).decode(maps, (64, 64), 0.5)
    one_anchor = write_detector_of(
        tmp_path / "one.onnx", scrfd(), "scrfd_500m", decoder=OPTIONS | {"anchors": 1}
    )
    with pytest.raises(ModelError, match="no SCRFD's"):
        load_detector(one_anchor).detect(noise((64, 64), 0))


def test_scores_that_are_no_probabilities_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without its sigmoid"):
        detector(tmp_path, without_sigmoid=True).detect(noise((64, 64), 0))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "scrfd"},
        OPTIONS | {"anchors": 0},
        OPTIONS | {"anchors": "two"},
        OPTIONS | {"strides": []},
        OPTIONS | {"strides": [8, 8, 16]},
        OPTIONS | {"strides": [8, -16, 32]},
        OPTIONS | {"strides": [8, 16, 1_000_000]},
    ],
    ids=str,
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        make_decoder(options)


def test_five_strides_and_one_anchor() -> None:
    """InsightFace's larger variants: the decoder is the same with other options."""
    decoder = make_decoder({"name": "scrfd", "strides": [8, 16, 32, 64, 128], "anchors": 1})
    assert decoder.multiple == 128
    outputs = []
    for numbers in (1, 4, 10):
        outputs += [np.zeros((1, (128 // s) ** 2, numbers), np.float32) for s in (8, 16, 32, 64, 128)]
    outputs[3][0, 2, 0] = 0.9  # stride 64, row 1, column 0
    outputs[8][0, 2] = (0.5, 0.25, 0.5, 0.25)
    (raw,) = decoder.decode(outputs, (128, 128), 0.5)
    np.testing.assert_array_equal(raw.boxes, [[-32, 48, 32, 80]])
    np.testing.assert_array_equal(raw.landmarks, np.tile([0, 64], (1, 5, 1)))


def test_int8_is_calibrated_on_what_the_network_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import PIL.Image
    from typer.testing import CliRunner

    from facewise.cli.app import app
    from facewise.models import quantize as module

    write_detector_of(tmp_path / "s.onnx", scrfd(), "scrfd_500m")
    folder = tmp_path / "photos" / "Ann"
    folder.mkdir(parents=True)
    for i in range(20):
        PIL.Image.fromarray(noise((40 + i, 70), i)).save(folder / f"{i}.png")
    given: list[np.ndarray] = []

    def stop(*_: object, photos: list[np.ndarray], **__: object) -> None:
        given.extend(photos)
        raise ModelError("Enough.")

    monkeypatch.setattr(module, "quantize", stop)
    words = ["models", "quantize", str(tmp_path / "s.onnx"), "--photos", str(tmp_path / "photos")]
    done = CliRunner().invoke(app, [*words, "--to", "int8", "--out", str(tmp_path / "o.onnx")])
    assert done.exit_code == 3, done.stderr
    assert "Enough." in done.stderr
    assert given
    assert {photo.shape for photo in given} == {(64, 96, 3)}


def test_it_survives_a_trip_to_another_process(tmp_path: Path) -> None:
    image = noise((60, 60), 4)
    same(pickle.loads(pickle.dumps(detector(tmp_path))).detect(image), scrfd_faces(image))


def test_name_and_fingerprint(tmp_path: Path) -> None:
    found = detector(tmp_path)
    assert (found.name, found.provider) == ("planted", "cpu")
    assert found.fingerprint == read_model(tmp_path / "planted.onnx").fingerprint
