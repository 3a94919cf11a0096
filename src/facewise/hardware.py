"""What this machine's processor can do, and how much of it this process may use."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

FEATURES = (
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "neon",
    "dotprod",
    "i8mm",
    "bf16",
)
"""Extensions that decide how fast networks are here, by Linux's names for x86 and Arm's names for Arm."""

HIDDEN = "FACEWISE_CPU_FEATURES"
"""Environment variable that says the features instead: `FACEWISE_CPU_FEATURES=avx,avx2,fma` hides all others
from Facewise's choices. PyTorch, ONNX Runtime and OpenCV ask the processor themselves."""

_ARM = {"asimd": "neon", "asimddp": "dotprod"}
_NUMPY = {"FMA3": "fma", "AVX512VNNI": "avx512_vnni", "ASIMDDP": "dotprod"}
_APPLE = {
    "hw.optional.avx1_0": "avx",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.fma": "fma",
    "hw.optional.f16c": "f16c",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.neon": "neon",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
}


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor, as this process sees it.

    Attributes:
        name: What the maker calls it; `"unknown"` where the system does not say.
        features: Those of `FEATURES` that it has.
        cores: CPUs this process may run on, by its affinity.
        quota: CPUs' worth of time its control group grants it, or None without a limit.
    """

    name: str
    features: frozenset[str]
    cores: int
    quota: float | None = None

    @property
    def threads(self) -> int:
        """Threads that can run at once: a container's quota counts, not the CPUs its host has."""
        return self.cores if self.quota is None else max(1, min(self.cores, math.ceil(self.quota)))

    @property
    def has_bf16(self) -> bool:
        """Whether it multiplies bfloat16 in hardware; elsewhere bfloat16 is emulated, and slow."""
        return not self.features.isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))

    @property
    def has_int8(self) -> bool:
        """Whether it adds up products of 8-bit numbers in one instruction (VNNI, AMX, Arm's dot product)."""
        fast = ("avx_vnni", "avx512_vnni", "amx_int8", "dotprod", "i8mm")
        return not self.features.isdisjoint(fast)

    @property
    def kind(self) -> str:
        """What decides how fast networks are, such as `"AVX2"`, `"AVX-512 VNNI bf16"` or `"Arm int8"`."""
        wide = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("neon", "Arm"))
        words = [next((name for feature, name in wide if feature in self.features), "no AVX")]
        if self.has_int8:
            words.append("int8" if "neon" in self.features else "VNNI")
        return " ".join([*words, "bf16"] if self.has_bf16 else words)

    def __str__(self) -> str:
        """Such as `AMD EPYC 7302 (avx2, fma), 2 cores, quota 1.5`."""
        told = ", ".join(name for name in FEATURES if name in self.features) or "no known extensions"
        text = f"{self.name} ({told}), {self.cores} core{'s' * (self.cores != 1)}"
        return text if self.quota is None else f"{text}, quota {self.quota:g}"


@cache
def cpu() -> Cpu:
    """The processor of this machine, asked once a process.

    Examples:
        >>> cpu().threads >= 1
        True
    """
    name, features = _described()
    hidden = os.environ.get(HIDDEN)
    if hidden is not None:
        features = hidden.replace(",", " ").split()
    return Cpu(name or "unknown", frozenset(FEATURES).intersection(features), _affinity(), _quota())


def available_threads() -> int:
    """Threads that can run at once in this process: see `Cpu.threads`."""
    return cpu().threads


def keep_libraries_to_quota() -> None:
    """Has OpenBLAS, FAISS, PyTorch and OpenCV use no more threads than `available_threads`.

    They count the CPUs of the machine, and read these variables as they load: so this is for the start of a
    program. Without a quota, and where somebody has set them, all stays as it is.
    """
    here = cpu()
    if here.threads < here.cores:
        for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
            os.environ.setdefault(name, str(here.threads))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _described() -> tuple[str, Iterable[str]]:
    """Name and features, by the best source of the system."""
    if platform.system() == "Darwin":
        return _from_sysctl()
    text = _read(Path("/proc/cpuinfo"))
    if text:
        return from_cpuinfo(text)
    return platform.processor() or platform.machine(), _from_numpy()


def from_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Name and features of the first processor in the text of Linux's `/proc/cpuinfo`.

    Args:
        text: Its content, of an x86 or an Arm machine.
    """
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or facts.get("Model") or facts.get("Hardware") or platform.machine()
    words = (facts.get("flags") or facts.get("Features") or "").split()
    return name, frozenset(_ARM.get(word, word) for word in words).intersection(FEATURES)


def _from_sysctl() -> tuple[str, frozenset[str]]:
    library = ctypes.CDLL(None)

    def ask(key: str, size: int) -> bytes:
        buffer, length = ctypes.create_string_buffer(size), ctypes.c_size_t(size)
        failed = library.sysctlbyname(key.encode(), buffer, ctypes.byref(length), None, 0)
        return b"" if failed else buffer.raw[: length.value]

    name = ask("machdep.cpu.brand_string", 256).rstrip(b"\0").decode("utf-8", "replace")
    return name, frozenset(ours for key, ours in _APPLE.items() if any(ask(key, 8)))


def _from_numpy() -> frozenset[str]:
    """NumPy asks the processor itself on every system; it does not know of bfloat16."""
    try:
        found = import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):
        return frozenset()
    return frozenset(_NUMPY.get(name, name.lower()) for name, here in found.items() if here)


def _quota() -> float | None:
    groups = _read(Path("/proc/self/cgroup"))
    return quota(groups, Path("/sys/fs/cgroup")) if groups else None


def quota(groups: str, root: Path) -> float | None:
    """CPUs' worth of time that control groups grant a process; the least of its group's and all groups above.

    Args:
        groups: Content of `/proc/self/cgroup`.
        root: Where control groups are mounted, `/sys/fs/cgroup`.

    Returns:
        Such as 1.5, or None without a limit.
    """
    limits: list[float] = []
    for line in groups.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:  # version 2
            mounts, read = (root, root / "unified"), _limit_of_v2
        elif "cpu" in controllers.split(","):
            mounts, read = (root / controllers, root / "cpu"), _limit_of_v1
        else:
            continue
        for mount in mounts:
            group = mount / path.strip("/")
            # Within a container the path may be the host's, which is not there: its own group is the mount.
            above = [place for place in (group, *group.parents) if place == mount or mount in place.parents]
            limits += [found for place in above if (found := read(place)) is not None]
    return min(limits, default=None)


def _limit_of_v2(group: Path) -> float | None:
    words = _read(group / "cpu.max").split()
    return _ratio(words[0], words[1] if len(words) > 1 else "100000") if words else None


def _limit_of_v1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _ratio(limit: str, period: str) -> float | None:
    try:
        granted, of = int(limit), int(period)
    except ValueError:  # "max", or no such file
        return None
    return granted / of if granted > 0 and of > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def facts() -> Mapping[str, object]:
    """What stands beside every measured number: name, features, cores and quota."""
    here = cpu()
    return {
        "processor": here.name,
        "features": [name for name in FEATURES if name in here.features],
        "cores": here.cores,
        "quota": here.quota,
    }
