"""Work in several processes that talk to each other, as torchrun would start them, quickly.

A server process imports PyTorch once and forks the workers, so that one costs milliseconds instead of
seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from facewise.training.distributed import World

_CONTEXT = multiprocessing.get_context("forkserver")
# DistributedDataParallel imports the compiler when it is first made.
_CONTEXT.set_forkserver_preload(
    ["torch._dynamo", "facewise.training.distributed", "facewise.training.shards"]
)


def in_processes(work: Callable[..., Any], size: int, *arguments: Any, begun: bool = True) -> list[Any]:
    """`work(world, *arguments)` in `size` processes, in the `with` of the world or before it; what each
    returned.

    None where one died.
    """
    # As torchrun does, the parent keeps the meeting point: its port is free for certain.
    store = dist.TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=120)
    )
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            _CONTEXT.Process(
                target=_one, args=(work, arguments, begun, _environment(rank, size, store.port), folder)
            )
            for rank in range(size)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(180)
            assert not worker.is_alive(), [w.kill() for w in workers]
        failures = [path.read_text() for path in sorted(Path(folder).glob("*.txt"))]
        assert not failures, "\n".join(failures)
        paths = [Path(folder) / f"{rank}.pt" for rank in range(size)]
        return [torch.load(path, weights_only=False) if path.exists() else None for path in paths]


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": "lo",
    }


def _one(
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    begun: bool,
    environment: dict[str, str],
    folder: str,
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    rank = environment["RANK"]
    try:
        world = World.from_environment("cpu", timeout=120)
        with world if begun else nullcontext():
            result = work(world, *arguments)
        torch.save(result, Path(folder) / f"{rank}.pt")
    except BaseException:  # noqa: BLE001  the parent raises it
        (Path(folder) / f"{rank}.txt").write_text(f"process {rank}\n{traceback.format_exc()}")
