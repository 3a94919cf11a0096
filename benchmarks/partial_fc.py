"""Partial FC with a million people: what a step takes in memory and time, over four processes.

`python benchmarks/partial_fc.py [--classes C] [--processes P] [--sampling R]`; no data needed. In one step of
each process every tensor that PyTorch makes is looked at: none may have as many rows or columns as there are
classes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facewise.nn.losses.sharded import ShardedHead
from facewise.training.distributed import World
from facewise.training.row_optim import RowSGD

DIMENSION, STEPS = 512, 5


class Largest(TorchDispatchMode):
    """Looks at every tensor made, forward, backward and in the optimiser; views are not new memory."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.shape: tuple[int, ...] = ()
        self.size = 0
        self.whole: list[tuple[int, ...]] = []
        self.seen = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage().data_ptr() for t in tree_leaves(args) if _dense(t)}
        out = function(*args, **(kwargs or {}))
        for made in (t for t in tree_leaves(out) if isinstance(t, Tensor)):
            self.seen += 1
            if any(length >= self.classes for length in made.shape):
                self.whole.append(tuple(made.shape))
            if _dense(made) and made.untyped_storage().data_ptr() not in given and made.nbytes > self.size:
                self.shape, self.size = tuple(made.shape), made.nbytes
        return out


def _dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def work(rank: int, port: int, options: argparse.Namespace, results: Any) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    torch.set_num_threads(1)
    with World(rank, options.processes) as world:
        before = rss()
        head = ShardedHead(DIMENSION, options.classes, sampling=options.sampling)
        optimizer = RowSGD(head.parameters(), lr=0.1)
        held = rss() - before
        step(world, head, optimizer, options, 0)  # makes the momentum, as large as the weights
        world.barrier()
        with_state, times = rss(), []
        with Peak() as peak:
            for number in range(1, STEPS + 1):
                started = time.perf_counter()
                step(world, head, optimizer, options, number)
                world.barrier()
                times.append(time.perf_counter() - started)
        with Largest(options.classes) as largest:
            step(world, head, optimizer, options, STEPS + 1)
        results.put(
            {
                "rank": rank,
                "rows": head.rows,
                "weight": head.weight.nbytes,
                "held": held,
                "steady": with_state,
                "growth": peak.highest - with_state,
                "highest": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "seconds": float(np.median(times)),
                "tensors": largest.seen,
                "shape": largest.shape,
                "largest": largest.size,
                "whole": largest.whole,
            }
        )


def step(
    world: World, head: ShardedHead, optimizer: RowSGD, options: argparse.Namespace, number: int
) -> None:
    random = np.random.default_rng([number, world.rank])
    embeddings = torch.from_numpy(
        random.standard_normal((options.batch, DIMENSION), np.float32)
    ).requires_grad_()
    labels = torch.from_numpy(random.integers(0, options.classes, options.batch))
    optimizer.zero_grad()
    head(embeddings, labels).backward()
    optimizer.step()


class Peak:
    """The highest resident memory while in the `with`, looked at each millisecond."""

    def __enter__(self) -> Peak:
        self.highest, self._done = rss(), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.001):
            self.highest = max(self.highest, rss())


def rss() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--sampling", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=32, help="photos of each process")
    options = parser.parse_args()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    workers = [
        context.Process(target=work, args=(rank, store.port, options, results))
        for rank in range(options.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit("a process failed")
    report(options, sorted((results.get() for _ in workers), key=lambda one: one["rank"]))


def report(options: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    mib = 1 << 20
    whole = options.classes * DIMENSION * 4
    print(
        f"{options.classes:,} people × {DIMENSION} ({whole / mib:,.0f} MiB of float32) over "
        f"{options.processes} processes on CPU, sampling {options.sampling:g}, {options.batch} photos each.\n"
    )
    print(
        "| process | rows | weights, MiB | share | RSS with state | a step adds | s a step | largest made |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for one in results:
        print(
            f"| {one['rank']} | {one['rows']:,} | {one['weight'] / mib:.1f} | {one['weight'] / whole:.4f} "
            f"| {one['steady'] / mib:.0f} MiB | {one['growth'] / mib:.0f} MiB | {one['seconds']:.2f} "
            f"| {one['shape']}, {one['largest'] / mib:.1f} MiB |"
        )
    seen, found = sum(one["tensors"] for one in results), [shape for one in results for shape in one["whole"]]
    print(
        f"\nOf {seen:,} tensors made in a step of all processes, {len(found)} have a dimension of "
        f"{options.classes:,} or more. Highest memory of all processes together: "
        f"{sum(one['highest'] for one in results) / (1 << 30):.2f} GiB."
    )
    if found and options.processes > 1:
        raise SystemExit(f"tensors as large as all classes were made: {found[:5]}")


if __name__ == "__main__":
    main()
