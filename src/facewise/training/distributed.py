"""The processes that train one model together, as `torchrun` starts them, or the one there is without it."""

from __future__ import annotations

import ctypes
import inspect
import os
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from facewise.errors import FacewiseError, SettingError
from facewise.hardware import cpu
from facewise.training import sync_norm

_Value = TypeVar("_Value")

_LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "timed out waiting")
"""What messages of PyTorch have in them where another process died or does not answer."""

_COPY_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""PyTorch 2.13 gave the option another name."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run; in a `with` they can talk to each other.

    With one process there is no process group, and every method does what is right for one. Inside the
    `with`, the loss of another process, dead or silent for `timeout` seconds, is a `FacewiseError`.

    Attributes:
        rank: Which process this is, from 0.
        size: How many there are.
        device: What this one computes on.
        timeout: Seconds to wait for another process before giving up.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  devices are immutable
    timeout: float = 600.0

    @classmethod
    def from_environment(cls, device: str = "auto", timeout: float = 600.0) -> Self:
        """What `torchrun` says by RANK, WORLD_SIZE and LOCAL_RANK; without it, one process.

        Args:
            device: `cpu`, `cuda` or one GPU such as `cuda:1`; `auto` is the GPUs if there are any. With
                several processes, each takes the GPU of its LOCAL_RANK.
            timeout: Seconds to wait for another process.

        Raises:
            SettingError: The variables contradict each other, or a GPU is asked for that is not there.
        """
        rank, size = _number("RANK", 0), _number("WORLD_SIZE", 1)
        if not 0 <= rank < size:
            raise SettingError(
                f"RANK is {rank} but WORLD_SIZE is {size}: start the run with torchrun, or unset both."
            )
        local = _number("LOCAL_RANK", rank)
        return cls(rank, size, _device(device, local if size > 1 else None), timeout)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and talks to people."""
        return self.rank == 0

    def __enter__(self) -> Self:
        """Begin the process group, where there are several processes, and keep to the quota.

        Raises:
            FacewiseError: The others do not come.
        """
        keep_to_quota()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.size > 1:
            on_gpu = self.device.type == "cuda"
            try:
                dist.init_process_group(
                    "nccl" if on_gpu else "gloo",
                    rank=self.rank,
                    world_size=self.size,
                    timeout=timedelta(seconds=self.timeout),
                    device_id=self.device if on_gpu else None,
                )
            except (RuntimeError, ValueError) as error:
                raise FacewiseError(
                    f"Process {self.rank} of {self.size} cannot reach the others: {_first_line(error)}; "
                    "start all with torchrun, with the same MASTER_ADDR and MASTER_PORT."
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process group.

        Raises:
            FacewiseError: The work ended because another process was lost.
        """
        if self.size == 1:
            return
        try:
            if error is None:
                self.barrier()  # or a process that is done would look dead to the others
        except RuntimeError as late:
            error = late
        _end_group()
        if isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or _lost(error)):
            raise FacewiseError(
                f"Process {self.rank} of {self.size} lost another one, which died or did not answer for "
                f"{self.timeout:g} s: see what that one printed, then resume the run."
            ) from error
        if kind is None and error is not None:
            raise error

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def mean(self, value: float) -> float:
        """The mean over processes of one number of each."""
        if self.size == 1:
            return float(value)
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.size

    def broadcast(self, value: _Value) -> _Value:
        """What process 0 gives, on all; it must pickle. What others give is ignored."""
        if self.size == 1:
            return value
        box: list[Any] = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0, device=self.device)
        sent: _Value = box[0]
        return sent

    def share(self, count: int) -> slice:
        """Which of `count` items, such as the places in a whole batch, are this process's: an equal part."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def copy_from_main(self, module: nn.Module) -> None:
        """Give a module the parameters and buffers it has on process 0."""
        if self.size > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    def replicate(self, backbone: nn.Module) -> nn.Module:
        """What to call in training instead of a backbone, so that all processes train the same one.

        Weights and buffers become those of process 0, batch norms take the statistics of the whole batch, and
        backward leaves gradients averaged over processes. Make it again after freezing or unfreezing
        parameters.

        Args:
            backbone: On `device` already. It is changed in place, and stays the thing to evaluate and save.
        """
        if self.size == 1:
            return backbone
        backbone = sync_norm.convert(backbone)
        self.copy_from_main(backbone)
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            return backbone
        devices = [self.device] if self.device.type == "cuda" else None
        # Buffers need no copying in a step: the batch norms' are the same everywhere by construction.
        options: dict[str, Any] = {_COPY_BUFFERS: False, "find_unused_parameters": True}
        # Of weights (C, 1, K, K) two layouts are the same; PyTorch warns of it in every process.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            _Replica(backbone), device_ids=devices, gradient_as_bucket_view=True, **options
        )

    def accumulate(self, replica: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of each batch of a step: gradients add up, and the last averages them.

        Args:
            replica: From `replicate`.
            last: Whether this is the step's last batch.
        """
        if isinstance(replica, DistributedDataParallel) and not last:
            return replica.no_sync()
        return nullcontext()


class _Replica(nn.Module):
    """A backbone with a parameter that nothing uses.

    After its first step DDP lays gradients out anew, and processes add up what lies elsewhere in another
    order: a run of three or more that was resumed would differ in the last bit from one that was not. It does
    not where parameters may be unused, and then warns if none is.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.unused = nn.Parameter(next(backbone.parameters()).new_zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.backbone(x)
        return features


def _end_group() -> None:
    # Its threads may still be in a collective, or free the tensors of the last, and then need Python's lock,
    # which whoever frees the group holds while it waits for them: the process would hang for good. One more
    # reference: nobody frees it.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dist.group.WORLD))
    with suppress(RuntimeError):  # the first failure is the one to tell
        dist.destroy_process_group()


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, str(default))
    if not value.isdecimal():
        raise SettingError(f"The environment variable {variable} must be a whole number, not {value!r}.")
    return int(value)


def keep_to_quota() -> None:
    """Give PyTorch no more threads than this process's control group grants it time for.

    It starts one for each CPU it may run on, of which those beyond the quota would only wait for each other.
    """
    if cpu().quota is not None:
        torch.set_num_threads(min(torch.get_num_threads(), cpu().threads))


def _device(name: str, local: int | None) -> torch.device:
    """Args: local: Which GPU of this machine, where processes share them; None if this one may choose."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(f"There is no device {name!r}; use cpu, cuda or auto.") from error
    if device.type != "cuda":
        return device
    index = local if local is not None else device.index or 0
    if index >= torch.cuda.device_count():
        raise SettingError(
            f"GPU {index} is asked for and this machine has {torch.cuda.device_count()}: start fewer "
            "processes, or train on cpu."
        )
    return torch.device("cuda", index)


def _lost(error: RuntimeError) -> bool:
    return any(sign in str(error).lower() for sign in _LOST)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
