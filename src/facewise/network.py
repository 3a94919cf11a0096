"""One ONNX network, ready to run: provider chosen and reported, threads under control."""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError, SettingError
from facewise.hardware import available_threads
from facewise.models.file import ModelFile
from facewise.variants import Variant, choose

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
"""Names users give, and what ONNX Runtime calls them; `AUTO` is the first of `AUTOMATIC` that works."""

AUTO = "auto"
"""The first of `AUTOMATIC` that really runs a network here."""

AUTOMATIC = ("cuda", "coreml", "openvino", "directml", "cpu")
"""What `AUTO` tries, in this order. Others are for who names them: TensorRT, as it first builds an engine for
minutes, and ROCm, which newer ONNX Runtimes no longer have."""

_SMALL = 32 << 20
"""Bytes up to which a network is opened twice, to find out whether more threads within a call pay."""

_UNTIMED, _TRIED = 4, 5
"""Calls of an input shape before that is tried, which few photos never reach, and how often each way is. The
medians are compared: where other work runs beside, which way has the fastest call is chance."""

_SHAPES = 256
"""Input shapes that are told apart: photos come in any size."""


class Network:
    """An ONNX Runtime session on the provider that was asked for, or an error.

    Args:
        model: The model file.
        provider: A key of `PROVIDERS`, or `AUTO`.
        threads: CPU threads one `run` may use; None is all CPUs of this process.
        variant: Which of the model's networks, a key of `facewise.variants.VARIANTS`.

    Attributes:
        model: The model file.
        provider: The provider in use, a key of `PROVIDERS`.
        passed_over: Providers that this ONNX Runtime has and `AUTO` would rather have used, and why each did
            not work.
        variant: The network in use, and why.
        threads: CPU threads one `run` may use.
        input_shape: What the network says it takes, None for a length that varies.
        output_shapes: Likewise what it gives; an empty shape for one that is not told.

    Raises:
        SettingError: An unknown provider or variant, or a thread count below 1.
        ModelError: The provider is not to be had, or the network does not load.
    """

    def __init__(
        self, model: ModelFile, *, provider: str = AUTO, threads: int | None = None, variant: str = "auto"
    ) -> None:
        if threads is not None and threads < 1:
            raise SettingError(f"The number of threads must be at least 1, not {threads}.")
        self.model = model
        self.threads = available_threads() if threads is None else threads
        opened, self.provider, self.passed_over = _open_session(model, provider, self.threads, variant)
        self._session, self.variant = opened
        self._input = self._session.get_inputs()[0].name
        self.input_shape = _shape(self._session.get_inputs()[0])
        self.output_shapes = tuple(_shape(output) for output in self._session.get_outputs())
        chooses = self.provider == "cpu" and self.threads > 1 and len(model.network) <= _SMALL
        self._choice = _Choice() if chooses else None
        # One call at a time is all that a DirectML session takes, says its documentation.
        self._turn: AbstractContextManager[Any] = (
            threading.Lock() if self.provider == "directml" else nullcontext()
        )

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Run one batch.

        More threads do not always pay: those of a network of small layers wait for each other. A small
        network that is called again and again with one shape is timed with all its threads and with one, and
        then run the faster way.

        Args:
            batch: The network's input, (N, …).

        Returns:
            The network's outputs in its order.

        Raises:
            ModelError: The network does not take this input, or fails on it.
        """
        if self._choice is None:
            return self._run(batch)
        network = self.single if self._choice.takes_one(batch.shape) else self
        began = time.perf_counter()
        outputs = network._run(batch)
        self._choice.took(batch.shape, time.perf_counter() - began, one=network is not self)
        return outputs

    def _run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        try:
            with self._turn:
                outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: batch})
        except Exception as error:  # ONNX Runtime's errors share no public base class
            name = self.model.card.name
            raise ModelError(
                f"The model {name} failed on an input of shape {batch.shape}: {error}"
            ) from error
        return outputs

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process the network is opened on one thread: processes are there to run side by side."""
        return _reopen, (self.model, self.provider, self.variant.name)

    @cached_property
    def single(self) -> Network:
        """The same network on one CPU thread a call, for callers that run many calls side by side.

        Small networks gain little from more threads within a call: photos or batches side by side, one
        thread each, keep all cores busy (benchmarks/RESULTS.md). Other providers share the one session.
        """
        if self.provider != "cpu" or self.threads == 1:
            return self
        return Network(self.model, provider=self.provider, threads=1, variant=self.variant.name)

    def map(self, make: Callable[[int], NDArray[Any]], count: int) -> list[list[NDArray[np.float32]]]:
        """Run `count` batches side by side, each made where it is run.

        Args:
            make: Gives batch i.
            count: How many batches.

        Returns:
            The outputs of each batch, in order.

        Raises:
            ModelError: As `run`.
        """
        workers = min(self.threads, count) if self.provider == "cpu" else 1
        if workers <= 1:
            return [self.run(make(i)) for i in range(count)]
        network = self.single
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda i: network.run(make(i)), range(count)))


class _Choice:
    """All threads or one, by which of them was faster on calls of the same shape."""

    def __init__(self) -> None:
        self._calls: dict[tuple[int, ...], int] = {}
        self._times: dict[tuple[tuple[int, ...], bool], list[float]] = {}

    def takes_one(self, shape: tuple[int, ...]) -> bool:
        """Whether the next call is to be on one thread."""
        done = self._calls.get(shape, 0)
        if done < _UNTIMED:
            return False
        # The first of each way, which may have to open or warm up something, is not timed.
        if done < _UNTIMED + 2 * (_TRIED + 1):
            return done % 2 == 1
        # Calls side by side may have left a way untimed: all threads then.
        return self._median(shape, one=True) < self._median(shape, one=False)

    def took(self, shape: tuple[int, ...], seconds: float, *, one: bool) -> None:
        """Remember a call."""
        done = self._calls.get(shape, 0)
        if not done and len(self._calls) >= _SHAPES:
            return
        self._calls[shape] = done + 1
        if _UNTIMED + 2 <= done < _UNTIMED + 2 * (_TRIED + 1):
            self._times.setdefault((shape, one), []).append(seconds)

    def _median(self, shape: tuple[int, ...], *, one: bool) -> float:
        times = sorted(self._times.get((shape, one), ()))
        return times[len(times) // 2] if times else math.inf


def _shape(value: Any) -> tuple[int | None, ...]:
    """Of an input or output; lengths that vary have a name, or a number below 1."""
    return tuple(length if type(length) is int and length > 0 else None for length in value.shape or ())


def _reopen(model: ModelFile, provider: str, variant: str) -> Network:
    return Network(model, provider=provider, threads=1, variant=variant)


def told_providers(used: Iterable[str], passed_over: Mapping[str, str]) -> list[str]:
    """Lines for people about where networks run: none where that is the CPU and nothing better failed.

    Args:
        used: The provider of each network.
        passed_over: See `Network`.
    """
    where = sorted(set(used))
    if where == ["cpu"] and not passed_over:
        return []
    return [*passed_over.values(), f"Running on {' and '.join(where)}."]


def check_provider(provider: str) -> None:
    """Complain of a name that is no provider's.

    Raises:
        SettingError: It is neither a key of `PROVIDERS` nor `AUTO`.
    """
    if provider != AUTO and provider not in PROVIDERS:
        raise SettingError(f"Unknown provider {provider!r}; choose one of {', '.join((AUTO, *PROVIDERS))}.")


_Opened: TypeAlias = tuple[Any, Variant]
"""A session, and which of the model's networks runs in it."""


def _open_session(
    model: ModelFile, provider: str, threads: int, variant: str
) -> tuple[_Opened, str, dict[str, str]]:
    """The session, the provider it runs on, and those that `AUTO` passed over with the reason for each."""
    import onnxruntime as ort  # noqa: PLC0415  a tenth of a second that `import facewise` need not pay

    check_provider(provider)
    available = ort.get_available_providers()
    if provider != AUTO:
        if PROVIDERS[provider] not in available:
            have = ", ".join(name for name, full in PROVIDERS.items() if full in available)
            raise ModelError(
                f"Provider {provider!r} was asked for, but this ONNX Runtime has only {have}; "
                "install the matching onnxruntime package or ask for 'cpu'."
            )
        return _session_on(provider, model, threads, variant), provider, {}
    passed_over: dict[str, str] = {}
    for name in AUTOMATIC:
        # What a package was built with it lists, whether the driver that this needs is there or not.
        if PROVIDERS[name] in available:
            try:
                return _session_on(name, model, threads, variant), name, passed_over
            except ModelError as error:
                if name == "cpu":
                    raise
                passed_over[name] = str(error)
    raise ModelError(f"This ONNX Runtime has none of {', '.join(AUTOMATIC)}; install onnxruntime.")


def _session_on(provider: str, model: ModelFile, threads: int, variant: str) -> _Opened:
    import onnxruntime as ort  # noqa: PLC0415  as above

    wanted = PROVIDERS[provider]
    runs, network = choose(model, variant, provider)
    missing = _load_cuda(ort) if provider in {"cuda", "tensorrt"} else ""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # By default a session's threads spin for a while after each call, and so take the cores from the other
    # network of the pipeline: a photo on 4 AVX-512 cores took 19 to 33 ms with it, 13 to 18 without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # Without its fallback, which prints on stdout and tries the CPU.
        with nullcontext() if provider == "cpu" else _quiet(ort):
            session = ort.InferenceSession(network, options, providers=[wanted], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ModelError(f"The model {model.path} does not load: {error}") from error
    active = session.get_providers()
    if not active or active[0] != wanted:  # it falls back to the CPU with a log line; here that is an error
        why = missing or f"the model would run on {', '.join(active) or 'nothing'} instead"
        raise ModelError(f"Provider {provider!r} did not start ({why}): check the drivers, or ask for 'cpu'.")
    return session, runs


def _load_cuda(ort: Any) -> str:
    """Load CUDA's libraries where they are packages of their own, which no loader finds.

    Returns:
        What ONNX Runtime says of the first that is missing, or nothing.
    """
    if not hasattr(ort, "preload_dlls"):
        return ""
    with redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    return next((line for line in said.getvalue().splitlines() if line.startswith("Failed")), "")


@contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """ONNX Runtime logs why a provider does not start, anew for every session; an error tells that once."""
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        ort.set_default_logger_severity(2)  # which it begins with; it cannot be asked
