"""The float network within an int8 one: the same weights, without the rounding of activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from facewise.errors import ModelError
from facewise.models.bundled import BUNDLED_MODELS, bundled_path
from facewise.models.export import export_onnx
from facewise.models.file import read_model
from facewise.models.float_form import float_form, is_int8
from facewise.models.int8 import to_int8

SIZE = 16
ROUNDING = ("QuantizeLinear", "DequantizeLinear")


class Layers(nn.Module):
    """Wide enough for int8: ReLU6, ReLU, none, a residual, a pooling, matrices with and without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, 64, 3, 2, 1)
        self.depthwise = nn.Conv2d(64, 64, 3, 1, 1, groups=64)
        self.project = nn.Conv2d(64, 64, 1, bias=False)
        self.more = nn.Conv2d(64, 64, 3, 2, 1)
        self.inner, self.last = nn.Linear(256, 512), nn.Linear(512, 16)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in self.parameters():
                spread = max(weight[0].numel(), 4) ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
            self.widen.weight.mul_(3)  # so that its ReLU6 has something to do at 6

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x).clamp(0, 6)
        x = x + self.project(self.depthwise(x).relu())
        x = nn.functional.max_pool2d(self.more(x).relu(), 2)
        return self.last(self.inner(x.flatten(1)).relu())


INPUTS = [np.random.default_rng(i).normal(size=(2, 3, SIZE, SIZE)).astype(np.float32) for i in range(6)]


@pytest.fixture(scope="module")
def original() -> bytes:
    return export_onnx(Layers(), torch.zeros(1, 3, SIZE, SIZE), dynamic={0: "batch"}, outputs=("embedding",))


@pytest.fixture(scope="module")
def int8(original: bytes) -> bytes:
    return to_int8(original, INPUTS).network


def run(network: bytes, batch: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: batch})
    return np.asarray(out)


def operators(network: bytes) -> set[str]:
    return {node.op_type for node in onnx.load_from_string(network).graph.node}


def with_weights_of(network: bytes, int8: bytes) -> bytes:
    """The float network, by onnx alone, with each weight as near as the int8 network's are."""
    model, other = onnx.load_from_string(network), onnx.load_from_string(int8)
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in other.graph.initializer}
    rounded = {}
    for node in other.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in known:
            axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
            values, scale, zero = (known[name] for name in node.input)
            shape = [-1 if i == axis else 1 for i in range(values.ndim)] if scale.ndim else []
            name = node.input[0].removesuffix("_quantized")
            rounded[name] = (values.astype(np.float64) - zero.reshape(shape)) * scale.reshape(shape)
    for tensor in model.graph.initializer:
        if tensor.name in rounded:
            tensor.CopyFrom(numpy_helper.from_array(rounded[tensor.name].astype(np.float32), tensor.name))
    return bytes(model.SerializeToString())


def test_it_computes_with_the_int8_weights_in_float(original: bytes, int8: bytes) -> None:
    made = float_form(int8)
    assert made is not None
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    expected = run(with_weights_of(original, int8), INPUTS[0])
    assert np.abs(expected - run(original, INPUTS[0])).max() > 1e-3  # the weights were rounded
    np.testing.assert_allclose(run(made, INPUTS[0]), expected, atol=1e-4)
    assert operators(int8).issuperset(ROUNDING)
    assert operators(made).isdisjoint(ROUNDING)


def test_it_is_nearly_the_int8_network(int8: bytes) -> None:
    made = float_form(int8)
    assert made is not None
    a, b = run(made, INPUTS[1]), run(int8, INPUTS[1])
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.995
    assert not np.array_equal(a, b)


def test_a_float_network_is_none_and_holds_itself(original: bytes) -> None:
    assert not is_int8(original)
    same = float_form(original)
    assert same is not None
    np.testing.assert_array_equal(run(same, INPUTS[0]), run(original, INPUTS[0]))


def test_the_bundled_embedder_holds_one() -> None:
    path = bundled_path(BUNDLED_MODELS["embedder"])
    assert path is not None
    network = read_model(path).network
    made = float_form(network)
    assert made is not None
    assert is_int8(network)
    assert not is_int8(made)
    # All but the two ReLUs, which ONNX Runtime fuses into the layers before them, were ReLU6.
    kinds = [node.op_type for node in onnx.load_from_string(made).graph.node]
    assert (kinds.count("Clip"), kinds.count("Relu"), kinds.count("Conv")) == (32, 2, 51)


def rounding(
    scale: float, zero: int, kind: int = TensorProto.UINT8, *, raw: bool = False, back: str = "rounded"
) -> bytes:
    """A network that does nothing but round its input to 8 bits."""
    tensors = [("scale", TensorProto.FLOAT, scale), ("zero", kind, zero)]
    kept = [
        numpy_helper.from_array(np.array(value, helper.tensor_dtype_to_np_dtype(type_)), name)
        if raw
        else helper.make_tensor(name, type_, [], [value])
        for name, type_, value in tensors
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["rounded"]),
        helper.make_node("Identity", ["rounded"], ["passed"]),
        helper.make_node("DequantizeLinear", [back, "scale", "zero"], ["y"]),
    ]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5]) for name in "xy"]
    graph = helper.make_graph(nodes, "rounding", shapes[:1], shapes[1:], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


VALUES = np.array([[-9.0, -0.5, 0.25, 5.5, 99.0]], np.float32)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("scale", "zero", "kind", "expected"),
    [
        (6 / 255, 0, TensorProto.UINT8, np.clip(VALUES, 0, 6)),
        (0.1, 0, TensorProto.UINT8, np.maximum(VALUES, 0)),
        (0.1, -128, TensorProto.INT8, np.maximum(VALUES, 0)),
        (0.1, 7, TensorProto.UINT8, VALUES),
        (0.1, 0, TensorProto.INT8, VALUES),
    ],
)
def test_a_range_from_zero_was_a_relu(
    scale: float, zero: int, kind: int, expected: np.ndarray, *, raw: bool
) -> None:
    made = float_form(rounding(scale, zero, kind, raw=raw))
    assert made is not None
    np.testing.assert_allclose(run(made, VALUES), expected, rtol=1e-6)


def graph_of(*nodes: onnx.NodeProto) -> bytes:
    model = helper.make_model(helper.make_graph(list(nodes), "other", [], []))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: rounding(0.1, 0, back="passed"), id="rounded numbers that go elsewhere"),
        pytest.param(
            lambda: graph_of(helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"])),
            id="scales found at run time",
        ),
        pytest.param(
            lambda: graph_of(helper.make_node("QLinearAdd", list("abcdefgh"), ["y"], domain="com.microsoft")),
            id="operators on integers",
        ),
        pytest.param(
            lambda: graph_of(helper.make_node("QuantizeLinear", ["x", "computed"], ["y"])),
            id="a scale that is computed",
        ),
    ],
)
def test_of_other_forms_there_is_none(network: Callable[[], bytes]) -> None:
    assert is_int8(network())
    assert float_form(network()) is None


@pytest.mark.parametrize("damage", [lambda data: data[:-3000], lambda _: b"\xff" * 40, lambda _: b""])
def test_a_damaged_file_is_told(int8: bytes, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ModelError, match="not an ONNX file"):
        float_form(damage(int8))
