"""TFLite to ONNX: operators against their definition, MediaPipe's networks against LiteRT, hostile files."""

from __future__ import annotations

import struct
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tflite_writer import Net

from facewise.errors import ModelError
from facewise.models.tflite import convert, read_graph

GOLDEN = Path(__file__).parent / "litert_golden.npz"
RNG = np.random.default_rng(3)


def run(data: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    """What the converted network gives; images are given and taken as TFLite has them."""
    graph = read_graph(data)
    made = convert(graph, "net")

    def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    values = [x.transpose(0, 3, 1, 2) if x.ndim == 4 else x for x in inputs]
    model = helper.make_model(
        helper.make_graph(
            made.nodes,
            "net",
            [value(name, x.shape) for name, x in zip(made.inputs, values, strict=True)],
            [
                value(name, graph.tensors[i].shape)
                for name, i in zip(made.outputs, graph.outputs, strict=True)
            ],
            made.initializers(),
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(made.inputs, values, strict=True)))


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def one_step(kind: str, source: np.ndarray, constants: list[np.ndarray], shape: tuple[int, ...], **options):
    """What one operator gives of one input and constants."""
    net = Net()
    net.inputs = [net.tensor(source.shape)]
    net.outputs = [net.step(kind, [*net.inputs, *(net.constant(c) for c in constants)], shape, **options)]
    (found,) = run(net.to_bytes(), source)
    assert found.shape == shape
    return found


def same_padding(length: int, window: int, stride: int) -> int:
    """How much TensorFlow pads before, so that ceil(length / stride) windows fit; the rest is after."""
    return max((-(-length // stride) - 1) * stride + window - length, 0) // 2


def slow_convolution(x, kernel, bias, stride, *, same, dilation=1):
    """As its definition says: (H, W, I) with (O, h, w, I)."""
    _, high, wide, _ = kernel.shape
    reach = (high - 1) * dilation + 1, (wide - 1) * dilation + 1
    before = [same_padding(x.shape[i], reach[i], stride) if same else 0 for i in (0, 1)]
    size = [-(-x.shape[i] // stride) if same else (x.shape[i] - reach[i]) // stride + 1 for i in (0, 1)]
    out = np.tile(bias.astype(np.float64), (*size, 1))
    for row, column, i, j in product(range(size[0]), range(size[1]), range(high), range(wide)):
        r, c = row * stride + i * dilation - before[0], column * stride + j * dilation - before[1]
        if 0 <= r < x.shape[0] and 0 <= c < x.shape[1]:
            out[row, column] += kernel[:, i, j].astype(np.float64) @ x[r, c]
    return out


@pytest.mark.parametrize(
    ("height", "width", "window", "stride", "same", "dilation"),
    [
        (7, 8, 3, 2, True, 1), (8, 7, 2, 2, True, 1), (9, 9, 3, 1, False, 2), (6, 5, 5, 1, True, 1),
        (4, 4, 1, 1, False, 1),
    ],
)  # fmt: skip
def test_convolutions(height, width, window, stride, same, dilation) -> None:
    x, kernel, bias = numbers(1, height, width, 3), numbers(4, window, window, 3), numbers(4)
    expected = slow_convolution(x[0], kernel, bias, stride, same=same, dilation=dilation)
    found = one_step(
        "CONV_2D", x, [kernel, bias], (1, *expected.shape),
        ints={1: stride, 2: stride, 4: dilation, 5: dilation}, bytes_={0: int(not same), 3: 1},
    )  # fmt: skip
    np.testing.assert_allclose(found[0], np.maximum(expected, 0), atol=1e-4)


@pytest.mark.parametrize("same", [True, False])
def test_depthwise_convolutions(same: bool) -> None:
    x, kernel, bias = numbers(1, 7, 6, 2), numbers(1, 3, 3, 4), numbers(4)  # a multiplier of two
    own = [
        slow_convolution(x[0, :, :, c // 2 : c // 2 + 1], kernel[..., c, None], bias[c : c + 1], 2, same=same)
        for c in range(4)
    ]
    expected = np.concatenate(own, axis=-1)
    found = one_step(
        "DEPTHWISE_CONV_2D", x, [kernel, bias], (1, *expected.shape),
        ints={1: 2, 2: 2, 3: 2}, bytes_={0: int(not same), 4: 3},
    )  # fmt: skip
    np.testing.assert_allclose(found[0], np.clip(expected, 0, 6), atol=1e-4)


@pytest.mark.parametrize("length", [6, 7])
def test_pooling(length: int) -> None:
    x, size = numbers(1, length, length, 2), -(-length // 2)
    padded = np.pad(x[0], ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    expected = np.array(
        [[padded[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max((0, 1)) for c in range(size)] for r in range(size)]
    )
    found = one_step("MAX_POOL_2D", x, [], (1, size, size, 2), ints={1: 2, 2: 2, 3: 2, 4: 2})
    np.testing.assert_array_equal(found[0], expected)


def test_images_meet_constants_by_their_last_axes() -> None:
    x, slope, row = numbers(1, 4, 5, 3), numbers(1, 1, 3), numbers(5, 3)
    np.testing.assert_allclose(
        one_step("PRELU", x, [slope], x.shape), np.where(x < 0, slope * x, x), atol=1e-6
    )
    np.testing.assert_allclose(one_step("ADD", x, [row], x.shape), x + row, atol=1e-6)
    np.testing.assert_allclose(one_step("MUL", x, [np.float32(2.5).reshape(())], x.shape), x * 2.5, atol=1e-6)
    wider = one_step("PAD", x, [np.array([[0, 0], [1, 0], [0, 2], [0, 4]], np.int32)], (1, 5, 7, 7))
    np.testing.assert_array_equal(wider, np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 4))))


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("LOGISTIC", lambda x: 1 / (1 + np.exp(-x))),
        ("RELU", lambda x: np.maximum(x, 0)),
        ("NEG", np.negative),
        ("SQRT", np.sqrt),
        ("RSQRT", lambda x: 1 / np.sqrt(x)),
    ],
)
def test_functions_of_one_number(kind: str, function) -> None:
    x = np.abs(numbers(2, 3)) + np.float32(0.1)
    np.testing.assert_allclose(one_step(kind, x, [], x.shape), function(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "function"),
    [("SUB", np.subtract), ("DIV", np.divide), ("SQUARED_DIFFERENCE", lambda a, b: (a - b) ** 2)],
)
def test_functions_of_two_numbers(kind: str, function) -> None:
    a, b = numbers(1, 3, 4), numbers(4) + np.float32(5)
    np.testing.assert_allclose(one_step(kind, a, [b], a.shape), function(a, b), rtol=1e-5)


def test_sums_and_means_over_axes() -> None:
    x = numbers(1, 3, 4, 2)
    found = one_step("MEAN", x, [np.array([-1], np.int32)], (1, 3, 4, 1), bytes_={0: 1})
    np.testing.assert_allclose(found, x.mean(-1, keepdims=True), atol=1e-6)
    found = one_step("SUM", x, [np.array([1, 2], np.int32)], (1, 2))
    np.testing.assert_allclose(found, x.sum((1, 2)), atol=1e-5)


def test_shapes_are_changed_as_tflite_does_it() -> None:
    x = numbers(1, 3, 4, 2)
    axes = np.array([0, 1, 3, 2], np.int32)
    np.testing.assert_array_equal(one_step("TRANSPOSE", x, [axes], (1, 3, 2, 4)), x.transpose(0, 1, 3, 2))
    shape = np.array([1, 24], np.int32)
    np.testing.assert_array_equal(one_step("RESHAPE", x, [shape], (1, 24)), x.reshape(1, 24))
    bounds = [np.array(v, np.int32) for v in ([0, 1, 2, 0], [1, 3, 0, 2], [1, 1, 1, 2])]
    found = one_step("STRIDED_SLICE", x, bounds, (1, 2, 1), ints={1: 0, 4: 0b100})
    np.testing.assert_array_equal(found, x[:, 1:3, 2, ::2])
    first = numbers(1, 1, 4, 2)
    net = Net()
    net.inputs = [net.tensor(x.shape)]
    net.outputs = [net.step("CONCATENATION", [net.constant(first), *net.inputs], (1, 4, 4, 2), ints={0: -3})]
    np.testing.assert_array_equal(run(net.to_bytes(), x)[0], np.concatenate([first, x], axis=1))


def test_half_precision_weights_become_the_same_numbers() -> None:
    weights = np.array([1.0, 6.1e-5, -65504.0, 5.96e-8, 0.1], np.float16)
    net = Net()
    net.inputs = [net.tensor((1, 5))]
    wide = net.step("DEQUANTIZE", [net.constant(weights)], (5,))
    net.outputs = [net.step("MUL", [*net.inputs, wide], (1, 5))]
    (found,) = run(net.to_bytes(), np.ones((1, 5), np.float32))
    np.testing.assert_array_equal(found[0], weights.astype(np.float64))


def a_network() -> Net:
    """One that has a bit of everything: two branches of an image, joined and reduced."""
    net = Net()
    source = net.tensor((1, 8, 8, 3))
    kernel, bias = net.constant(numbers(4, 3, 3, 3)), net.constant(numbers(4))
    left = net.step("CONV_2D", [source, kernel, bias], (1, 4, 4, 4), ints={1: 2, 2: 2})
    pooled = net.step("MAX_POOL_2D", [source], (1, 4, 4, 3), ints={1: 2, 2: 2, 3: 2, 4: 2})
    pads = net.constant(np.array([[0, 0], [0, 0], [0, 0], [0, 1]], np.int32))
    right = net.step("PAD", [pooled, pads], (1, 4, 4, 4))
    joined = net.step("ADD", [left, right], (1, 4, 4, 4), bytes_={0: 1})
    shape = net.constant(np.array([1, 64], np.int32))
    net.inputs, net.outputs = [source], [net.step("RESHAPE", [joined, shape], (1, 64))]
    return net


def test_a_network_of_branches_is_as_by_hand() -> None:
    net, x = a_network(), numbers(1, 8, 8, 3)
    kernel, bias = (net.tensors[i][2] for i in (1, 2))
    left = slow_convolution(x[0], kernel, bias, 2, same=True)
    right = np.pad(x[0].reshape(4, 2, 4, 2, 3).max((1, 3)), ((0, 0), (0, 0), (0, 1)))
    (found,) = run(net.to_bytes(), x)
    np.testing.assert_allclose(found[0], np.maximum(left + right, 0).ravel(), atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda net: net.to_bytes(version=4), "version 4"),
        (lambda net: net.to_bytes(graphs=2), "2 graphs"),
        (lambda net: net.step("HARD_SWISH", net.inputs, (1, 8, 8, 3)) and net.to_bytes(), "number 117"),
        (lambda net: net.step("RELU", [99], (1,)) and net.to_bytes(), "not there"),
        (lambda net: net.step("RELU", [net.tensor((2,))], (2,)) and net.to_bytes(), "not there yet"),
        (lambda net: net.constant(np.zeros(4, np.uint8)) and net.to_bytes(), "type"),
        (lambda net: net.tensor((1 << 20, 1 << 20)) and net.to_bytes(), "shape"),
        (lambda net: net.tensor((2, -1)) and net.to_bytes(), "shape"),
        (lambda net: setattr(net, "outputs", [net.tensor((1,))]) or net.to_bytes(), "made by no operator"),
        (lambda net: setattr(net, "inputs", []) or net.to_bytes(), "no input"),
        (lambda net: b"PK\3\4" + net.to_bytes(), "TFL3"),
        (lambda _: b"", "TFL3"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_told(spoil, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read_graph(spoil(a_network()))


def test_a_file_that_makes_much_of_little_is_refused() -> None:
    net, large = a_network(), np.zeros(1 << 22, np.float32)
    for _ in range(5):
        net.constant(large)
    with pytest.raises(ModelError, match="64 MB"):
        read_graph(net.to_bytes())
    data = bytearray(net.to_bytes()[:1000])
    with pytest.raises(ModelError):
        read_graph(bytes(data))


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_refused_in_a_sentence_or_read(data) -> None:
    whole = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 4))
        value = data.draw(st.one_of(st.integers(0, 255), st.integers(0, 2**32 - 1)))
        if value < 256:
            whole[at] = value
        else:
            struct.pack_into("<I", whole, at, value)
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        try:
            convert(read_graph(damaged), "net")
        except ModelError as error:
            assert str(error).startswith("it")  # noqa: PT017


WHOLE = a_network().to_bytes()


@pytest.mark.real
@pytest.mark.parametrize("name", ["face_landmarks_detector", "face_blendshapes", "face_detector"])
def test_mediapipes_networks_give_what_litert_gives(shared: Path, name: str) -> None:
    """The golden file is written by scripts/litert_golden.py, in an environment that has LiteRT."""
    with zipfile.ZipFile(shared / "models" / "face_landmarker_v2_with_blendshapes.task") as task:
        data = task.read(f"{name}.tflite")
    golden = np.load(GOLDEN)
    shape = read_graph(data).tensors[read_graph(data).inputs[0]].shape
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = run(data, x)
    for i, output in enumerate(found):
        expected = golden[f"{name}.{i}"]
        assert np.abs(output - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.real
def test_weights_stay_bit_for_bit(shared: Path) -> None:
    with zipfile.ZipFile(shared / "models" / "face_landmarker_v2_with_blendshapes.task") as task:
        files = {name: task.read(name) for name in task.namelist() if name.endswith(".tflite")}
    for data in files.values():
        graph = read_graph(data)
        made = convert(graph, "net").weights
        kept = {np.sort(value.ravel()).tobytes() for value in made.values() if value.dtype == np.float32}
        for tensor in graph.tensors:
            if tensor.value is not None and tensor.dtype.kind == "f":
                assert np.sort(tensor.value.astype(np.float32).ravel()).tobytes() in kept, tensor.name
