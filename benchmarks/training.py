"""Images a second in training, MobileFaceNet with batches of 64: the plain loop against ours, in turn.

    python benchmarks/training.py [ROUNDS [THREADS]]

Plain: float32, NCHW, PyTorch's own layers, batches that lie ready in memory. Ours: what `facewise train`
does, with augmentation, clipping, the average of the weights and memory kept between steps. The crops are
noise: no layer minds. Each way has a process of its own and its turn in every round.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection

import numpy as np
import torch

from facewise.data.augment import augmentation
from facewise.data.batches import Batches
from facewise.data.samplers import Shuffle
from facewise.data.source import FileSource
from facewise.data.store_build import build_store
from facewise.nn.backbones import BACKBONES
from facewise.nn.losses import LOSSES
from facewise.training.config import make_config
from facewise.training.distributed import World
from facewise.training.learner import Learner
from facewise.training.memory import kept_memory
from facewise.training.run import build, own_preprocess

PEOPLE, PHOTOS, BATCH = 158, 6, 64
STEPS = 4
"""Of each way a round."""


class Noise(FileSource):
    """Crops of noise, labelled."""

    def __init__(self) -> None:
        labels = np.repeat(np.arange(PEOPLE), PHOTOS)
        super().__init__(
            "noise", ".", [str(i) for i in range(len(labels))], labels, [f"P{i}" for i in range(PEOPLE)]
        )

    def read(self, index: int) -> np.ndarray:
        """Another crop for each number."""
        return np.random.default_rng(index).integers(0, 256, (112, 112, 3), dtype=np.uint8)


class Plain:
    """The loop everybody writes first."""

    waited_s = 0.0

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = BACKBONES.build("mobilefacenet", embedding_size=256, unit=False)
        self.head = LOSSES.build("arcface", 256, PEOPLE)
        parameters = [*self.network.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)
        self.images, self.labels = torch.randn(BATCH, 3, 112, 112), torch.randint(0, PEOPLE, (BATCH,))

    def run(self, steps: int) -> None:
        """So many updates of the weights."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.head(self.network(self.images), self.labels).backward()
            self.optimizer.step()


class Ours:
    """The learner, fed by the loader."""

    def __init__(self, folder: str, **changes: object) -> None:
        settings = {
            "name": "benchmark",
            "backbone": {"name": "mobilefacenet", "embedding_size": 256},
            "loss": {"name": "arcface"},
            "data": {"batch_size": BATCH, "augmentation": "medium"},
            "optimizer": {"rate": 0.01},
            "ema": 0.998,
        }
        config = make_config(settings, changes)
        store = build_store(Noise(), folder)
        torch.manual_seed(0)
        network, head = build(config, PEOPLE)
        self.learner = Learner(config, network, head, World(), own_preprocess(config.data.size))
        self.batches = Batches(store, Shuffle(store.labels, BATCH, 0), augmentation("medium"), threads=2)
        self.learner.train()
        self.epoch = 0
        self.ready = self.batches.epoch(0)

    @property
    def waited_s(self) -> float:
        """Seconds waited for batches so far."""
        return self.batches.waited_s

    def run(self, steps: int) -> None:
        """So many updates of the weights."""
        for step in range(steps):
            batch = next(self.ready, None)
            if batch is None:
                self.epoch += 1
                self.ready = self.batches.epoch(self.epoch)
                batch = next(self.ready)
            self.learner.step(batch, step, 1.0)


WAYS: dict[str, Callable[[str], Plain | Ours]] = {
    "plain float32 NCHW loop": lambda _: Plain(),
    "ours without fast layers": lambda folder: Ours(folder, fast_layers=False),
    "ours": Ours,
}


def work(name: str, threads: int | None, pipe: Connection) -> None:
    """One way in a process of its own, as it would be alone: it runs STEPS whenever it is asked."""
    if threads is not None:
        torch.set_num_threads(threads)
    is_plain = name.startswith("plain")
    with tempfile.TemporaryDirectory() as folder, nullcontext() if is_plain else kept_memory():
        way = WAYS[name](folder)
        way.run(2)
        pipe.send(torch.get_num_threads())
        while pipe.recv():
            before, started = way.waited_s, time.perf_counter()
            way.run(STEPS)
            pipe.send((time.perf_counter() - started, way.waited_s - before))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else None
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in WAYS:
        pipes[name], other = context.Pipe()
        context.Process(target=work, args=(name, threads, other), daemon=True).start()
    used = [pipe.recv() for pipe in pipes.values()]  # all are ready
    begun, waited = time.perf_counter(), 0.0
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            spent, waiting = pipe.recv()
            seconds[name].append(spent)
            waited += waiting
    for pipe in pipes.values():
        pipe.send(False)
    plain, ours = seconds["plain float32 NCHW loop"], seconds["ours"]
    took = time.perf_counter() - begun
    print(f"{used[0]} threads, {rounds} rounds of {STEPS} steps each way, {took:.0f} s")
    for name, found in seconds.items():
        speed = STEPS * BATCH / statistics.median(found)
        ratios = [b / a for a, b in zip(found, plain, strict=True)]
        print(
            f"{name:26} {speed:6.1f} images/s, {statistics.median(ratios):.2f} times "
            f"plain ({min(ratios):.2f} to {max(ratios):.2f} by round)"
        )
    print(f"data waits: {100 * waited / sum(ours):.2f}% of the time of ours")


if __name__ == "__main__":
    main()
