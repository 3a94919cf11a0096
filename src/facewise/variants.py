"""Which of a model's two networks runs: int8, or the float network within it (`facewise.models.float_form`).

Both are one model, with one fingerprint, one gallery and one calibration. int8 is two to three times as fast
where the processor adds up products of 8-bit numbers in one instruction; on others it depends on the very
processor, so that there both are timed before much work, once a machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from facewise.choices import recall, remember
from facewise.errors import ModelError, SettingError, nearest_known
from facewise.hardware import cpu
from facewise.models.file import ModelFile
from facewise.models.float_form import float_form, is_int8

VARIANTS = {
    "auto": "the faster one here",
    "int8": "8-bit integers",
    "float": "float32",
}
"""What can be asked for."""

_CLEARLY = 1.1
"""How much faster the other network must be to be preferred to the one that the processor suggests."""

_ROUNDS = 5
"""Calls of each network that are timed; the best counts."""

_SIDE = 320
"""Pixels of a photo's side where the network takes any."""

_MEASURING = Lock()

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Variant:
    """The network that runs.

    Attributes:
        name: `"int8"` or `"float"`.
        why: Why that one, to follow the name.
    """

    name: str
    why: str

    def __str__(self) -> str:
        """Such as `float (the processor has no int8 instructions)`."""
        return f"{self.name} ({self.why})"


def variants_of(model: ModelFile) -> tuple[str, ...]:
    """The networks a model file has: `("int8", "float")`, or the one."""
    if not _is_int8(model):
        return ("float",)
    return ("int8",) if _float_form(model) is None else ("int8", "float")


def choose(model: ModelFile, wanted: str = "auto", provider: str = "cpu") -> tuple[Variant, bytes]:
    """Decide which network of a model runs.

    Args:
        model: The model file.
        wanted: A key of `VARIANTS`. `"auto"` goes by what was measured on this machine, else by what its
            processor can do; away from the CPU it is float, which is what those are made for.
        provider: Where it is to run; see `facewise.network.PROVIDERS`.

    Returns:
        The choice, and the bytes of the ONNX file to run.

    Raises:
        SettingError: An unknown variant.
        ModelError: The model does not have the network that was asked for, or is damaged.
    """
    if wanted not in VARIANTS:
        raise SettingError(f"There is no variant {wanted!r}{nearest_known(wanted, VARIANTS)}")
    if not _is_int8(model):
        if wanted == "int8":
            raise ModelError(
                f"{model.card.name} has no int8 network: `facewise models quantize` makes a model that has "
                "both, or leave the variant to auto."
            )
        return Variant("float", "its only network" if wanted == "auto" else "asked for"), model.network
    variant = Variant(wanted, "asked for") if wanted != "auto" else _faster(model, provider)
    if variant.name == "int8":
        return variant, model.network
    network = _float_form(model)
    if network is not None:
        return variant, network
    if wanted == "float":
        raise ModelError(
            f"{model.card.name} has no float network: its int8 layers are of a form that cannot be turned "
            "back; use the model it was quantised from."
        )
    return Variant("int8", "its only network"), model.network


def float_network(model: ModelFile) -> bytes:
    """The float network of a model, or its int8 one where there is no other."""
    return (_float_form(model) if _is_int8(model) else None) or model.network


def is_open(model: ModelFile, wanted: str, provider: str) -> bool:
    """Whether `settle` has anything to find out: both could run, and nothing says which is faster."""
    if wanted != "auto" or provider != "cpu" or cpu().has_int8 or not _is_int8(model):
        return False
    return _measured(model) is None


def settle(model: ModelFile) -> None:
    """Time both networks of a model, unless that was done on this machine before; `choose` goes by it.

    It takes as long as a dozen crops, so it is for before many of them. Where both are as fast, or there is
    only one, nothing changes.
    """
    with _MEASURING:
        if _measured(model) is None:
            measure(model)


def measure(model: ModelFile) -> Mapping[str, float]:
    """Time both networks of a model in turn, on one thread of the CPU, and keep it for `choose`.

    Args:
        model: Any; one with a single network is not timed.

    Returns:
        Variant → milliseconds for one input, the best of several; empty where there is only one.
    """
    other = float_network(model)
    if other is model.network:
        return {}
    calls = {name: _Call(network) for name, network in (("int8", model.network), ("float", other))}
    best = {name: call() for name, call in calls.items()}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], call())
    found = {name: round(1000 * seconds, 4) for name, seconds in best.items()}
    remember(*_key(model), found)
    return found


class _Call:
    """One network on one thread and an input for it."""

    def __init__(self, network: bytes) -> None:
        import onnxruntime as ort  # noqa: PLC0415  a tenth of a second that `import facewise` need not pay

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        source = self._session.get_inputs()[0]
        free = [1] + [_SIDE] * (len(source.shape) - 1)
        sizes = zip(source.shape, free, strict=True)
        shape = [size if type(size) is int and size > 0 else default for size, default in sizes]
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        self._feed = {source.name: values}

    def __call__(self) -> float:
        """Seconds of one call."""
        began = time.perf_counter()
        self._session.run(None, self._feed)
        return time.perf_counter() - began


def _faster(model: ModelFile, provider: str) -> Variant:
    if provider != "cpu":
        return Variant("float", f"it runs on {provider}")
    here = cpu()
    suggested, why = ("float", "the processor has no int8 instructions")
    if here.has_int8:
        suggested, why = ("int8", "the processor has int8 instructions")
    times = _measured(model)
    if times is None:
        return Variant(suggested, why)
    other = "int8" if suggested == "float" else "float"
    name = other if times[other] * _CLEARLY < times[suggested] else suggested
    return Variant(name, f"measured here: int8 {times['int8']:.2g} ms, float {times['float']:.2g} ms")


def _measured(model: ModelFile) -> dict[str, float] | None:
    """What `measure` kept: milliseconds of both."""
    found = recall(*_key(model)) or {}
    times = {name: found.get(name) for name in ("int8", "float")}
    if not all(isinstance(time, int | float) and time > 0 for time in times.values()):
        return None
    return {name: float(time) for name, time in times.items() if time is not None}


def _key(model: ModelFile) -> tuple[str, dict[str, Any]]:
    import onnxruntime as ort  # noqa: PLC0415  as above

    return "variant", {"model": model.fingerprint, "onnxruntime": ort.__version__}


def _is_int8(model: ModelFile) -> bool:
    return _of(model, is_int8)


def _float_form(model: ModelFile) -> bytes | None:
    return _of(model, float_form)


def _of(model: ModelFile, ask: Callable[[bytes], _Answer]) -> _Answer:
    try:
        return ask(model.network)
    except ModelError as error:
        raise ModelError(f"The model {model.path} does not load: {error}") from error
