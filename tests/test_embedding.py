"""Crops to unit vectors: the same whatever the batch, flip by hand, and models that are not what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
import pytest

from facewise.embedding import Embedder
from facewise.errors import ModelError, SettingError
from facewise.models import (
    Calibration,
    ModelCard,
    ModelFile,
    Threshold,
    read_model,
    save_calibration,
    write_model,
)
from facewise.preprocess import Preprocess
from tiny_models import draw

CROPS = np.stack([draw((112, 112), [(56, 56, 80 + 4 * i, i)]) for i in range(7)])


@pytest.fixture(scope="module")
def model(tiny_embedder_file: Path) -> ModelFile:
    return read_model(tiny_embedder_file)


def raw_by_hand(model: ModelFile, crops: np.ndarray) -> np.ndarray:
    """Network outputs with the preprocessing written out."""
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    card = model.card.preprocess
    pixels = (crops.astype(np.float64) - np.array(card.mean)) / np.array(card.std)
    batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    return session.run(None, {session.get_inputs()[0].name: batch})[0].astype(np.float64)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_is_the_network_made_unit(model: ModelFile) -> None:
    vectors = Embedder(model).embed(CROPS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (7, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, unit(raw_by_hand(model, CROPS)), atol=1e-5)


def test_flip_is_the_sum_over_both_views(model: ModelFile) -> None:
    by_hand = unit(raw_by_hand(model, CROPS) + raw_by_hand(model, CROPS[:, :, ::-1]))
    flipped = Embedder(model, flip=True, batch_size=3).embed(CROPS)
    np.testing.assert_allclose(flipped, by_hand, atol=1e-5)
    assert np.abs(flipped - Embedder(model, flip=False).embed(CROPS)).max() > 0.01


def test_with_flip_a_mirrored_crop_is_the_same(model: ModelFile) -> None:
    embedder = Embedder(model, flip=True)
    mirrored = np.ascontiguousarray(CROPS[:, :, ::-1])
    np.testing.assert_allclose(embedder.embed(mirrored), embedder.embed(CROPS), atol=1e-5)
    plain = Embedder(model, flip=False)
    assert np.abs(plain.embed(mirrored) - plain.embed(CROPS)).max() > 0.01


@pytest.mark.parametrize("flip", [False, True])
def test_batch_size_and_threads_do_not_matter(model: ModelFile, flip: bool) -> None:
    expected = Embedder(model, flip=flip, threads=1, batch_size=1).embed(CROPS)
    for batch_size in (1, 2, 3, 4, 7, 8, 100):
        for threads in (1, 2, 4):
            embedder = Embedder(model, flip=flip, threads=threads, batch_size=batch_size)
            np.testing.assert_allclose(embedder.embed(CROPS), expected, atol=1e-5)
            np.testing.assert_allclose(embedder.embed(CROPS, threads=1), expected, atol=1e-5)
    for i in range(7):
        np.testing.assert_allclose(
            Embedder(model, flip=flip).embed(CROPS[i : i + 1])[0], expected[i], atol=1e-5
        )


def test_no_crops(model: ModelFile) -> None:
    vectors = Embedder(model, flip=True).embed(CROPS[:0])
    assert vectors.shape == (0, 32)
    assert vectors.dtype == np.float32


def test_people_are_told_apart(model: ModelFile) -> None:
    """The drawn people of these tests are worth something only while this holds."""
    vectors = Embedder(model).embed(CROPS)
    others = np.stack([draw((112, 112), [(57, 55, 82 + 4 * i, i)]) for i in range(7)])
    similarities = vectors @ Embedder(model).embed(others).T
    assert (similarities.argmax(axis=1) == np.arange(7)).all()
    assert similarities.diagonal().min() > 0.9


def test_bgr_for_rgb_is_noticed(model: ModelFile) -> None:
    embedder = Embedder(model)
    same = (embedder.embed(CROPS) * embedder.embed(np.ascontiguousarray(CROPS[..., ::-1]))).sum(axis=1)
    assert same.mean() < 0.9


@pytest.mark.parametrize(
    "crops",
    [
        CROPS.astype(np.float32),
        CROPS.astype(np.int64),
        CROPS[0],
        CROPS[:, :100],
        CROPS[:, :, :, :1],
        CROPS.transpose(0, 3, 1, 2),
        CROPS[:0, :5],
    ],
    ids=["float", "int64", "one crop", "not square", "one channel", "channels first", "none of another size"],
)
def test_crops_of_another_shape_or_type(model: ModelFile, crops: np.ndarray) -> None:
    with pytest.raises(SettingError, match=r"Expected uint8 crops of shape \(N, 112, 112, 3\)"):
        Embedder(model).embed(crops)


@pytest.mark.parametrize("batch_size", [0, -4])
def test_a_batch_size_below_one(model: ModelFile, batch_size: int) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        Embedder(model, batch_size=batch_size)


def test_a_detector_is_no_embedder(tiny_detector_file: Path) -> None:
    with pytest.raises(ModelError, match="not an embedder"):
        Embedder(read_model(tiny_detector_file))


def test_an_embedder_must_say_its_sizes(model: ModelFile, tmp_path: Path) -> None:
    for card in (
        replace(model.card, embedding_size=None),
        replace(model.card, preprocess=replace(model.card.preprocess, size=None)),
    ):
        with pytest.raises(ModelError, match="not an embedder"):
            Embedder(write_model(tmp_path / "vague.onnx", model.network, card))


@pytest.mark.parametrize("declared", [31, 33, 64])
def test_a_size_that_is_not_as_declared(model: ModelFile, tmp_path: Path, declared: int) -> None:
    wrong = write_model(tmp_path / "wrong.onnx", model.network, replace(model.card, embedding_size=declared))
    for flip in (False, True):
        with pytest.raises(ModelError, match=f"says it gives {declared} numbers a face, but gives 32"):
            Embedder(wrong, flip=flip).embed(CROPS)


def constant_model(path: Path, vector: np.ndarray) -> ModelFile:
    """A network that gives `vector` for every crop, plus a little of the crop's mean."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
            onnx.helper.make_node("Squeeze", ["mean", "axes"], ["scalar"]),
            onnx.helper.make_node("Mul", ["scalar", "nought"], ["zeros"]),
            onnx.helper.make_node("Add", ["zeros", "vector"], ["embedding"]),
        ],
        "constant",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 112, 112])],
        [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["n", 4])],
        [
            onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
            onnx.numpy_helper.from_array(np.zeros((1, 4), np.float32), "nought"),
            onnx.numpy_helper.from_array(vector.astype(np.float32).reshape(1, 4), "vector"),
        ],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    card = ModelCard(
        "embedder", "constant", "1", "MIT", "", Preprocess(112, (0, 0, 0), (1, 1, 1)), embedding_size=4
    )
    return write_model(path, made.SerializeToString(), card)


def test_a_constant_vector_is_made_unit(tmp_path: Path) -> None:
    vectors = Embedder(constant_model(tmp_path / "c.onnx", np.array([3, 0, 0, 4]))).embed(CROPS)
    np.testing.assert_allclose(vectors, np.tile([0.6, 0, 0, 0.8], (7, 1)), atol=1e-6)


@pytest.mark.parametrize(
    "vector",
    [[0, 0, 0, 0], [np.nan, 1, 1, 1], [np.inf, 0, 0, 0], [1e-20, 0, 0, 0]],
    ids=["zero", "nan", "inf", "almost zero"],
)
def test_a_vector_without_direction(tmp_path: Path, vector: list[float]) -> None:
    embedder = Embedder(constant_model(tmp_path / "c.onnx", np.array(vector)))
    with pytest.raises(ModelError, match="no direction"):
        embedder.embed(CROPS)


def test_large_vectors_do_not_overflow(tmp_path: Path) -> None:
    vectors = Embedder(constant_model(tmp_path / "c.onnx", np.array([3e30, 0, 0, 4e30]))).embed(CROPS[:1])
    np.testing.assert_allclose(vectors, [[0.6, 0, 0, 0.8]], atol=1e-6)


def test_what_it_says_of_itself(model: ModelFile) -> None:
    embedder = Embedder(model)
    assert (embedder.name, embedder.fingerprint) == ("tiny-embedder", model.fingerprint)
    assert (embedder.crop_size, embedder.embedding_size) == (112, 32)
    assert embedder.provider == "cpu"


def calibrated(path: Path, model: ModelFile, flip: bool) -> ModelFile:
    points = (Threshold(1e-3, 0.5, 0.0, 0.1, (0.0, 0.2)),)
    calibration = Calibration("LFW", "View 2", "00", 10, 10, flip, "tiny-detector", "11", points)
    return save_calibration(write_model(path, model.network, model.card), calibration)


@pytest.mark.parametrize("measured", [False, True])
def test_flips_as_it_was_calibrated(tmp_path: Path, model: ModelFile, measured: bool) -> None:
    own = calibrated(tmp_path / "m.onnx", model, measured)
    assert Embedder(own).flip is measured
    assert Embedder(own).calibration == own.card.calibration
    # A threshold measured one way says nothing of the other.
    other = Embedder(own, flip=not measured)
    assert other.flip is not measured
    assert other.calibration is None


def test_without_a_calibration_nothing_is_flipped(model: ModelFile) -> None:
    assert Embedder(model).flip is False
    assert Embedder(model).calibration is None


def test_asking_for_cuda_where_there_is_none(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"'cuda' was asked for, but this ONNX Runtime has only cpu"):
        Embedder(model, provider="cuda")
