"""Photo to embedded faces, one by one and many side by side."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.concurrency import side_by_side
from facewise.detection import DetectorSettings
from facewise.errors import FacewiseError, ImageError, ModelError, SettingError
from facewise.geometry import align, pose, sharpness
from facewise.models import bundled
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from fake_runtime import CPU, CUDA, Runtime
from tiny_models import landmarks_of

Draw = Callable[..., np.ndarray]
TWO = [(80, 100, 50), (240, 130, 64)]


def png(photo: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(photo).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photos(drawn_photo: Draw) -> list[object]:
    """Of several sizes and kinds: two faces, none, one, bytes, unreadable, many more."""
    made: list[object] = [
        drawn_photo(TWO),
        drawn_photo([]),
        png(drawn_photo([(100, 90, 60, 3)], (200, 200))),
        b"not a photo",
        "/nowhere/photo.jpg",
        np.zeros((1, 1, 3), np.uint8),
    ]
    return made + [drawn_photo([(60 + i, 70 + 2 * i, 40 + i, i)], (220, 160 + 5 * i)) for i in range(14)]


def same_result(a: PhotoFaces, b: PhotoFaces) -> None:
    assert (a.source, a.sha256, a.size, str(a.error)) == (b.source, b.sha256, b.size, str(b.error))
    assert len(a.faces) == len(b.faces)
    for one, other in zip(a.faces, b.faces, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=1e-3)
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-3)
        assert (one.embedding is None) == (other.embedding is None)
        if one.embedding is not None:
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)
        assert (one.quality is None) == (other.quality is None)


# One photo


def test_reads_a_photo(tiny_pipeline: Pipeline, drawn_photo: Draw) -> None:
    photo = drawn_photo(TWO)
    found = tiny_pipeline.read(photo)
    assert (found.source, found.size, found.error, found.main, found.crops) == (
        "array",
        (240, 320),
        None,
        0,
        None,
    )
    assert len(found.faces) == 2
    for place in TWO:
        (face,) = [f for f in found.faces if abs(f.box[0] - (place[0] - place[2] / 2)) < 1]
        np.testing.assert_allclose(face.landmarks, landmarks_of(*place), atol=0.5)
        crop = align(photo, face.landmarks)
        np.testing.assert_allclose(face.embedding, tiny_pipeline.embedder.embed(crop[None])[0], atol=1e-5)
        assert face.quality is not None
        assert face.quality.score == face.score
        assert face.quality.size == pytest.approx(
            np.hypot(*(face.landmarks[1] - face.landmarks[0])), rel=1e-5
        )
        assert face.quality.sharpness == pytest.approx(sharpness(crop))
        assert (face.quality.yaw, face.quality.pitch, face.quality.roll) == pose(face.landmarks)


def test_faces_keep_their_own_embeddings(tiny_pipeline: Pipeline, drawn_photo: Draw) -> None:
    """Two people in one photo, and each alone: whose embedding is whose."""
    together = tiny_pipeline.read(drawn_photo([(80, 100, 50, 4), (240, 130, 64, 9)])).faces
    together = sorted(together, key=lambda face: face.box[0])
    alone = [
        tiny_pipeline.read(drawn_photo([place])).faces[0] for place in ((80, 100, 50, 4), (240, 130, 64, 9))
    ]
    similarities = np.array([[np.dot(a.embedding, b.embedding) for b in alone] for a in together])
    assert similarities.diagonal().min() > 0.99
    assert similarities[0, 1] < 0.95
    assert similarities[1, 0] < 0.95


def test_bytes_path_and_array_give_the_same(
    tiny_pipeline: Pipeline, drawn_photo: Draw, tmp_path: Path
) -> None:
    photo = drawn_photo(TWO)
    data = png(photo)
    path = tmp_path / "two.png"
    path.write_bytes(data)
    expected = tiny_pipeline.read(photo)
    for source in (data, path, str(path)):
        found = tiny_pipeline.read(source)
        assert found.sha256 == hashlib.sha256(data).hexdigest()
        assert found.source == ("image bytes" if source is data else str(path))
        for one, other in zip(found.faces, expected.faces, strict=True):
            np.testing.assert_array_equal(one.landmarks, other.landmarks)
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)


def test_an_array_is_known_by_its_pixels_and_shape(tiny_pipeline: Pipeline) -> None:
    steps = Steps(align=False, embed=False)
    prints = [
        tiny_pipeline.read(array, steps).sha256
        for array in (
            np.zeros((4, 6, 3), np.uint8),
            np.zeros((6, 4, 3), np.uint8),
            np.ones((4, 6, 3), np.uint8),
        )
    ]
    assert len(set(prints)) == 3
    assert prints[0] == tiny_pipeline.read(np.zeros((4, 6, 3), np.uint8), steps).sha256


def test_how_far_to_go(tiny_pipeline: Pipeline, drawn_photo: Draw) -> None:
    photo = drawn_photo(TWO)
    detected = tiny_pipeline.read(photo, Steps(align=False, embed=False))
    assert len(detected.faces) == 2
    assert all(face.quality is None and face.embedding is None for face in detected.faces)
    aligned = tiny_pipeline.read(photo, Steps(embed=False, keep_crops=True))
    assert all(face.quality is not None and face.embedding is None for face in aligned.faces)
    assert aligned.crops is not None
    assert aligned.crops.shape == (2, 112, 112, 3)
    for face, crop in zip(aligned.faces, aligned.crops, strict=True):
        np.testing.assert_array_equal(crop, align(photo, face.landmarks))
    main = tiny_pipeline.read(photo, Steps(main_only=True))
    everyone = tiny_pipeline.read(photo)
    assert len(main.faces) == 1
    np.testing.assert_array_equal(main.faces[0].box, everyone.faces[0].box)
    np.testing.assert_allclose(main.faces[0].embedding, everyone.faces[0].embedding, atol=1e-6)


def test_no_face(tiny_pipeline: Pipeline, drawn_photo: Draw) -> None:
    found = tiny_pipeline.read(drawn_photo([]), Steps(keep_crops=True))
    assert found.faces == ()
    assert found.main is None
    assert found.crops is not None
    assert found.crops.shape == (0, 112, 112, 3)


def test_a_face_whose_landmarks_are_one_point_is_left_out(
    tiny_pipeline: Pipeline, drawn_photo: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    photo = drawn_photo(TWO)
    detect = tiny_pipeline.detector.detect

    def flat(image: np.ndarray, *, threads: int | None = None) -> list[object]:
        first, second = detect(image, threads=threads)
        return [replace(first, landmarks=np.full((5, 2), 9, np.float32)), second]

    monkeypatch.setattr(tiny_pipeline.detector, "detect", flat)
    (face,) = tiny_pipeline.upright_only().read(photo).faces
    np.testing.assert_array_equal(face.box, detect(photo)[1].box)


def test_what_cannot_be_read(tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    for photo in (b"nonsense", tmp_path / "gone.jpg", tmp_path, np.zeros((3, 3), np.float32)):
        with pytest.raises(ImageError):
            tiny_pipeline.read(photo)


# Many photos


@pytest.mark.parametrize("threads", [1, 4])
def test_many_are_one_by_one_in_order(
    tiny_detector_file: Path, tiny_embedder_file: Path, photos: list[object], threads: int
) -> None:
    pipeline = Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=threads)
    results = list(pipeline.read_many(photos))
    assert len(results) == len(photos)
    assert [len(result.faces) for result in results] == [2, 0, 1, 0, 0, 0] + [1] * 14
    for photo, result in zip(photos, results, strict=True):
        try:
            same_result(result, pipeline.read(photo))
        except ImageError as error:
            same_result(result, PhotoFaces(result.source, error=error))


def test_errors_are_told_by_photo_and_stop_nothing(tiny_pipeline: Pipeline, photos: list[object]) -> None:
    results = list(tiny_pipeline.read_many(photos))
    assert [i for i, result in enumerate(results) if result.error] == [3, 4]
    assert results[3].source == "image bytes"
    assert results[4].source == "/nowhere/photo.jpg"
    assert isinstance(results[4].error, ImageError)
    assert "/nowhere/photo.jpg" in str(results[4].error)
    assert results[3].sha256 == ""
    assert results[3].size == (0, 0)


def test_a_broken_model_does_stop_it(
    tiny_pipeline: Pipeline, photos: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the model is not one of the photo."""

    def broken(*_: object, **__: object) -> np.ndarray:
        raise ModelError("the model is broken.")

    monkeypatch.setattr(tiny_pipeline.embedder, "embed", broken)
    with pytest.raises(ModelError, match="broken"):
        list(tiny_pipeline.read_many(photos))


def test_photos_are_taken_as_they_are_needed(tiny_pipeline: Pipeline) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        for _ in range(1000):  # as good as endless
            taken.append(1)
            yield np.zeros((8, 8, 3), np.uint8)

    results = tiny_pipeline.read_many(endless(), Steps(embed=False))
    assert taken == []
    for count in range(1, 30):
        next(results)
        assert len(taken) <= count + 4 * tiny_pipeline.threads
    results.close()


def test_closing_early_stops_the_work() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        time.sleep(0.05)
        done.append(item)
        return item

    before = threading.active_count()
    results = side_by_side(work, iter(range(10_000)), 2)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    count = len(done)
    assert count <= 2 + 2 * 2  # those asked for, and at most two rounds of what was begun
    time.sleep(0.12)
    assert len(done) == count
    assert threading.active_count() == before


def test_side_by_side_keeps_the_order_and_works_at_the_same_time() -> None:
    meet = threading.Barrier(3, timeout=120)

    def work(item: int) -> int:
        if item < 3:
            meet.wait()  # three at once, or this fails
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(side_by_side(work, range(40), 3)) == [i * i for i in range(40)]
    assert list(side_by_side(work, [], 3)) == []


def test_an_exception_comes_at_its_items_turn() -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    results = side_by_side(work, range(100), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


# Loading


def test_settings_reach_the_models(
    tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw
) -> None:
    pipeline = Pipeline.load(
        tiny_detector_file, tiny_embedder_file, flip=True, threads=3, settings=DetectorSettings(max_faces=1)
    )
    assert pipeline.embedder.flip is True
    assert pipeline.threads == pipeline.embedder.network.threads == 3
    assert pipeline.embedder.fingerprint != pipeline.detector.fingerprint
    assert len(pipeline.read(drawn_photo(TWO)).faces) == 1


def test_without_an_embedder(tiny_detector_file: Path, drawn_photo: Draw) -> None:
    pipeline = Pipeline.load(tiny_detector_file, embed=False)
    found = pipeline.read(drawn_photo(TWO), Steps(embed=False, keep_crops=True))
    assert found.crops is not None
    assert found.crops.shape == (2, 112, 112, 3)
    with pytest.raises(SettingError, match="without an embedder"):
        pipeline.read(drawn_photo(TWO))
    small = Pipeline(pipeline.detector, None, crop_size=64)
    found = small.read(drawn_photo(TWO), Steps(embed=False, keep_crops=True))
    assert found.crops is not None
    assert found.crops.shape == (2, 64, 64, 3)


def test_models_of_the_wrong_kind(tiny_detector_file: Path, tiny_embedder_file: Path) -> None:
    with pytest.raises(ModelError, match="'detector' is needed"):
        Pipeline.load(tiny_embedder_file, tiny_embedder_file)
    with pytest.raises(ModelError, match="'embedder' is needed"):
        Pipeline.load(tiny_detector_file, tiny_detector_file)


def test_models_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "package")
    with pytest.raises(ModelError, match="No detector is installed"):
        Pipeline.load()


@pytest.mark.parametrize("threads", [0, -2])
def test_thread_counts_below_one(tiny_detector_file: Path, tiny_embedder_file: Path, threads: int) -> None:
    with pytest.raises(FacewiseError, match="at least 1"):
        Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=threads)


def test_says_where_its_networks_run(
    tiny_detector_file: Path, tiny_embedder_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes open networks on the CPU alone, and not a card's memory once more each."""
    here = Pipeline.load(tiny_detector_file, tiny_embedder_file)
    assert (here.providers, here.passed_over) == ({"detector": "cpu", "embedder": "cpu"}, {})
    Runtime(monkeypatch, [CUDA, CPU], {CUDA: [CPU]})
    fallen = Pipeline.load(tiny_detector_file, tiny_embedder_file)
    assert fallen.providers == here.providers
    assert "did not start" in fallen.passed_over["cuda"]
    Runtime(monkeypatch, [CUDA, CPU], {})
    there = Pipeline.load(tiny_detector_file, tiny_embedder_file)
    assert there.providers == {"detector": "cuda", "embedder": "cuda"}
    assert (here.portable, fallen.portable, there.portable) == (True, True, False)
    mixed = Pipeline(here.detector, there.embedder)
    assert (mixed.providers, mixed.portable) == ({"detector": "cpu", "embedder": "cuda"}, False)
    assert Pipeline.load(tiny_detector_file, embed=False, provider="cpu").providers == {"detector": "cpu"}
