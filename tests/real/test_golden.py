"""The real models on real photos, against the golden files of public implementations."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import facewise
from facewise.detection import OnnxDetector
from facewise.embedding import Embedder
from facewise.errors import ImageError
from facewise.geometry import align
from facewise.image import read_image
from facewise.models import read_model
from facewise.pipeline import Pipeline, Steps
from mutations import mutated_images, originals

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def embedder(real_models: SimpleNamespace) -> Embedder:
    return Embedder(read_model(real_models.embedder), flip=False)


@pytest.fixture(scope="module")
def crops(shared: Path) -> SimpleNamespace:
    """64 LFW faces: `path`, `crop_rgb`, `embedding`, and `landmarks` of the reference detector."""
    golden = np.load(shared / "reference" / "mobilefacenet_foamliu_crops.npz")
    detected = np.load(shared / "reference" / "lfw_retinaface.npz")
    found = dict(zip(detected["path"].tolist(), detected["landmarks"], strict=True))
    return SimpleNamespace(
        path=golden["path"].tolist(),
        crop_rgb=golden["crop_rgb"],
        embedding=golden["embedding"],
        landmarks=[found[path] for path in golden["path"].tolist()],
        images=shared / "data" / "lfw" / "images",
    )


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) * b.astype(np.float64)).sum(axis=1)


def test_embeddings_of_golden_crops(embedder: Embedder, crops: SimpleNamespace) -> None:
    assert len(crops.crop_rgb) == 64
    assert cosines(embedder.embed(crops.crop_rgb), crops.embedding).min() >= 0.9999


def test_rgb_and_bgr_confused_is_noticed(embedder: Embedder, crops: SimpleNamespace) -> None:
    swapped = embedder.embed(np.ascontiguousarray(crops.crop_rgb[..., ::-1]))
    assert cosines(swapped, crops.embedding).max() < 0.9999
    assert cosines(swapped, crops.embedding).mean() < 0.95


def test_crops_shifted_by_four_pixels_are_noticed(embedder: Embedder, crops: SimpleNamespace) -> None:
    shifted = embedder.embed(np.roll(crops.crop_rgb, 4, axis=2))
    assert cosines(shifted, crops.embedding).mean() < 0.99


def test_photos_swapped_are_noticed(embedder: Embedder, crops: SimpleNamespace) -> None:
    swapped = crops.crop_rgb.copy()
    swapped[[3, 40]] = swapped[[40, 3]]
    alike = cosines(embedder.embed(swapped), crops.embedding)
    assert np.flatnonzero(alike < 0.9999).tolist() == [3, 40]


def test_crops_of_golden_landmarks(embedder: Embedder, crops: SimpleNamespace) -> None:
    """Our alignment: the reference fits robustly, so not to the bit, but the embedding hardly moves."""
    ours = np.stack(
        [align(read_image(crops.images / p), m) for p, m in zip(crops.path, crops.landmarks, strict=True)]
    )
    assert np.median(np.abs(ours.astype(int) - crops.crop_rgb).mean(axis=(1, 2, 3))) < 6
    assert np.median(cosines(embedder.embed(ours), crops.embedding)) > 0.97
    shifted = np.stack(
        [align(read_image(crops.images / p), m + 4) for p, m in zip(crops.path, crops.landmarks, strict=True)]
    )
    right, wrong = (cosines(embedder.embed(c), crops.embedding).mean() for c in (ours, shifted))
    assert wrong < right - 0.01


def test_landmarks_on_every_40th_photo(real_models: SimpleNamespace, shared: Path) -> None:
    golden = np.load(shared / "reference" / "lfw_retinaface.npz")
    detector = OnnxDetector(read_model(real_models.detector))
    images = shared / "data" / "lfw" / "images"
    paths = golden["path"][::40].tolist()
    pixels = [read_image(images / path) for path in paths]
    found = detector.detect_batch(pixels)
    assert all(found)
    landmarks = np.stack([faces[0].landmarks for faces in found])
    distance = np.hypot(*np.moveaxis(landmarks - golden["landmarks"][::40], -1, 0)).max(axis=1)
    assert np.median(distance) <= 0.05
    assert distance.max() <= 1, paths[int(distance.argmax())]
    scores = np.array([faces[0].score for faces in found])
    assert np.abs(scores - golden["score"][::40]).max() < 0.01
    # The measure notices what it should: channels swapped.
    swapped = detector.detect(np.ascontiguousarray(pixels[0][..., ::-1]))
    assert not swapped or np.abs(swapped[0].landmarks - golden["landmarks"][0]).max() > 0.05


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_images(real_models: SimpleNamespace, shared: Path, count: int) -> None:
    """No crash, and either faces or an ImageError."""
    lfw = shared / "data" / "lfw" / "images"
    photos = [path.read_bytes() for path in sorted(lfw.glob("A*/*_0001.jpg"))[:60:5]]
    pipeline = facewise.Pipeline.load(real_models.detector, embed=False)
    steps = Steps(align=False, embed=False)
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for label, data in mutated_images(count, 20240612, photos + originals()):
            try:
                found = pipeline.read(data, steps)
                outcomes["faces" if found.faces else "no face"] += 1
                assert found.size[0] > 0
                assert all(np.isfinite(face.box).all() for face in found.faces)
            except ImageError as error:
                outcomes["error"] += 1
                assert str(error).endswith("."), label  # noqa: PT017
    print(dict(outcomes))  # noqa: T201  shown with -rP
    assert min(outcomes["faces"], outcomes["no face"], outcomes["error"]) > count / 20, outcomes


def test_real_people_are_told_apart(real_models: SimpleNamespace, shared: Path) -> None:
    pipeline = Pipeline.load(real_models.detector, real_models.embedder, flip=True)
    recognizer = facewise.Recognizer(pipeline=pipeline)
    images = shared / "data" / "lfw" / "images"
    same = recognizer.verify(
        images / "Ann_Veneman" / "Ann_Veneman_0003.jpg", images / "Ann_Veneman" / "Ann_Veneman_0005.jpg"
    )
    different = recognizer.verify(
        images / "Ann_Veneman" / "Ann_Veneman_0003.jpg", images / "Bill_Frist" / "Bill_Frist_0002.jpg"
    )
    assert same.similarity > 0.45
    assert different.similarity < 0.25
