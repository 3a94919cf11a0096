"""One network: the provider that was asked for or an error, threads, and what goes wrong within."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.hardware import available_threads
from facewise.models import ModelFile, read_model, write_model
from facewise.network import Network

CROPS = np.random.default_rng(0).normal(0, 1, (5, 3, 112, 112)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tiny_embedder_file: Path) -> ModelFile:
    return read_model(tiny_embedder_file)


def test_gives_what_onnx_runtime_gives(model: ModelFile) -> None:
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: CROPS})
    for threads in (1, 3, None):
        (got,) = Network(model, threads=threads).run(CROPS)
        np.testing.assert_allclose(got, expected[0], rtol=1e-5, atol=1e-5)


def test_reports_its_provider_and_threads(model: ModelFile) -> None:
    network = Network(model, provider="cpu", threads=3)
    assert (network.provider, network.threads) == ("cpu", 3)
    assert Network(model).threads == available_threads() >= 1


def test_the_provider_asked_for_is_the_one_used(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    session_class = onnxruntime.InferenceSession

    def session(network: bytes, options: onnxruntime.SessionOptions, providers: list[str], **rest: object):
        asked.update(providers=providers, threads=options.intra_op_num_threads)
        return session_class(network, options, providers=providers, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    Network(model, provider="cpu", threads=2)
    assert asked == {"providers": ["CPUExecutionProvider"], "threads": 2}


def test_a_provider_that_is_not_there_names_what_is(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CoreMLExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(ModelError, match=r"'cuda' was asked for.*only cpu, coreml") as caught:
        Network(model, provider="cuda")
    assert str(caught.value).endswith(".")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here")
def test_cuda_on_this_machine(model: ModelFile) -> None:
    with pytest.raises(ModelError, match=r"'cuda' was asked for.*cpu"):
        Network(model, provider="cuda")


def test_an_unknown_provider_names_the_known_ones(model: ModelFile) -> None:
    with pytest.raises(SettingError, match=r"'gpu'.*cpu, cuda"):
        Network(model, provider="gpu")


@pytest.mark.parametrize(
    "active", [["CPUExecutionProvider"], ["CPUExecutionProvider", "CUDAExecutionProvider"], []]
)
def test_falling_back_to_the_cpu_is_an_error(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, active: list[str]
) -> None:
    """ONNX Runtime only logs it."""
    session_class = onnxruntime.InferenceSession

    class Fallback:
        def __init__(self, network: bytes, options: object, providers: list[str], **rest: object) -> None:
            assert providers == ["CUDAExecutionProvider"]
            self.session = session_class(network, options, providers=["CPUExecutionProvider"], **rest)

        def get_inputs(self) -> list[object]:
            return self.session.get_inputs()

        def get_providers(self) -> list[str]:
            return active

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallback)
    with pytest.raises(ModelError, match="'cuda' was asked for, but the model would run on"):
        Network(model, provider="cuda")


@pytest.mark.parametrize("threads", [0, -1])
def test_thread_counts_below_one(model: ModelFile, threads: int) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        Network(model, threads=threads)


def test_an_input_the_network_does_not_take(model: ModelFile) -> None:
    network = Network(model, threads=1)
    for batch in (CROPS[:, :1], CROPS[:, :, :50], CROPS.astype(np.float64), CROPS[0]):
        with pytest.raises(ModelError, match="tiny-embedder failed on an input of shape"):
            network.run(batch)


def test_a_network_that_does_not_load(model: ModelFile, tmp_path: Path) -> None:
    """Whole as a file, broken as a graph."""
    broken = write_model(tmp_path / "broken.onnx", b"\x08\x08", model.card)
    with pytest.raises(ModelError, match=r"broken\.onnx does not load"):
        Network(broken)


def test_map_is_run_batch_by_batch_in_order(model: ModelFile) -> None:
    network = Network(model, threads=3)
    expected = [network.run(CROPS[i : i + 1])[0] for i in range(5)]
    for got, want in zip(network.map(lambda i: CROPS[i : i + 1], 5), expected, strict=True):
        np.testing.assert_allclose(got[0], want, atol=1e-5)
    assert network.map(lambda i: CROPS[i:], 0) == []


def test_map_works_side_by_side(model: ModelFile) -> None:
    """Two batches are made at the same time, or this waits for ever."""
    meet = threading.Barrier(2, timeout=120)

    def make(i: int) -> np.ndarray:
        meet.wait()
        return CROPS[i : i + 1]

    assert len(Network(model, threads=2).map(make, 2)) == 2


def test_an_error_in_map_is_raised(model: ModelFile) -> None:
    with pytest.raises(FacewiseError, match="failed on an input"):
        Network(model, threads=2).map(lambda i: CROPS[:, : 3 - i], 3)


def test_single_is_the_same_network_on_one_thread(model: ModelFile) -> None:
    network = Network(model, threads=3)
    assert network.single.threads == 1
    assert network.single is network.single
    assert network.single.single is network.single
    np.testing.assert_allclose(network.single.run(CROPS)[0], network.run(CROPS)[0], atol=1e-5)


class _Paced:
    """Stands for a network's two sessions: each call takes as long as it is told to."""

    def __init__(self, network: Network, monkeypatch: pytest.MonkeyPatch, *, all_: float, one: float) -> None:
        self.now, self.ways = 0.0, []
        monkeypatch.setattr("facewise.network.time.perf_counter", lambda: self.now)
        for name, part, seconds in (("all", network, all_), ("one", network.single, one)):
            monkeypatch.setattr(part, "_run", self._call(name, part._run, seconds))

    def _call(self, name: str, run: object, seconds: float) -> object:
        def call(batch: np.ndarray) -> object:
            self.now += seconds
            self.ways.append(name)
            return run(batch)  # type: ignore[operator]

        return call


@pytest.mark.parametrize(("all_", "one", "kept"), [(3.0, 2.0, "one"), (2.0, 3.0, "all")])
def test_a_small_network_settles_for_the_faster_number_of_threads(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, all_: float, one: float, kept: str
) -> None:
    network = Network(model, threads=4)
    paced = _Paced(network, monkeypatch, all_=all_, one=one)
    for _ in range(40):
        network.run(CROPS)
    assert paced.ways[:4] == ["all"] * 4  # a few photos never pay for finding out
    assert set(paced.ways[-20:]) == {kept}
    network.run(CROPS[:2])
    assert paced.ways[-1] == "all"  # another shape is another question


def test_the_number_of_threads_changes_no_number(model: ModelFile) -> None:
    network = Network(model, threads=3)
    first = network.run(CROPS)[0]
    for _ in range(30):
        np.testing.assert_array_equal(network.run(CROPS)[0], first)


def test_many_shapes_need_no_more_memory(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewise.network._SHAPES", 2)
    network = Network(model, threads=2)
    for count in (1, 2, 3, 4, 5):
        network.run(CROPS[:count])
    assert len(network._choice._calls) == 2
