"""Quantised models: other models, that say what they come from, and give nearly the same answers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.models import Calibration, ModelCard, ModelFile, Threshold, read_model, write_model
from facewise.models.export import export_onnx
from facewise.models.float_layers import float_layers, multiplications
from facewise.models.fuse import fuse
from facewise.models.half import half_weights
from facewise.models.int8 import is_reduced, to_int8
from facewise.models.onnxmeta import network_hash
from facewise.models.quantize import FORMATS, data_hash, quantize
from facewise.models.saturation import channel_bounds
from facewise.preprocess import Preprocess
from facewise.variants import variants_of

SIZE = 32
PREPROCESS = Preprocess(SIZE, (127.5, 120.0, 110.0), (127.5, 100.0, 90.0), "RGB", "5-point")


class Wide(nn.Module):
    """A little of everything: a narrow stem, depthwise and residual layers, ReLU6, a tail."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.widen = nn.Conv2d(16, 64, 1)
        self.depthwise = nn.Conv2d(64, 64, 3, 1, 1, groups=64)
        self.project = nn.Conv2d(64, 64, 1)
        self.more = nn.Conv2d(64, 64, 3, 2, 1)
        self.last = nn.Conv2d(64, 48, 8)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                spread = max(weight[0].numel(), 4) ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).clamp(0, 6)
        x = self.widen(x).clamp(0, 6)
        x = x + self.project(self.depthwise(x).clamp(0, 6))
        return self.last(self.more(x).relu()).flatten(1)


@pytest.fixture(scope="module")
def network() -> bytes:
    return export_onnx(Wide(), torch.zeros(1, 3, SIZE, SIZE), dynamic={0: "batch"}, outputs=("embedding",))


@pytest.fixture
def model(tmp_path: Path, network: bytes) -> ModelFile:
    points = (Threshold(1e-3, 0.3, 1e-3, 0.1, (0.0, 0.2)),)
    calibration = Calibration("drawings", "by hand", "0" * 64, 9, 9, True, "d", "f", points)
    card = ModelCard(
        "embedder", "wide", "3", "MIT", "drawn in tests", PREPROCESS, 48, None, {"seed": 7}, calibration
    )
    return write_model(tmp_path / "wide.onnx", network, card)


def pictures(count: int, seed: int, size: int = SIZE) -> list[np.ndarray]:
    """Smooth coloured blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3), dtype=np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


def nodes_of(network: bytes) -> list[onnx.NodeProto]:
    return list(onnx.load_model_from_string(network).graph.node)


def run(network: bytes, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: batch})
    return out


# Another model


@pytest.mark.parametrize("to", FORMATS)
def test_it_is_another_model_that_says_what_it_was_made_from(
    model: ModelFile, tmp_path: Path, to: str
) -> None:
    photos = pictures(20, 1)
    done = quantize(model, tmp_path / "small.onnx", to=to, photos=photos)
    assert (done.original, done.format, done.model.path) == (model, to, tmp_path / "small.onnx")
    assert done.model.fingerprint != model.fingerprint
    card = read_model(tmp_path / "small.onnx").card
    assert card.name == "small"
    assert card.calibration is None, "thresholds of the original are not its own"
    assert card.training["quantized_from"] == "wide"
    assert card.training["quantized_from_fingerprint"] == model.fingerprint
    assert card.training["quantization"].startswith(to[:4])
    assert card.training["seed"] == 7, "what was known of the training stays"
    assert replace(card, name="wide", training={}, calibration=None) == replace(
        model.card, training={}, calibration=None
    )
    if to == "int8":
        assert card.training["quantization_photos"] == 20
        assert card.training["quantization_data_hash"] == data_hash(photos) != data_hash(photos[::-1])


@pytest.mark.parametrize(("to", "least", "smaller"), [("int8", 0.99, 0.5), ("fp16", 0.99999, 0.56),
                                                      ("fp16-gpu", 0.9999, 0.56)])  # fmt: skip
def test_it_gives_nearly_the_same_embeddings_and_is_smaller(
    model: ModelFile, tmp_path: Path, to: str, least: float, smaller: float
) -> None:
    made = quantize(model, tmp_path / "small.onnx", to=to, photos=pictures(20, 1)).model
    crops = np.stack(pictures(30, 2))
    before, after = (
        Embedder(m, flip=False, threads=1, variant=variants_of(m)[0]).embed(crops) for m in (model, made)
    )
    if to == "int8":
        assert variants_of(made) == ("int8", "float")
        as_float = Embedder(made, flip=False, threads=1, variant="float").embed(crops)
        assert (before * as_float).sum(axis=1).min() > least
    assert (before * after).sum(axis=1).min() > least
    # The stem and the last layers stay in float, and here they are most of the weights.
    if to != "int8":
        assert len(made.network) < smaller * len(model.network)
    session = onnxruntime.InferenceSession(made.network, providers=["CPUExecutionProvider"])
    original = onnxruntime.InferenceSession(model.network, providers=["CPUExecutionProvider"])
    for ours, theirs in zip(
        [*session.get_inputs(), *session.get_outputs()],
        [*original.get_inputs(), *original.get_outputs()],
        strict=True,
    ):
        assert (ours.name, ours.type, ours.shape) == (theirs.name, theirs.type, theirs.shape)


def test_the_same_photos_give_the_same_file(model: ModelFile, tmp_path: Path) -> None:
    one, two = (
        quantize(model, tmp_path / f / "small.onnx", photos=pictures(6, 1)).model.sha256 for f in "ab"
    )
    assert one == two
    again = write_model(tmp_path / "later.onnx", model.network, replace(model.card, calibration=None))
    made = quantize(again, tmp_path / "c" / "small.onnx", photos=pictures(6, 1)).model
    first = read_model(tmp_path / "a" / "small.onnx")
    assert network_hash(made.network) == network_hash(first.network), "a calibration changes no weights"


# int8


def test_weights_have_a_scale_for_each_channel(network: bytes) -> None:
    made = to_int8(network, [PREPROCESS(picture[None]) for picture in pictures(8, 1)])
    assert (made.layers, made.in_float) == (4, 2)
    graph = onnx.load_model_from_string(made.network).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = 0
    originals = {p.shape: p.detach().numpy() for p in Wide().parameters() if p.dim() == 4}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or values.get(node.input[0]) is None:
            continue
        weight, scale, zero = (values[name] for name in node.input)
        if weight.dtype != np.int8:
            continue
        expected = originals[weight.shape]
        spread = np.abs(expected).reshape(len(expected), -1).max(axis=1)
        assert (scale >= 0.999 * spread / 127).all()
        assert (scale <= 2.02 * spread / 127).all(), "widened by the worst pair at most"
        assert not zero.any(), "symmetric"
        restored = weight * scale[:, None, None, None]
        assert (np.abs(restored - expected) <= 0.51 * scale[:, None, None, None]).all()
        found += 1
    assert found == made.layers


def test_no_pair_of_products_is_beyond_16_bits(network: bytes) -> None:
    """Where there is no VNNI, neighbours' products with activations up to 255 are added in 16 bits."""
    made = to_int8(network, [PREPROCESS(picture[None]) for picture in pictures(8, 1)])
    graph = onnx.load_model_from_string(made.network).graph
    weights = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == TensorProto.INT8]
    dense = [w for w in weights if w.ndim == 4 and w.shape[1] > 1]
    assert len(dense) == 3
    for weight in dense:
        rows = weight.astype(int).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        assert np.abs(rows[:, 0::2] + rows[:, 1::2]).max() * 255 <= 32767
    plain = channel_bounds(np.array([[1.0, -1.0, 0.5], [0.8, 0.6, 0.0], [0.0, 0.0, 0.0]], np.float32))
    np.testing.assert_allclose(plain, [1.0, 1.4, 1.0], rtol=0.02)


def test_activations_cost_nothing(network: bytes, tmp_path: Path) -> None:
    """What is quantised is fused to integer layers: no activation or float addition is left among them."""
    made = to_int8(network, [PREPROCESS(picture[None]) for picture in pictures(8, 1)])
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(made.network, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "opened.onnx").graph.node]
    assert kinds.count("QLinearConv") == 4
    assert kinds.count("QLinearAdd") == 1
    assert not {"Add", "Relu", "Clip"} & set(kinds)


def test_the_narrow_stem_and_the_tail_stay_in_float(network: bytes) -> None:
    model = fuse(network)
    feed = {"images": np.zeros((1, 3, SIZE, SIZE), np.float32)}
    by_shape = {
        node.name: tuple(tensor.dims)
        for node in model.graph.node
        for tensor in model.graph.initializer
        if node.op_type == "Conv" and tensor.name == node.input[1]
    }
    left = float_layers(model, feed, ("Conv",))
    assert [by_shape[name] for name in left] == [(16, 3, 3, 3), (48, 64, 8, 8)]
    counts = multiplications(model, feed)
    expected = {  # outputs × weights of a channel
        (16, 3, 3, 3): 16 * 16 * 16 * 27,
        (64, 16, 1, 1): 64 * 16 * 16 * 16,
        (64, 1, 3, 3): 64 * 16 * 16 * 9,
        (64, 64, 3, 3): 64 * 8 * 8 * 576,
        (64, 64, 1, 1): 64 * 16 * 16 * 64,
        (48, 64, 8, 8): 48 * 64 * 64,
    }
    assert {by_shape[name]: number for name, number in counts.items()} == expected


class Head(nn.Module):
    """A costly layer, then cheap ones: all but the first are the tail."""

    def __init__(self) -> None:
        super().__init__()
        self.costly = nn.Conv2d(3, 128, 8)
        self.cheap = nn.Linear(128, 64)
        self.cheaper = nn.Linear(64, 40)

    def forward(self, x: Tensor) -> Tensor:
        return self.cheaper(self.cheap(self.costly(x).amax(dim=(2, 3)).relu()).relu())


def test_cheap_layers_at_the_end_belong_to_the_tail() -> None:
    torch.manual_seed(0)
    onnx_bytes = export_onnx(Head(), torch.zeros(1, 3, 24, 24), dynamic={0: "batch"}, outputs=("out",))
    inputs = [np.random.default_rng(i).normal(size=(1, 3, 24, 24)).astype(np.float32) for i in range(4)]
    made = to_int8(onnx_bytes, inputs)
    assert (made.layers, made.in_float) == (1, 2)
    np.testing.assert_allclose(run(made.network, inputs[0]), run(onnx_bytes, inputs[0]), atol=0.1)


def test_calibration_takes_inputs_of_any_size() -> None:
    """As detectors have them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(),
                        nn.Conv2d(64, 4, 1))  # fmt: skip
    axes = {0: "batch", 2: "height", 3: "width"}
    onnx_bytes = export_onnx(net, torch.zeros(1, 3, 16, 16), dynamic=axes, outputs=("out",))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 3, h, w)).astype(np.float32) for h, w in ((16, 24), (31, 17), (48, 48))]
    made = to_int8(onnx_bytes, inputs)
    assert made.layers == 2
    for shape in ((1, 3, 40, 56), (2, 3, 16, 16)):
        batch = rng.normal(size=shape).astype(np.float32)
        expected = run(onnx_bytes, batch)
        assert np.abs(run(made.network, batch) - expected).max() < 0.05 * np.abs(expected).max()


def test_a_network_without_a_wide_layer_is_told(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    onnx_bytes = export_onnx(net, torch.zeros(1, 3, 16, 16), dynamic={0: "batch"}, outputs=("out",))
    with pytest.raises(ModelError, match="no layer that int8 would make faster"):
        to_int8(onnx_bytes, [np.zeros((1, 3, 16, 16), np.float32)])


def test_photos_the_network_does_not_take_are_told(network: bytes) -> None:
    with pytest.raises(ModelError, match="does not run on the photos"):
        to_int8(network, [np.zeros((1, 3, 5, 5), np.float32)])


# fp16


def test_fp16_weights_are_the_nearest_in_16_bits(network: bytes) -> None:
    made = half_weights(network)
    halves = {
        tensor.dims[0:4].__str__(): numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(made).graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    }
    for weight in Wide().parameters():
        if weight.dim() == 4:
            expected = weight.detach().numpy().astype(np.float16)
            np.testing.assert_array_equal(halves[str(list(weight.shape))], expected)
    # Computed in float32: as a network with those weights gives.
    rounded = Wide()
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.numel() >= 64:
                weight.copy_(weight.half().float())
    batch = np.random.default_rng(0).normal(size=(2, 3, SIZE, SIZE)).astype(np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(run(made, batch), rounded(torch.from_numpy(batch)), atol=1e-4)


def test_weights_beyond_16_bits_stay_as_they_are() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 8, 3))
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = 1e6
    onnx_bytes = export_onnx(net, torch.zeros(1, 3, 8, 8), dynamic={0: "batch"}, outputs=("out",))
    types = {
        tuple(tensor.dims): tensor.data_type
        for tensor in onnx.load_model_from_string(half_weights(onnx_bytes)).graph.initializer
    }
    assert types[64, 3, 3, 3] == TensorProto.FLOAT
    assert types[8, 64, 3, 3] == TensorProto.FLOAT16
    small = export_onnx(nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8), dynamic={0: "batch"}, outputs=("out",))
    with pytest.raises(ModelError, match="no float32 weights"):
        half_weights(small)


# Fusion


def test_fusion_folds_batch_norms_and_keeps_the_numbers() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    net[1].running_mean.uniform_(-1, 1)
    net[1].running_var.uniform_(0.5, 2)
    net.train(False)
    # As an exporter that folds nothing writes it.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, 8, 8),), buffer := io.BytesIO(), dynamo=False,
                          opset_version=11, do_constant_folding=False, input_names=["x"], output_names=["y"],
                          training=torch.onnx.TrainingMode.PRESERVE)  # fmt: skip
    before = buffer.getvalue()
    assert "BatchNormalization" in {node.op_type for node in nodes_of(before)}
    after = fuse(before)
    assert [node.op_type for node in after.graph.node] == ["Conv", "Relu", "Flatten"]
    assert next(e.version for e in after.opset_import if not e.domain) >= 13
    assert len({node.name for node in after.graph.node}) == 3
    batch = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(after.SerializeToString(), batch), run(before, batch), atol=1e-5)


# What is refused


def test_a_quantised_model_is_not_quantised_again(model: ModelFile, tmp_path: Path) -> None:
    for to in FORMATS:
        made = quantize(model, tmp_path / f"{to}.onnx", to=to, photos=pictures(4, 1)).model
        assert is_reduced(made.network)
        with pytest.raises(ModelError, match="quantised already: quantise wide"):
            quantize(made, tmp_path / "again.onnx", to="fp16")
        # Also where the card does not say so, as with a file from elsewhere.
        bare = write_model(tmp_path / "bare.onnx", made.network, replace(made.card, training={}))
        with pytest.raises(ModelError, match="quantised already"):
            quantize(bare, tmp_path / "again.onnx", to="fp16")
    assert not is_reduced(model.network)
    assert not (tmp_path / "again.onnx").exists()


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda _: {"to": "int4"}, SettingError, "There is no format 'int4'; did you mean int8"),
        (lambda _: {"photos": ()}, SettingError, "calibrated on photos"),
        (lambda f: {"path": f / "wide.onnx"}, SettingError, "is the model itself"),
        (lambda f: {"path": f / "wide.onnx" / "x.onnx"}, FacewiseError, "Cannot write"),
    ],
)
def test_what_makes_no_sense_is_told(
    model: ModelFile, tmp_path: Path, change: Callable[[Path], dict], error: type, told: str
) -> None:
    asked = {"path": tmp_path / "new.onnx", "to": "int8", "photos": pictures(4, 1)} | change(tmp_path)
    with pytest.raises(error, match=told):
        quantize(model, **asked)
    assert [file.name for file in tmp_path.iterdir()] == ["wide.onnx"]
    assert read_model(model.path).fingerprint == model.fingerprint


def test_a_model_that_fails_its_check_does_not_take_its_place(model: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "new.onnx").write_bytes(b"what was there before")
    seen: list[ModelFile] = []

    def check(made: ModelFile) -> None:
        seen.append(read_model(made.path))
        raise ModelError("It is broken.")

    with pytest.raises(ModelError, match="It is broken"):
        quantize(model, tmp_path / "new.onnx", photos=pictures(4, 1), check=check)
    assert seen[0].card.name == "new"
    assert (tmp_path / "new.onnx").read_bytes() == b"what was there before"
    assert {file.name for file in tmp_path.iterdir()} == {"new.onnx", "wide.onnx"}


def test_a_damaged_network_is_told(model: ModelFile, tmp_path: Path) -> None:
    graph = onnx.load_model_from_string(model.network)
    graph.graph.node[1].op_type = "NoSuchOperator"
    broken = write_model(tmp_path / "broken.onnx", graph.SerializeToString(), model.card)
    for to in FORMATS:
        with pytest.raises(ModelError, match="cannot be optimised"):
            quantize(broken, tmp_path / "new.onnx", to=to, photos=pictures(4, 1))
