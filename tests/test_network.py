"""One network: the provider asked for or an error, the one chosen, threads, and what goes wrong within."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.hardware import available_threads
from facewise.models import ModelFile, read_model, write_model
from facewise.network import PROVIDERS, Network
from fake_runtime import CPU, CUDA, Runtime

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
    with pytest.raises(SettingError, match=r"'gpu'.*auto, cpu, cuda"):
        Network(model, provider="gpu")


@pytest.mark.parametrize("active", [[CPU], [CPU, CUDA], []])
def test_falling_back_to_the_cpu_is_an_error(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, active: list[str]
) -> None:
    """ONNX Runtime only logs it."""
    runtime = Runtime(monkeypatch, [CUDA, CPU], {CUDA: active})
    with pytest.raises(ModelError, match=r"^Provider 'cuda' did not start \(.*ask for 'cpu'\.$"):
        Network(model, provider="cuda")
    assert runtime.asked == [CUDA]


@pytest.mark.parametrize(
    ("built_with", "taken"),
    [
        (["TensorrtExecutionProvider", CUDA, CPU], "cuda"),
        (["AzureExecutionProvider", "CoreMLExecutionProvider", CPU], "coreml"),
        (["DmlExecutionProvider", "OpenVINOExecutionProvider", CPU], "openvino"),
        (["DmlExecutionProvider", CPU], "directml"),
        (["ROCMExecutionProvider", "TensorrtExecutionProvider", CPU], "cpu"),
        ([CPU], "cpu"),
    ],
)
def test_auto_takes_the_first_there_is(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, built_with: list[str], taken: str
) -> None:
    runtime = Runtime(monkeypatch, built_with, {})
    network = Network(model, threads=2)
    assert (network.provider, network.passed_over) == (taken, {})
    assert runtime.asked == [PROVIDERS[taken]]


def test_auto_goes_on_where_a_provider_does_not_work_and_says_why(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {CUDA: [CPU], "OpenVINOExecutionProvider": RuntimeError("no such device")}
    runtime = Runtime(monkeypatch, [CUDA, "OpenVINOExecutionProvider", CPU], broken)
    network = Network(model, provider="auto", threads=2)
    assert network.provider == "cpu"
    assert list(network.passed_over) == ["cuda", "openvino"]
    assert "check the drivers" in network.passed_over["cuda"]
    assert "no such device" in network.passed_over["openvino"]
    assert runtime.asked == [CUDA, "OpenVINOExecutionProvider", CPU]
    np.testing.assert_array_equal(network.run(CROPS)[0], Network(model, provider="cpu").run(CROPS)[0])


def test_what_was_chosen_once_stays(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network on one thread, or in another process, does not look for providers again."""
    runtime = Runtime(monkeypatch, [CUDA, CPU], {CUDA: [CPU]})
    network = Network(model, threads=2)
    again = pickle.loads(pickle.dumps(network))
    assert {network.single.provider, again.provider} == {"cpu"}
    assert runtime.asked == [CUDA, CPU, CPU, CPU]


def test_a_broken_network_is_no_matter_of_providers(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = write_model(tmp_path / "broken.onnx", b"\x08\x08", model.card)
    Runtime(monkeypatch, [CUDA, CPU], {})
    with pytest.raises(ModelError, match=r"broken\.onnx does not load"):
        Network(broken)


def test_a_runtime_with_nothing_of_use_says_so(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    Runtime(monkeypatch, ["AzureExecutionProvider"], {})
    with pytest.raises(ModelError, match=r"none of cuda.*cpu"):
        Network(model)


@pytest.mark.parametrize(("provider", "most"), [("directml", 1), ("coreml", 4)])
def test_directml_is_called_by_one_thread_at_a_time(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, provider: str, most: int
) -> None:
    """As its documentation asks; others take several calls."""
    runtime = Runtime(monkeypatch, [PROVIDERS[provider], CPU], {})
    network = Network(model, threads=4).single
    meet = threading.Barrier(4, timeout=20)

    def work(_: int) -> None:
        meet.wait()
        for _ in range(5):
            network.run(CROPS)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert network.provider == provider
    assert 1 <= runtime.most_at_once <= most


def test_cuda_looks_for_libraries_that_came_as_packages(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that is missing is the reason, and printed nowhere."""
    preload = lambda: print("Failed to load libcublas.so: no such file\nPlease install")  # noqa: E731, T201
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    Runtime(monkeypatch, [CUDA, CPU], {})
    assert Network(model).provider == "cuda"
    Runtime(monkeypatch, [CUDA, CPU], {CUDA: [CPU]})
    assert Network(model).passed_over == {
        "cuda": "Provider 'cuda' did not start (Failed to load libcublas.so: no such file): "
        "check the drivers, or ask for 'cpu'."
    }
    assert capfd.readouterr() == ("", "")


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
        self.now, self.ways, self.luck = 0.0, [], 0.0
        monkeypatch.setattr("facewise.network.time.perf_counter", lambda: self.now)
        for name, part, seconds in (("all", network, all_), ("one", network.single, one)):
            monkeypatch.setattr(part, "_run", self._call(name, part._run, seconds))

    def _call(self, name: str, run: object, seconds: float) -> object:
        def call(batch: np.ndarray) -> object:
            self.now += seconds - self.luck
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


def test_one_lucky_call_decides_nothing(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(model, threads=4)
    paced = _Paced(network, monkeypatch, all_=3.0, one=2.0)
    for i in range(40):
        paced.luck = 2.5 if i == 8 else 0.0
        network.run(CROPS)
    assert paced.ways[8] == "all"  # in half a second, less than one thread takes
    assert set(paced.ways[-20:]) == {"one"}


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
