"""How faces become crops: by five points, by their box as facenet-pytorch, by a square as VGGFace2 does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facewise
from facewise.data.bin import BinPairs
from facewise.data.folder import folder_source
from facewise.data.prepare import prepare
from facewise.data.prepared import open_prepared
from facewise.embedding import Embedder
from facewise.errors import DatasetError, ModelError, SettingError
from facewise.evaluation.bin_file import evaluate_bin
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_crops
from facewise.evaluation.embedded import detector_key, embed_photos
from facewise.evaluation.landmarked import embed_landmarked
from facewise.geometry import TEMPLATE_112, Cut, align
from facewise.models import ModelFile, read_model, write_model
from facewise.pipeline import Pipeline, Steps
from facewise.preprocess import Preprocess

PHOTO = np.random.default_rng(5).integers(0, 256, (120, 160, 3), dtype=np.uint8)
SMOOTH = np.ascontiguousarray(
    np.asarray(PIL.Image.fromarray(PHOTO[::12, ::12]).resize((160, 120), PIL.Image.Resampling.BICUBIC))
)
FACENET = Cut(160, "box", 14 / 146)
VGGFACE2 = Cut(224, "square", 1.3 * 224 / 256 - 1)


def facenet_crop(photo: np.ndarray, box: tuple[float, ...], size: int, margin: int) -> np.ndarray:
    """The published crop, from its description, with Pillow: margin in pixels of the crop."""
    x1, y1, x2, y2 = box
    extra = margin * (x2 - x1) / (size - margin) / 2, margin * (y2 - y1) / (size - margin) / 2
    window = (
        int(max(x1 - extra[0], 0)),
        int(max(y1 - extra[1], 0)),
        int(min(x2 + extra[0], photo.shape[1])),
        int(min(y2 + extra[1], photo.shape[0])),
    )
    cut = PIL.Image.fromarray(photo).crop(window)
    return np.asarray(cut.resize((size, size), PIL.Image.Resampling.BILINEAR))


@pytest.mark.parametrize("box", [(20.3, 15.8, 90.6, 110.2), (-8, -3, 70.5, 99), (100, 60, 190, 140)])
@pytest.mark.parametrize(("size", "margin"), [(160, 0), (160, 14), (40, 10), (224, 44)])
def test_box_crops_are_those_of_facenet_pytorch(box: tuple[float, ...], size: int, margin: int) -> None:
    crop = Cut(size, "box", margin / (size - margin)).of(SMOOTH, [box], None)
    assert crop.shape == (1, size, size, 3)
    expected = facenet_crop(SMOOTH, box, size, margin).astype(float)
    # Two ways to interpolate; another window would differ by tens of grey levels.
    assert np.abs(crop[0] - expected).mean() < 1.5
    shifted = facenet_crop(SMOOTH, tuple(v + 3 for v in box), size, margin).astype(float)
    assert np.abs(crop[0] - shifted).mean() > 2


def test_square_crops_are_those_of_vggface2() -> None:
    """Box longer by 0.3, shorter side to 256, the middle 224: the same with Pillow, step by step."""
    photo = np.asarray(PIL.Image.fromarray(SMOOTH).resize((1280, 960), PIL.Image.Resampling.BICUBIC))
    x1, y1, x2, y2 = 400, 160, 800, 720
    width, height = 1.3 * (x2 - x1), 1.3 * (y2 - y1)
    whole = ((x1 + x2 - width) / 2, (y1 + y2 - height) / 2, (x1 + x2 + width) / 2, (y1 + y2 + height) / 2)
    high = round(256 * height / width)
    loose = PIL.Image.fromarray(photo).resize((256, high), PIL.Image.Resampling.BILINEAR, box=whole)
    top = (high - 224) // 2
    expected = np.asarray(loose.crop((16, top, 240, top + 224))).astype(float)
    crop = VGGFACE2.of(photo, [(x1, y1, x2, y2)], None)[0]
    assert np.abs(crop - expected).mean() < 1.5
    wider = Cut(224, "square", 0.3).of(photo, [(x1, y1, x2, y2)], None)[0]
    assert np.abs(wider - expected).mean() > 10


def test_what_lies_outside_the_photo_is_black_in_a_square_and_left_out_of_a_box() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    square = Cut(40, "square").of(white, [(-20, 0, 20, 40)], None)[0]
    assert (square[:, :20] == 0).all()
    assert (square[:, 20:] == 255).all()
    assert (Cut(40, "box").of(white, [(-20, 0, 20, 40)], None) == 255).all()


@pytest.mark.parametrize("cut", [FACENET, VGGFACE2, Cut(32, "box"), Cut(32, "square", -0.5)])
def test_a_whole_crop_of_its_own_size_is_itself(cut: Cut) -> None:
    plain = replace(cut, margin=0.0)
    photo = np.random.default_rng(1).integers(0, 256, (cut.size, cut.size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(plain.of(photo, [(0, 0, cut.size, cut.size)], None)[0], photo)


def test_five_points_are_aligned_and_their_box_does_not_matter() -> None:
    points = TEMPLATE_112 + np.array([20, 5])
    for boxes in ([[0, 0, 1, 1]], [[np.nan] * 4]):
        np.testing.assert_array_equal(Cut(64).of(PHOTO, boxes, points[None]), align(PHOTO, points[None], 64))
    assert Cut(64).of(PHOTO, np.empty((0, 4)), np.empty((0, 5, 2))).shape == (0, 64, 64, 3)
    assert FACENET.of(PHOTO, [], None).shape == (0, 160, 160, 3)


numbers = st.floats(-400, 400) | st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 0.0, 160.0])


@settings(max_examples=100)
@given(
    st.lists(numbers, min_size=4, max_size=4),
    st.sampled_from(["box", "square", "inside"]),
    st.floats(-0.9, 3),
    st.integers(1, 50),
)
def test_a_box_that_fits_is_cut_and_one_that_does_not_is_refused(
    box: list[float], alignment: str, margin: float, size: int
) -> None:
    cut = Cut(size, alignment, margin)  # type: ignore[arg-type]
    if cut.fits(120, 160, np.array(box), np.zeros((5, 2))):
        assert cut.of(PHOTO, [box], None).shape == (1, size, size, 3)
    else:
        with pytest.raises(SettingError, match="shows nothing"):
            cut.of(PHOTO, [box], None)


@pytest.mark.parametrize(
    ("size", "alignment", "margin"),
    [(0, "box", 0), (10, "eyes", 0), (10, "box", -1), (10, "box", float("nan")), (10, "square", 11)],
)
def test_cuts_that_make_no_sense(size: int, alignment: str, margin: float) -> None:
    with pytest.raises(SettingError, match="cannot be cut"):
        Cut(size, alignment, margin)  # type: ignore[arg-type]


# Preprocess


PLAIN = Preprocess(112, (127.5,) * 3, (128.0,) * 3)


def test_the_narrow_input_is_the_middle_of_the_crop_and_its_template_is_that_of_sphereface() -> None:
    narrow = replace(PLAIN, width=96)
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(narrow(crops), PLAIN(crops)[..., 8:104])
    assert narrow.input_shape == (112, 96)
    # Of 112 high, 96 wide crops, as Wen et al. 2016 and SphereFace give it.
    sphereface = [
        [30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041],
    ]  # fmt: skip
    np.testing.assert_allclose(TEMPLATE_112 - np.array([8, 0]), sphereface, atol=1e-9)


def test_what_is_left_at_its_default_is_not_written() -> None:
    """Fingerprints are over this form: those of models made before there were more fields stay."""
    assert set(PLAIN.to_dict()) == {"size", "mean", "std", "color", "alignment"}
    for more in (
        replace(PLAIN, width=96),
        replace(PLAIN, alignment="box", margin=0.1),
        replace(PLAIN, alignment="square"),
    ):
        assert Preprocess.from_dict(json.loads(json.dumps(more.to_dict()))) == more
    assert PLAIN.cut == Cut(112)
    assert replace(PLAIN, alignment="box", margin=0.25).cut == Cut(112, "box", 0.25)
    with pytest.raises(ModelError, match="whole photos"):
        _ = Preprocess(None, (1, 1, 1), (1, 1, 1), "BGR", "none").cut


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0}, {"width": 113}, {"width": 111}, {"width": 96.0}, {"width": True},
        {"margin": 0.1}, {"alignment": "box", "margin": -1}, {"alignment": "box", "margin": float("nan")},
        {"alignment": "box", "margin": "wide"}, {"alignment": "none", "margin": 0.2},
    ],
    ids=str,
)  # fmt: skip
def test_fields_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="preprocess"):
        Preprocess.from_dict(PLAIN.to_dict() | change)


def test_bundled_models_keep_their_fingerprints() -> None:
    """As they were before boxes, margins and widths: galleries and caches made with them stay good."""
    folder = Path(facewise.__file__).parent / "models" / "bundled"
    before = {"facewise-detect-s": "dae734dbca54ad9d", "facewise-embed-s": "dc1875e476daca9a"}
    assert {name: read_model(folder / f"{name}.onnx").fingerprint[:16] for name in before} == before


# Where crops are made


@pytest.fixture
def box_model(tmp_path: Path, tiny_embedder_file: Path) -> ModelFile:
    model = read_model(tiny_embedder_file)
    preprocess = replace(model.card.preprocess, alignment="box", margin=0.2)
    return write_model(
        tmp_path / "box.onnx", model.network, replace(model.card, name="box", preprocess=preprocess)
    )


@pytest.fixture
def photo(tmp_path: Path, drawn_photo: Callable[..., np.ndarray]) -> Path:
    path = tmp_path / "people" / "Ada" / "1.png"
    path.parent.mkdir(parents=True)
    PIL.Image.fromarray(drawn_photo([(150, 120, 64)])).save(path)
    return path


def test_the_pipeline_cuts_what_its_model_wants(
    box_model: ModelFile, tiny_pipeline: Pipeline, photo: Path
) -> None:
    pipeline = Pipeline(tiny_pipeline.detector, Embedder(box_model))
    assert pipeline.cut == Cut(112, "box", 0.2)
    found = pipeline.read(photo, Steps(keep_crops=True))
    image = np.asarray(PIL.Image.open(photo))
    assert found.crops is not None
    expected = pipeline.cut.of(image, [found.faces[0].box], None)
    np.testing.assert_array_equal(found.crops, expected)
    (vector,) = pipeline.embedder.embed(expected)
    np.testing.assert_allclose(found.faces[0].embedding, vector, atol=1e-6)
    plain = tiny_pipeline.read(photo, Steps(keep_crops=True))
    assert plain.crops is not None
    assert not np.array_equal(plain.crops, found.crops)


def test_prepared_box_crops(tmp_path: Path, tiny_pipeline: Pipeline, photo: Path) -> None:
    source, cut = folder_source(photo.parent.parent), Cut(64, "box", 0.1)
    prepare(source, tiny_pipeline, cut, tmp_path / "out")
    found = open_prepared(tmp_path / "out")
    assert (found.cut, found.size) == (cut, 64)
    box = tiny_pipeline.read(photo).faces[0].box
    np.testing.assert_array_equal(found.read(0), cut.of(np.asarray(PIL.Image.open(photo)), [box], None)[0])
    with pytest.raises(DatasetError, match="made otherwise"):
        prepare(source, tiny_pipeline, 64, tmp_path / "out")
    prepare(source, tiny_pipeline, Cut(64), tmp_path / "plain")
    header = json.loads((tmp_path / "plain" / "manifest.jsonl").read_text().splitlines()[0])
    assert set(header) == {"facewise_prepared", "photos", "size", "format", "detector", "settings"}


def test_the_cache_keeps_crops_of_each_cut_apart(
    tmp_path: Path, box_model: ModelFile, tiny_pipeline: Pipeline, photo: Path
) -> None:
    boxes = Pipeline(tiny_pipeline.detector, Embedder(box_model))
    with FaceCache(tmp_path / "faces.cache") as cache:
        for pipeline in (tiny_pipeline, boxes, tiny_pipeline, boxes):
            (found,) = embed_photos(pipeline, [photo], cache=cache)
            np.testing.assert_allclose(found.embedding, pipeline.read(photo).faces[0].embedding, atol=1e-6)
    assert detector_key(boxes) != detector_key(tiny_pipeline)


def test_the_key_of_plain_crops_is_what_it_was(tiny_pipeline: Pipeline) -> None:
    import hashlib
    from dataclasses import asdict

    detector = tiny_pipeline.detector
    plain = f"{detector.fingerprint} {json.dumps(asdict(detector.settings), sort_keys=True)} 112"
    assert detector_key(tiny_pipeline) == hashlib.sha256(plain.encode()).hexdigest()


def test_a_box_model_is_refused_where_there_are_only_landmarks(box_model: ModelFile, photo: Path) -> None:
    with pytest.raises(SettingError, match=r"box cuts faces by the detector's box.*only landmarks"):
        embed_landmarked([photo], np.zeros((1, 5, 2), np.float32), [Embedder(box_model)])


def test_box_crops_of_another_size_are_resized(box_model: ModelFile, tmp_path: Path) -> None:
    crop = np.asarray(PIL.Image.fromarray(SMOOTH).resize((56, 56)))
    PIL.Image.fromarray(crop).save(tmp_path / "crop.png")
    embedder = Embedder(box_model)
    (found,) = embed_crops(embedder, [tmp_path / "crop.png"], ["crop"])
    whole = Cut(112, "box").of(crop, [(0, 0, 56, 56)], None)
    np.testing.assert_allclose(found.embedding, embedder.embed(whole)[0], atol=1e-6)


def test_a_box_model_is_refused_where_crops_came_aligned(box_model: ModelFile) -> None:
    contents = (b"a", b"b")
    with pytest.raises(SettingError, match=r"box cuts faces by the detector's box.*mini holds 5-point"):
        evaluate_bin(BinPairs("mini", contents, np.array([True])), Embedder(box_model))


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((60, 40, 80, 70), (40, 10, 100, 100)),  # all of it is there
        ((2, 40, 22, 70), (0, 10, 60, 100)),  # moved right
        ((130, 90, 150, 120), (99, 29, 159, 119)),  # moved left and up
        ((10, 5, 150, 110), (0, 0, 159, 119)),  # no more than the photo has: 119 / 105 of each side
    ],
)
def test_a_cut_inside_is_enlarged_and_moved_until_all_of_it_is_in_the_photo(box, window) -> None:
    """minivision-ai's crop, from its description: both ends of the window are within it."""
    x1, y1, x2, y2 = window
    crop = Cut(80, "inside", 2.0).of(SMOOTH, [box], None)[0]
    expected = PIL.Image.fromarray(SMOOTH[y1 : y2 + 1, x1 : x2 + 1])
    wanted = np.asarray(expected.resize((80, 80), PIL.Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(crop - wanted).mean() < 2.0
    shifted = np.roll(SMOOTH, 4, axis=1)[y1 : y2 + 1, x1 : x2 + 1]
    other = np.asarray(PIL.Image.fromarray(shifted).resize((80, 80), PIL.Image.Resampling.BILINEAR))
    assert np.abs(crop - other.astype(float)).mean() > 4
