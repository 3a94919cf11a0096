"""How a network trains fastest on the hardware at hand: its precision, its layers, its memory layout.

Each is a gain on one machine and a loss on another: bfloat16 where the processor multiplies it or emulates
it, the layers of `facewise.nn.fast` in float32 or bfloat16. What the hardware can do says which ways there
are, and a few steps of the very network on the very photos, forward and backward, which of them to take.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from facewise import choices
from facewise.errors import SettingError
from facewise.hardware import cpu
from facewise.nn.fast import KINDS, Kind, faster, kinds_in
from facewise.training.distributed import World
from facewise.training.settings import PaceSettings

Precision: TypeAlias = Literal["bf16", "fp16", "fp32"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

MOST_S = 5.0
"""Seconds that measuring may take."""

SHARE = 0.02
"""Of the run that measuring may take, where that is less."""

LEAST_STEPS = 100
"""A run of fewer steps takes what the hardware suggests: two steps of it would be more than their share."""

_FEWEST = 2
"""Photos a measured step has at least: batch norm needs two."""

_ROUNDS = (3, 2)
"""As many as there is time for, after one that makes plans for the shapes and takes memory. Every way has its
turn in each."""

_BETTER = 1.03
"""Times faster than the way it would replace, or it is not worth a change."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One way to train.

    Attributes:
        precision: `fp32`, or what autocast computes the network in; `fp16` comes with a gradient scaler.
        fast_layers: Kinds of layers that `facewise.nn.fast` replaces; on a CPU.
        channels_last: Whether a photo's channels lie together in memory, or each channel's pixels (NCHW).
    """

    precision: Precision = "fp32"
    fast_layers: tuple[Kind, ...] = ()
    channels_last: bool = True

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Around the network's forward pass."""
        return autocast(self.precision, device)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Keeps gradients of float16 off zero; it does nothing in other precisions."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def apply(self, network: nn.Module) -> nn.Module:
        """Give a network its fast layers, in place. Whoever moves it sets its memory layout."""
        return faster(network, self.fast_layers)

    def facts(self) -> dict[str, Any]:
        """Plain JSON values, of which `pace_of` makes it again."""
        return {
            "precision": self.precision,
            "fast_layers": list(self.fast_layers),
            "channels_last": self.channels_last,
        }

    def __str__(self) -> str:
        """Such as `bf16, channels last, fast prelu + strided`."""
        layers = f"fast {' + '.join(self.fast_layers)}" if self.fast_layers else "plain layers"
        return f"{self.precision}, {'channels last' if self.channels_last else 'NCHW'}, {layers}"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Computes in a precision within; in `fp32` it changes nothing."""
    return torch.autocast(
        device.type, _DTYPES[precision] if precision != "fp32" else None, enabled=precision != "fp32"
    )


def pace_of(facts: Mapping[str, Any]) -> Pace:
    """What `Pace.facts` told.

    Raises:
        KeyError: Something is missing.
    """
    layers = tuple(kind for kind in KINDS if kind in facts["fast_layers"])
    return Pace(facts["precision"], layers, bool(facts["channels_last"]))


def recorded(environment: Path, device: torch.device) -> Pace | None:
    """What a run's `environment.json` says; None in a run of Facewise 0.1, whose settings say it.

    Raises:
        SettingError: It began in fp16, and the device is no CUDA GPU.
    """
    try:
        pace = pace_of(json.loads(environment.read_text(encoding="utf-8"))["pace"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    _refuse_fp16(pace.precision, device)
    return pace


def _refuse_fp16(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type != "cuda":
        raise SettingError("fp16 needs a CUDA GPU: go on with the run on one, or begin with precision=auto.")


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to train and why it was taken.

    Attributes:
        pace: The way.
        by: `settings` said it; it was `measured`, or `recalled`, which is measured before on this machine; or
            the `hardware` suggests it, where it was not measured.
        speeds: Images/s of forward and backward pass of each way that was tried, by its name.
        seconds: That measuring took.
        tf32: Whether a GPU computes convolutions of float32 in TF32.
    """

    pace: Pace
    by: Literal["settings", "measured", "recalled", "hardware"]
    speeds: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    tf32: bool = False

    def facts(self) -> dict[str, Any]:
        """Plain JSON values, for the run's `environment.json`."""
        return {
            **self.pace.facts(),
            "by": self.by,
            "images/s": dict(self.speeds),
            "seconds": round(self.seconds, 2),
            "tf32": self.tf32,
        }

    def __str__(self) -> str:
        """One line for people."""
        why = {
            "settings": "as the settings say",
            "hardware": "by what the hardware can do; not measured",
            "measured": f"measured in {self.seconds:.1f} s",
            "recalled": "measured before on this machine",
        }[self.by]
        tried = ", ".join(f"{name} {speed:.1f}" for name, speed in self.speeds.items())
        text = f"Trains in {self.pace} ({why}{f'; images/s: {tried}' if tried else ''})."
        return text + (" Convolutions in float32 use TF32." if self.tf32 else "")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a step to measure is made of.

    Attributes:
        images: (B, 3, H, W) float32, as the network takes them: one step's.
        forward: From a copy of the network and some of the images, the first ones, to its output.
        loss: From that output to a scalar.
        prepare: Puts a copy of the network into the mode it trains in.
    """

    images: Tensor
    forward: Callable[[nn.Module, Tensor], Any]
    loss: Callable[[Any], Tensor]
    prepare: Callable[[nn.Module], object] = nn.Module.train


def default_pace(asked: PaceSettings, network: nn.Module, device: torch.device) -> Pace:
    """What the settings say, and what the hardware suggests where they say `auto`.

    bf16 where x86 or a GPU (from Ampere on; fp16 from Volta on) has it, else fp32. On a CPU fast PReLU, and
    in bf16 the other fast layers too: what `benchmarks/training.py` found.

    Args:
        asked: The settings.
        network: To be trained, of PyTorch's own layers.
        device: Where.

    Raises:
        SettingError: fp16 is asked for where there is no CUDA.
    """
    _refuse_fp16(asked.precision, device)
    precision: Precision = _precisions(device)[0] if asked.precision == "auto" else asked.precision
    if asked.fast_layers == "auto":
        kinds: Sequence[Kind] = KINDS if precision == "bf16" else ("prelu",)
    elif isinstance(asked.fast_layers, bool):
        kinds = KINDS if asked.fast_layers else ()
    else:
        kinds = asked.fast_layers
    there = kinds_in(network) if device.type == "cpu" else ()
    layers = tuple(kind for kind in there if kind in kinds)
    return Pace(precision, layers, True if asked.channels_last == "auto" else asked.channels_last)


def choose_pace(
    asked: PaceSettings,
    network: nn.Module,
    trial: Callable[[], Trial],
    *,
    steps: int,
    of: Mapping[str, Any],
    world: World | None = None,
) -> Choice:
    """Choose what the settings leave open; the same on all processes.

    Copies are what is measured: the network, the random numbers and all that training depends on stay as they
    are, so that the run is that of the choice said in its settings. It takes `MOST_S` seconds or `SHARE` of
    the run, whichever is less, on as many of a batch's photos as fit into that. What was measured on this
    machine before is not measured again.

    Args:
        asked: The settings.
        network: To be trained, of PyTorch's own layers.
        trial: Makes what a step is, where one is measured.
        steps: Of the whole run.
        of: What the speed depends on besides machine and settings: network, batch. Plain JSON values.
        world: Where to train; one process chooses for all.

    Raises:
        SettingError: fp16 is asked for where there is no CUDA.
    """
    world = world or World()
    default = default_pace(asked, network, world.device)
    chosen = Choice(default, "hardware")
    if world.is_main:
        chosen = _choose(asked, default, network, trial, steps, of, world.device)
    return replace(world.broadcast(chosen), tf32=_tf32(world.device))


def _choose(
    asked: PaceSettings,
    default: Pace,
    network: nn.Module,
    trial: Callable[[], Trial],
    steps: int,
    of: Mapping[str, Any],
    device: torch.device,
) -> Choice:
    settings = [asked.precision, asked.fast_layers, asked.channels_last]
    if "auto" not in settings:
        return Choice(default, "settings")
    key = {
        **of,
        "asked": settings,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    known = choices.recall("training", key)
    if known is not None:
        return Choice(pace_of(known), "recalled", known["images/s"], known["seconds"])
    if steps < LEAST_STEPS:
        return Choice(default, "hardware")
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        stopwatch = Stopwatch(network, trial(), device)
        found = _fastest(asked, default, stopwatch, network, steps)
    if found is None:
        return Choice(default, "hardware")
    choice = Choice(found, "measured", stopwatch.speeds(), stopwatch.seconds)
    choices.remember("training", key, choice.facts())
    return choice


def _fastest(
    asked: PaceSettings, default: Pace, stopwatch: Stopwatch, network: nn.Module, steps: int
) -> Pace | None:
    """The fastest way, or None where there is only one or no time to measure."""
    device = stopwatch.device
    precisions = _precisions(device) if asked.precision == "auto" else [default.precision]
    layouts = [True, False] if asked.channels_last == "auto" else [default.channels_last]
    ways = [
        replace(default_pace(asked.model_copy(update={"precision": p}), network, device), channels_last=c)
        for p in precisions
        for c in layouts
    ]
    kinds = kinds_in(network) if asked.fast_layers == "auto" and device.type == "cpu" else ()
    if len(ways) + len(kinds) < 2 or not stopwatch.plan(ways[0], len(ways) + 1 + len(kinds), steps):
        return None
    best = stopwatch.best(ways)
    if best is None:
        return None
    # Layers do not mind what other layers are: each kind is tried alone, all at the same time.
    flips = {kind: _flipped(best, kind) for kind in kinds}
    stopwatch.best([best, *flips.values()])
    gains = [kind for kind, flip in flips.items() if stopwatch.is_faster(flip, best)]
    for kind in gains:
        best = _flipped(best, kind)
    if len(gains) > 1:
        stopwatch.best([best])
    return best


def _flipped(pace: Pace, kind: Kind) -> Pace:
    """With a kind of fast layers that it had not, or without one that it had."""
    wanted = set(pace.fast_layers) ^ {kind}
    return replace(pace, fast_layers=tuple(k for k in KINDS if k in wanted))


class Stopwatch:
    """Times ways to train, each on a copy of the network.

    Attributes:
        device: Where it runs.
        seconds: Spent so far.
    """

    def __init__(self, network: nn.Module, trial: Trial, device: torch.device) -> None:
        self.device, self._network, self._trial = device, network, trial
        self._images = trial.images.to(device)
        self._begun, self._deadline = time.perf_counter(), float("inf")
        self._times: dict[Pace, list[float]] = {}
        self._rounds = 1

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return time.perf_counter() - self._begun

    def plan(self, first: Pace, ways: int, steps: int) -> bool:
        """See how long a step takes and take as many of its photos as there is time for.

        Args:
            first: A way, to see it by.
            ways: How many will be tried.
            steps: Of the run.

        Returns:
            Whether there is time to measure anything.
        """
        batch = self._images
        few = batch if self.device.type == "cuda" else batch[:_FEWEST]
        each = min(self._run(first, few) for _ in range(2)) / len(few)
        limit = min(MOST_S, SHARE * each * len(batch) * steps)
        for self._rounds in _ROUNDS:
            fit = (0.9 * limit - self.seconds) / (each * ways * (1 + self._rounds))
            if _FEWEST <= fit < float("inf"):
                self._images, self._deadline = batch[: min(len(batch), int(fit))], self._begun + limit
                return True
        return False

    def best(self, ways: Sequence[Pace]) -> Pace | None:
        """Time ways in turn: the fastest, the first unless one is clearly faster; None without time."""
        last = 0.0
        for round_ in range(1 + self._rounds):
            for way in ways:
                begun = time.perf_counter()
                if begun + last > self._deadline:
                    break
                took = self._run(way, self._images)
                last = time.perf_counter() - begun
                if round_:
                    self._times.setdefault(way, []).append(took)
        if any(way not in self._times for way in ways):
            return None
        faster = [way for way in ways if self.is_faster(way, ways[0])]
        return min(faster or ways[:1], key=lambda way: min(self._times[way]))

    def is_faster(self, way: Pace, other: Pace) -> bool:
        """Whether one way took clearly less time than another ever did, and not by chance: twice."""
        took, least = sorted(self._times.get(way, [])), min(self._times.get(other, [0.0]))
        return len(took) > 1 and _BETTER * took[1] < least

    def speeds(self) -> dict[str, float]:
        """Images/s of the ways timed, by name, each at its fastest: other work on the machine only slows."""
        fastest = {way: min(took) for way, took in self._times.items()}
        return {
            str(way): round(len(self._images) / took, 2)
            for way, took in fastest.items()
            if took < float("inf")
        }

    def _run(self, way: Pace, images: Tensor) -> float:
        """Seconds of one step forward and backward; infinite where it does not work, as out of memory."""
        network = way.apply(copy.deepcopy(self._network)).to(self.device)
        network.to(memory_format=way.memory_format)  # type: ignore[call-overload]
        self._trial.prepare(network)
        images = images.contiguous(memory_format=way.memory_format)
        self._wait()
        begun = time.perf_counter()
        try:
            with way.autocast(self.device):
                output = self._trial.forward(network, images)
            loss = self._trial.loss(output)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
        except RuntimeError:  # told when it happens in training, if no other way is left
            return float("inf")
        self._wait()
        return time.perf_counter() - begun

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _precisions(device: torch.device) -> list[Precision]:
    """What the hardware computes in, the likely fastest first."""
    if device.type == "cpu":
        if not cpu().has_bf16:
            return ["fp32"]
        # ARM's bf16 has to prove itself: PyTorch does not use it in every build.
        return ["fp32", "bf16"] if "bf16" in cpu().features else ["bf16", "fp32"]
    if device.type != "cuda":
        return ["fp32"]
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):  # Ampere
        return ["bf16", "fp32"]
    return ["fp16", "fp32"] if capability >= (7, 0) else ["fp32", "fp16"]  # tensor cores from Volta on


def _tf32(device: torch.device) -> bool:
    """Whether it computes convolutions of float32 in TF32."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    return bool(torch.backends.cudnn.allow_tf32)
