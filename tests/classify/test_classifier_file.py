"""Classifier files: read back, computed as ONNX Runtime does, and nothing else is taken from anybody."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from facewise.classify import Classifier, ClassifierCard, UnknownRule, read_classifier, write_classifier
from facewise.classify.build import Builder, head_network
from facewise.classify.graph import MOST_FIELDS
from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.models.onnxmeta import replace_metadata
from facewise.models.trained_on import TrainedOn
from mutations import bits_flipped, length_changed, overwritten, spliced, truncated

D, PEOPLE = 16, ("Ada", "Bo", "Cy", "Dee", "Eve")
C = len(PEOPLE)
RULE = UnknownRule("similarity", 0.3, "a test")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def card(**changes: object) -> ClassifierCard:
    plain = ClassifierCard("head", PEOPLE, "tiny", "f" * 64, D, results={"top1": 0.9})
    return replace(plain, **changes)  # type: ignore[arg-type]


def kernel_network() -> bytes:
    """An RBF machine, nearest neighbours added: every operator but LpNormalization."""
    build = Builder(D)
    centred = build.times(build.minus(build.input, numbers(D)), 0.5)
    machine = build.affine(build.rbf(centred, numbers(9, D), 0.1), numbers(9, C, seed=1), numbers(C))
    near = build.nearest(build.affine(build.input, numbers(D, 9, seed=2)), 3, np.eye(9)[:, :C])
    return build.finish(build.plus(machine, near))


def networks() -> dict[str, bytes]:
    return {
        "kernel": kernel_network(),
        "head": head_network(numbers(C, D), numbers(C)),
        "cosines": head_network(numbers(C, D), scale=16, unit=True, similarities=numbers(C, D, seed=3)),
    }


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "good.onnx", networks()["cosines"], card(unknown=RULE)).path


@pytest.fixture
def changed(good: Path, tmp_path: Path) -> Callable[[Callable[[onnx.ModelProto], None]], Path]:
    """`changed(edit)`: the path of a copy of a good file, edited as ONNX."""

    def make(edit: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(good)
        edit(model)
        path = tmp_path / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return make


@pytest.mark.parametrize("name", ["kernel", "head", "cosines"])
def test_computes_what_onnx_runtime_does(name: str, tmp_path: Path) -> None:
    network = networks()[name]
    onnx.checker.check_model(onnx.load_from_string(network), full_check=True)
    file = write_classifier(tmp_path / "a.onnx", network, card())
    vectors = numbers(50, D, seed=5)
    expected = ort.InferenceSession(file.path).run(["probabilities"], {"embeddings": vectors})[0]
    np.testing.assert_allclose(Classifier(file).probabilities(vectors), expected, atol=1e-6)


def test_many_faces_are_computed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(write_classifier(tmp_path / "a.onnx", kernel_network(), card()))
    vectors = numbers(100, D)
    whole = classifier.probabilities(vectors)
    monkeypatch.setattr("facewise.classify.algebra._BLOCK", 300)
    np.testing.assert_allclose(classifier.probabilities(vectors), whole, atol=1e-6)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    trained_on = TrainedOn.of(2, PEOPLE, ["0" * 64, "f" * 64], [])
    said = card(unknown=replace(RULE, numbers={"fpir": 0.01}), trained_on=trained_on, flip=True)
    file = write_classifier(tmp_path / "a.onnx", networks()["cosines"], said)
    assert read_classifier(file.path).card == said == file.card
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*"))


def test_names_who_is_alike_and_nobody_else(good: Path) -> None:
    classifier = Classifier(good)
    vectors = numbers(40, D, seed=8)
    similar = unit(vectors) @ unit(numbers(C, D, seed=3)).T
    for i, found in enumerate(classifier.predict(vectors)):
        best = int(classifier.probabilities(vectors[i : i + 1]).argmax())
        assert found.likeliest == PEOPLE[best]
        assert found.similarity == pytest.approx(similar[i, best], abs=1e-5)
        assert found.person == (PEOPLE[best] if similar[i, best] >= 0.3 else None)
    assert {f.person for f in classifier.predict(vectors)} > {None}
    assert None not in {f.person for f in classifier.predict(vectors, unknown=False)}
    assert {f.person for f in classifier.predict(vectors, threshold=1.1)} == {None}
    assert classifier.predict(vectors[:0]) == []


def test_rule_by_probability(tmp_path: Path) -> None:
    rule = UnknownRule("probability", 0.6, "a test")
    file = write_classifier(tmp_path / "a.onnx", networks()["head"], card(unknown=rule))
    found = Classifier(file).predict(numbers(60, D))
    assert {f.person is None for f in found} == {True, False}
    assert all((f.probability >= 0.6) == (f.person is not None) and f.similarity is None for f in found)


def test_without_a_rule_everybody_has_a_name(tmp_path: Path) -> None:
    classifier = Classifier(write_classifier(tmp_path / "a.onnx", networks()["head"], card()))
    assert None not in {f.person for f in classifier.predict(numbers(60, D))}
    with pytest.raises(SettingError, match="here there is none"):
        classifier.predict(numbers(1, D), threshold=0.2)


@pytest.mark.parametrize("wrong", [numbers(3, D + 1), numbers(D), np.full((1, D), np.nan, np.float32)])
def test_refuses_other_vectors(good: Path, wrong: np.ndarray) -> None:
    with pytest.raises(SettingError, match="embeddings of 16"):
        Classifier(good).probabilities(wrong)


def test_refuses_another_model(good: Path) -> None:
    Classifier(good).check_model("f" * 64)
    with pytest.raises(ModelError, match=r"fitted on embeddings of tiny .* name tiny"):
        Classifier(good).check_model("e" * 64)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"people": PEOPLE[:4]}, "each of its 4 people"),
        ({"people": ("Ada",) * 5}, "each once"),
        ({"model": "A\x1b[2J"}, "control characters"),
        ({"embedding_size": D + 1}, "MatMul"),
        ({"embedding_size": 0}, "makes no sense"),
        ({"method": "tree"}, "unknown; there are svc"),
        ({"features": "cooked"}, "makes no sense"),
        ({"unknown": RULE}, "gives none"),
        ({"unknown": UnknownRule("mood", 0.3, "")}, "makes no sense"),
        ({"results": {"top1": float("nan")}}, "no JSON"),
        ({"results": {"top1": object()}}, "no JSON"),
    ],
)
def test_what_would_be_refused_is_not_written(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        write_classifier(tmp_path / "a.onnx", networks()["head"], card(**changes))
    assert not list(tmp_path.iterdir())


def test_its_name_ends_in_onnx(tmp_path: Path) -> None:
    with pytest.raises(FacewiseError, match=r"name it a\.onnx"):
        write_classifier(tmp_path / "a.pkl", networks()["head"], card())


def test_naming_people_needs_none_of_what_fitting_needs() -> None:
    """numpy does it: no ONNX Runtime either, which would see the file of whoever made it."""
    heavy = ["torch", "sklearn", "scipy", "onnx", "skl2onnx", "onnxruntime", "matplotlib"]
    code = f"import facewise.classify, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# From here on: files from anybody.


def test_a_pickle_that_is_called_onnx_runs_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {touched}",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.onnx").write_bytes(pickle.dumps(Evil(), protocol))
        with pytest.raises(ModelError, match="not a classifier file that can be used"):
            read_classifier(tmp_path / "a.onnx")
    assert not touched.exists()


def test_weights_in_another_file_are_not_read(changed: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(numbers(D * C).tobytes())

    def point_elsewhere(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "secret", "offset": "0", "length": str(4 * D * C)}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    path = changed(point_elsewhere)
    ort.InferenceSession(path)  # which would read it
    with pytest.raises(ModelError, match="tensor has a field"):
        read_classifier(path)


def other_domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def other_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Loop"


def operator_of_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "my.own"


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="MatMul")


def inner_graph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", onnx.GraphProto(name="inner")))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", D]))


def output_of_another_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "similarities"


def output_that_is_not_there(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nothing"


def not_finite(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.raw_data = np.full(tensor.dims, np.inf, np.float32).tobytes()


def too_large_numbers(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        tensor.raw_data = np.full(tensor.dims, 3e38, np.float32).tobytes()


def a_size_that_is_not_its_own(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def no_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def strings(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


def backwards(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def logits_called_probabilities(model: onnx.ModelProto) -> None:
    del model.graph.node[-1]
    model.graph.node[-1].output[0] = "probabilities"


def other_axis(model: onnx.ModelProto) -> None:
    model.graph.node[-1].attribute[0].i = 0


def growing(model: onnx.ModelProto) -> None:
    """Two small constants whose product would be large, and depend on nothing."""
    model.graph.initializer.append(numpy_helper.from_array(numbers(90_000, 1), "tall"))
    model.graph.initializer.append(numpy_helper.from_array(numbers(1, 90_000), "wide"))
    model.graph.node.insert(0, helper.make_node("MatMul", ["tall", "wide"], ["huge"]))


def growing_by_faces(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(numbers(D, 300_000), "wide"))
    for i in range(14):
        model.graph.node.insert(0, helper.make_node("MatMul", ["embeddings", "wide"], [f"huge{i}"]))


def many_steps(model: onnx.ModelProto) -> None:
    for i in range(200):
        model.graph.node.insert(0, helper.make_node("Exp", ["embeddings"], [f"more{i}"]))


def twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def metadata_twice(model: onnx.ModelProto) -> None:
    model.metadata_props.append(model.metadata_props[0])


EDITS = (
    other_domain, other_operator, operator_of_another_domain, function, inner_graph, sparse, second_input,
    output_of_another_name, output_that_is_not_there, not_finite, too_large_numbers,
    a_size_that_is_not_its_own, no_size, strings, backwards, newer, logits_called_probabilities, other_axis,
    growing, growing_by_faces, many_steps, twice, metadata_twice,
)  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=[edit.__name__ for edit in EDITS])
def test_refuses_whatever_a_classifier_does_not_need(
    edit: Callable[[onnx.ModelProto], None], changed: Callable[..., Path]
) -> None:
    path = changed(edit)
    with pytest.raises(ModelError, match="not a classifier file that can be used") as caught:
        read_classifier(path)
    assert "\n" not in str(caught.value)


def test_a_gather_stays_within_its_table(tmp_path: Path) -> None:
    build = Builder(D)
    near = build.nearest(build.affine(build.input, numbers(D, 9)), 3, np.eye(9)[:8, :C])
    with pytest.raises(ModelError, match="Gather"):
        write_classifier(tmp_path / "a.onnx", build.finish(near), card())
    build = Builder(D)
    near = build.nearest(build.affine(build.input, numbers(D, 9)), 10, np.eye(10)[:, :C])
    with pytest.raises(ModelError, match="TopK"):
        write_classifier(tmp_path / "a.onnx", build.finish(near), card())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"kind": "classifier"}',
        '{"kind": "embedder"}',
        "[" * 100_000,
        '{"kind": "classifier", "format": 1e999}',
        '{"kind": "classifier", "format": 9}',
    ],
)
def test_refuses_malformed_metadata(good: Path, text: str) -> None:
    good.write_bytes(replace_metadata(good.read_bytes(), {"facewise": text}))
    with pytest.raises(ModelError, match="not a classifier file that can be used"):
        read_classifier(good)


@pytest.mark.parametrize(
    "changes",
    [
        {"people": None},
        {"people": 5},
        {"people": []},
        {"embedding_size": "many"},
        {"embedding_size": 1e300},
        {"embedding_size": 10**30},
        {"unknown": {"by": "similarity"}},
        {"unknown": {"by": "similarity", "threshold": float("nan"), "source": ""}},
        {"unknown": []},
        {"settings": 3},
    ],
)
def test_refuses_metadata_that_makes_no_sense(good: Path, changes: dict[str, object]) -> None:
    data = json.loads(read_classifier(good).card.to_json()) | changes
    good.write_bytes(replace_metadata(good.read_bytes(), {"facewise": json.dumps(data)}))
    with pytest.raises(ModelError, match="not a classifier file that can be used"):
        read_classifier(good)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x08" * 500_000,  # a field, over and over
        b"\x72\x00" * 500_000,  # empty metadata, over and over
        b"\x3a\x80\x89\x7a" + b"\x0a\x00" * 1_000_000,  # a graph of empty nodes
        b"\x3a\xff\xff\xff\xff\x7f",  # a graph of 32 GB
        b"",
        b"\x00" * 1000,
    ],
)
def test_memory_stays_small(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="not a classifier file that can be used"):
            read_classifier(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data) + 1000 * MOST_FIELDS
    finally:
        tracemalloc.stop()


def test_refuses_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    with pytest.raises(ModelError, match="There is no classifier file"):
        read_classifier(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="Cannot read"):
        read_classifier(tmp_path)
    monkeypatch.setattr("facewise.classify.file.MOST_BYTES", 100)
    with pytest.raises(ModelError, match="larger than any classifier file"):
        read_classifier(good)


def test_a_model_file_is_no_classifier(tiny_embedder_file: Path) -> None:
    with pytest.raises(ModelError, match="not a classifier file that can be used"):
        read_classifier(tiny_embedder_file)


@pytest.mark.parametrize("name", ["kernel", "cosines"])
def test_damaged_files_are_refused_or_read_right(name: str, tmp_path: Path) -> None:
    """Whatever happens to a file's bytes: a plain error, or probabilities of its people as ONNX has them."""
    path, vectors = tmp_path / "a.onnx", unit(numbers(3, D))
    whole = write_classifier(path, networks()[name], card()).path.read_bytes()
    rng, refused = np.random.default_rng(11), 0
    for i in range(800):
        mutation = (truncated, bits_flipped, overwritten, spliced, length_changed)[i % 5]
        data = mutation(whole, rng, [whole])
        path.write_bytes(data)
        try:
            found = Classifier(path)
        except FacewiseError:
            refused += 1
            continue
        try:
            probabilities = found.probabilities(vectors)
        except FacewiseError:
            continue
        assert probabilities.shape == (3, len(found.people))
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-3)
        if i % 7 == 0:
            session = ort.InferenceSession(io.BytesIO(data).getvalue())
            theirs = session.run(["probabilities"], {"embeddings": vectors})[0]
            np.testing.assert_allclose(probabilities, theirs, atol=1e-4)
    assert 200 < refused < 799
