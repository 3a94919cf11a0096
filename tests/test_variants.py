"""Which network of an int8 model runs, and that both are one model."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from facewise import Gallery, Recognizer, variants
from facewise.data.synthetic import SyntheticSource
from facewise.detection import load_detector
from facewise.embedding import Embedder
from facewise.errors import ModelError, SettingError
from facewise.evaluation.embedded import embedder_key
from facewise.hardware import HIDDEN, cpu
from facewise.models import ModelFile, find_model, read_model, write_model
from facewise.models.bundled import BUNDLED_MODELS, bundled_path
from facewise.models.float_form import is_int8
from facewise.network import Network
from facewise.pipeline import Pipeline
from facewise.training.distill import ModelTeacher
from facewise.variants import choose, float_network, measure, variants_of

VNNI, PLAIN = "avx2 fma avx512f avx512_vnni", "avx avx2 fma"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was measured yet."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes the processor one of these features."""

    def become(features: str) -> None:
        monkeypatch.setenv(HIDDEN, features)
        cpu.cache_clear()

    yield become
    monkeypatch.undo()
    cpu.cache_clear()


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], list[str]]:
    """Makes int8 and float take so many milliseconds; what it gives grows by each network that is timed."""

    def make(int8: float, float_: float) -> list[str]:
        opened: list[str] = []

        class Call:
            def __init__(self, network: bytes) -> None:
                opened.append("int8" if is_int8(network) else "float")
                self.seconds = (int8 if opened[-1] == "int8" else float_) / 1000

            def __call__(self) -> float:
                return self.seconds

        monkeypatch.setattr(variants, "_Call", Call)
        return opened

    return make


@pytest.fixture(scope="module")
def both() -> ModelFile:
    """The bundled embedder, which is int8."""
    path = bundled_path(BUNDLED_MODELS["embedder"])
    assert path is not None
    return read_model(path)


@pytest.fixture
def int8_alone(both: ModelFile, tmp_path: Path) -> ModelFile:
    """A model whose int8 layers are of a form that cannot be turned to float."""
    network = onnx.load_from_string(both.network)
    network.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["images"], ["a", "b", "c"]))
    return write_model(tmp_path / "alone.onnx", network.SerializeToString(), replace(both.card, name="alone"))


@pytest.fixture
def float_alone(tiny_embedder_file: Path) -> ModelFile:
    return read_model(tiny_embedder_file)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.stack([SyntheticSource(4, 2, seed=5, size=112).read(i) for i in range(8)])


# Choosing


@pytest.mark.parametrize(("features", "name"), [(VNNI, "int8"), (PLAIN, "float"), ("neon dotprod", "int8")])
def test_the_processor_suggests_one(
    both: ModelFile, processor: Callable[[str], None], features: str, name: str
) -> None:
    processor(features)
    variant, network = choose(both)
    assert variant.name == name
    assert "int8 instructions" in variant.why
    assert (network == both.network) == (name == "int8")
    assert Embedder(both).variant == variant


@pytest.mark.parametrize(
    ("features", "int8", "float_", "name"),
    [
        (PLAIN, 2.0, 3.0, "int8"),
        (PLAIN, 2.0, 2.1, "float"),  # as good as the same: what the processor suggests stays
        (PLAIN, 3.0, 2.0, "float"),
        (VNNI, 3.0, 2.0, "float"),
        (VNNI, 2.1, 2.0, "int8"),
    ],
)
def test_what_was_measured_here_overrules_it(
    both: ModelFile,
    processor: Callable[[str], None],
    paced: Callable[[float, float], list[str]],
    features: str,
    int8: float,
    float_: float,
    name: str,
) -> None:
    processor(features)
    paced(int8, float_)
    assert measure(both) == {"int8": int8, "float": float_}
    variant, _ = choose(both)
    assert variant.name == name
    assert f"int8 {int8:.2g} ms, float {float_:.2g} ms" in variant.why


def test_it_is_measured_once_a_machine_and_before_much_work_only(
    both: ModelFile,
    processor: Callable[[str], None],
    paced: Callable[[float, float], list[str]],
    crops: np.ndarray,
) -> None:
    processor(PLAIN)
    opened = paced(2.0, 3.0)
    embedder = Embedder(both, threads=1)
    few = embedder.embed(crops)
    assert (embedder.variant.name, opened) == ("float", [])
    embedder.settle(1000)
    assert (embedder.variant.name, opened) == ("int8", ["int8", "float"])
    np.testing.assert_array_equal(embedder.embed(crops), Embedder(both, variant="int8").embed(crops))
    assert not np.array_equal(embedder.embed(crops), few)
    again = Embedder(both)  # as in the next process
    again.settle(1000)
    assert (again.variant.name, len(opened)) == ("int8", 2)


@pytest.mark.parametrize("options", [{"variant": "float"}, {"variant": "int8"}])
def test_who_names_one_gets_it_and_measures_nothing(
    both: ModelFile,
    processor: Callable[[str], None],
    options: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor(PLAIN)
    monkeypatch.setattr(variants, "_Call", None)
    embedder = Embedder(both, **options)
    embedder.settle()
    assert str(embedder.variant) == f"{options['variant']} (asked for)"


def test_with_int8_instructions_nothing_is_measured(
    both: ModelFile, processor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(VNNI)
    monkeypatch.setattr(variants, "_Call", None)
    embedder = Embedder(both)
    embedder.settle()
    assert embedder.variant.name == "int8"


def test_away_from_the_cpu_it_is_float(both: ModelFile, processor: Callable[[str], None]) -> None:
    processor(VNNI)
    assert str(choose(both, provider="cuda")[0]) == "float (it runs on cuda)"


def test_both_are_timed_for_real(both: ModelFile) -> None:
    times = measure(both)
    assert set(times) == {"int8", "float"}
    assert min(times.values()) > 0
    assert "measured here" in choose(both)[0].why


def test_a_home_that_keeps_nothing_is_no_obstacle(
    both: ModelFile, processor: Callable[[str], None], paced: Callable[[float, float], list[str]],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    processor(PLAIN)
    opened = paced(2.0, 3.0)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "a file"))
    embedder = Embedder(both)
    for _ in range(3):
        embedder.settle()
    assert embedder.variant.name == "float"
    assert len(opened) == 2


def test_what_was_kept_may_be_nonsense(
    both: ModelFile, processor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(PLAIN)
    for kept in ({}, {"int8": "fast", "float": 1.0}, {"int8": 0, "float": 1.0}, {"float": 2.0}):
        monkeypatch.setattr(variants, "recall", lambda *_, kept=kept: kept)
        assert choose(both)[0].name == "float"


# Models with one network


def test_what_a_file_has_is_told(both: ModelFile, int8_alone: ModelFile, float_alone: ModelFile) -> None:
    assert variants_of(both) == ("int8", "float")
    assert variants_of(int8_alone) == ("int8",)
    assert variants_of(float_alone) == ("float",)
    assert float_network(float_alone) == float_alone.network
    assert measure(float_alone) == measure(int8_alone) == {}


@pytest.mark.parametrize("features", [VNNI, PLAIN])
def test_the_only_network_runs(
    int8_alone: ModelFile, float_alone: ModelFile, processor: Callable[[str], None], features: str
) -> None:
    processor(features)
    for model, name in ((int8_alone, "int8"), (float_alone, "float")):
        variant, network = choose(model)
        assert variant.name == name
        assert network == model.network


def test_one_that_is_not_there_is_told(int8_alone: ModelFile, float_alone: ModelFile) -> None:
    with pytest.raises(
        ModelError, match=r"alone has no float network: .* use the model it was quantised from"
    ):
        Embedder(int8_alone, variant="float")
    with pytest.raises(ModelError, match="has no int8 network: `facewise models quantize` makes"):
        Embedder(float_alone, variant="int8")


@pytest.mark.parametrize("make", [Network, Embedder, choose])
def test_an_unknown_one_is_told(both: ModelFile, make: Callable[..., object]) -> None:
    options = {"wanted" if make is choose else "variant": "int4"}
    with pytest.raises(SettingError, match="There is no variant 'int4'; did you mean int8"):
        make(both, **options)


# One model


def test_both_give_nearly_the_same_embeddings_under_one_name(both: ModelFile, crops: np.ndarray) -> None:
    first, second = (Embedder(both, variant=name) for name in ("int8", "float"))
    cosines = (first.embed(crops) * second.embed(crops)).sum(axis=1)
    assert cosines.mean() > 0.995
    assert cosines.max() < 1 - 1e-6  # two networks indeed
    assert first.fingerprint == second.fingerprint
    assert first.calibration == second.calibration
    assert first.calibration is not None


def test_the_cache_of_evaluations_tells_them_apart(both: ModelFile, float_alone: ModelFile) -> None:
    keys = {name: embedder_key(Embedder(both, variant=name)) for name in ("int8", "float")}
    assert keys["int8"] != keys["float"]
    # What older caches hold stays of use.
    assert keys["int8"] == both.fingerprint
    assert embedder_key(Embedder(float_alone)) == float_alone.fingerprint


def test_other_processes_run_the_same_one(
    both: ModelFile, processor: Callable[[str], None], crops: np.ndarray
) -> None:
    processor(PLAIN)
    embedder = Embedder(both, threads=2)
    assert embedder.network.single.variant.name == "float"
    sent = pickle.dumps(embedder)
    processor(VNNI)
    np.testing.assert_array_equal(pickle.loads(sent).embed(crops), embedder.embed(crops))


def test_a_training_is_taught_by_the_same_network_whatever_is_faster(
    both: ModelFile, processor: Callable[[str], None], crops: np.ndarray
) -> None:
    """A resumed training must be the same to the bit."""
    answers = []
    for features in (VNNI, PLAIN):
        processor(features)
        answers.append(ModelTeacher(str(both.path), torch.device("cpu"))(crops).embeddings.numpy())
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(("enrolled", "searched"), [("int8", "float"), ("float", "int8")])
def test_a_gallery_of_one_is_searched_with_the_other(
    tiny_detector_file: Path,
    drawn_photo: Callable[..., np.ndarray],
    tmp_path: Path,
    enrolled: str,
    searched: str,
) -> None:
    path = tmp_path / "people.db"
    people = [drawn_photo([(160, 120, 90, number)]) for number in range(4)]
    first, second = (
        Recognizer(detector=tiny_detector_file, variant=name, threads=1) for name in (enrolled, searched)
    )
    assert [second.pipeline.embedder.variant.name, second.pipeline.detector.variant.name] == [
        searched,
        "float",
    ]
    with Gallery.open(path, pipeline=first.pipeline) as gallery:
        for number, photo in enumerate(people):
            gallery.enroll(f"person {number}", [photo], quality="off")
    for number, photo in enumerate(people):
        (match,) = second.identify(photo, path, threshold=0.9)
        assert match.name == f"person {number}"


def test_a_detector_goes_by_it_where_it_can(tiny_detector_file: Path) -> None:
    """And where it is all there is, it must."""
    assert Pipeline.load(tiny_detector_file, variant="int8").detector.variant.name == "float"
    with pytest.raises(ModelError, match="has no int8 network"):
        Pipeline.load(tiny_detector_file, embed=False, variant="int8")
    with pytest.raises(ModelError, match="has no int8 network"):
        load_detector(find_model(tiny_detector_file, kind="detector"), variant="int8")
