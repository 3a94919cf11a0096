"""Images a second in training, MobileFaceNet with batches of 64: the plain loop against ours, in turn.

    python benchmarks/training.py [ROUNDS [THREADS [STEPS [BATCH]]]]      # 5, all, 2, 64

Plain: float32, NCHW, PyTorch's own layers, batches that lie ready in memory. Ours: what `facewise train`
does, with augmentation, clipping, the average of the weights and memory kept between steps; by its defaults,
which choose precision, layers and memory layout (the choice is measured anew here), and in every way the
hardware has that it could have chosen. The crops are noise: no layer minds. Every way has its turn in every
round.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from facewise.data.augment import augmentation
from facewise.data.batches import Batches
from facewise.data.samplers import Shuffle
from facewise.data.source import FileSource
from facewise.data.store import CropStore
from facewise.data.store_build import build_store
from facewise.hardware import cpu
from facewise.nn.backbones import BACKBONES
from facewise.nn.fast import KINDS
from facewise.nn.losses import LOSSES
from facewise.training.config import make_config
from facewise.training.distributed import World
from facewise.training.learner import Learner
from facewise.training.memory import kept_memory
from facewise.training.pace import Pace
from facewise.training.run import build, choose, own_preprocess

PEOPLE, PHOTOS = 158, 6


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

    def __init__(self, size: int) -> None:
        torch.manual_seed(0)
        self.network = BACKBONES.build("mobilefacenet", embedding_size=256, unit=False)
        self.head = LOSSES.build("arcface", 256, PEOPLE)
        parameters = [*self.network.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)
        self.images, self.labels = torch.randn(size, 3, 112, 112), torch.randint(0, PEOPLE, (size,))

    def run(self, steps: int) -> None:
        """So many updates of the weights."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.head(self.network(self.images), self.labels).backward()
            self.optimizer.step()


class Ours:
    """The learner, fed by the loader, in one way or in that which is chosen for the defaults."""

    def __init__(self, store: CropStore, size: int, pace: Pace | None = None) -> None:
        settings = {
            "name": "benchmark",
            "backbone": {"name": "mobilefacenet", "embedding_size": 256},
            "loss": {"name": "arcface"},
            "data": {"batch_size": size, "augmentation": "medium"},
            "optimizer": {"rate": 0.01},
            "ema": 0.998,
            "epochs": 1000,  # long enough to be measured for
        }
        config, world = make_config(settings), World()
        preprocess = own_preprocess(config.data.size)
        torch.manual_seed(0)
        network, head = build(config, PEOPLE)
        sampler = Shuffle(store.labels, size, 0)
        self.choice = None
        if pace is None:
            self.choice = choose(config, network, head, world, preprocess, store, sampler)
            pace = self.choice.pace
        self.pace = pace
        self.learner = Learner(config, pace.apply(network), head, world, preprocess, pace=pace)
        self.batches = Batches(store, sampler, augmentation("medium"), threads=2)
        self.learner.train()
        self.epoch = 0
        self.ready = self.batches.epoch(0)

    def run(self, steps: int) -> float:
        """So many updates of the weights; the seconds waited for batches."""
        before = self.batches.waited_s
        for step in range(steps):
            batch = next(self.ready, None)
            if batch is None:
                self.epoch += 1
                self.ready = self.batches.epoch(self.epoch)
                batch = next(self.ready)
            self.learner.step(batch, step, 1.0)
        return self.batches.waited_s - before


def ways() -> list[Pace]:
    """What the defaults can choose from, but for mixtures of layers that hardly differ."""
    precisions = ("fp32", "bf16") if cpu().has_bf16 else ("fp32",)
    layers = ((), ("prelu",), KINDS)
    return [Pace(p, kinds, last) for p in precisions for kinds in layers for last in (True, False)]


def work_plain(threads: int, size: int, pipe: Connection) -> None:
    """The plain loop in a process of its own, whose memory is as it always is."""
    torch.set_num_threads(threads or torch.get_num_threads())
    plain = Plain(size)
    plain.run(2)
    pipe.send(None)
    while (steps := pipe.recv()) is not None:
        begun = time.perf_counter()
        plain.run(steps)
        pipe.send(time.perf_counter() - begun)


def work_ours(threads: int, size: int, pipe: Connection) -> None:
    """All of ours: a way is asked for by its number, the first is the defaults'."""
    torch.set_num_threads(threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder, kept_memory():
        os.environ["FACEWISE_HOME"] = folder  # nothing is recalled
        store = build_store(Noise(), Path(folder) / "crops")
        chosen = Ours(store, size)
        runs = [chosen, *(Ours(store, size, pace) for pace in ways() if pace != chosen.pace)]
        for ours in runs:
            ours.run(1)
        pipe.send((str(runs[0].choice), [str(ours.pace) for ours in runs], torch.get_num_threads()))
        while (asked := pipe.recv()) is not None:
            number, steps = asked
            begun = time.perf_counter()
            waited = runs[number].run(steps)
            pipe.send((time.perf_counter() - begun, waited))


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    rounds, threads, steps, size = (*given, *(5, 0, 2, 64)[len(given) :])
    context = multiprocessing.get_context("spawn")
    pipes, ready = [], []
    for work in (work_plain, work_ours):
        pipe, other = context.Pipe()
        context.Process(target=work, args=(threads, size, other), daemon=True).start()
        pipes.append(pipe)
        ready.append(pipe.recv())  # before the next begins, which measures and wants the machine to itself
    (plain, ours), (_, (choice, names, used)) = pipes, ready
    seconds: list[list[float]] = [[] for _ in range(1 + len(names))]
    begun, waited = time.perf_counter(), 0.0
    for _ in range(rounds):
        plain.send(steps)
        seconds[0].append(plain.recv())
        for number in range(len(names)):
            ours.send((number, steps))
            spent, waiting = ours.recv()
            seconds[1 + number].append(spent)
            waited += waiting if number == 0 else 0.0
    for pipe in pipes:
        pipe.send(None)
    print(f"{cpu()}, {used} threads, {rounds} rounds of {steps} steps, {time.perf_counter() - begun:.0f} s")
    print(choice)
    told = ["plain float32 NCHW loop", f"ours, chosen: {names[0]}", *(f"ours: {name}" for name in names[1:])]
    for name, found in zip(told, seconds, strict=True):
        ratio, low, high = against(seconds[0], found)
        speed = steps * size / statistics.median(found)
        print(f"{name:66} {speed:6.1f} images/s, {ratio:.2f} times plain ({low:.2f} to {high:.2f} by round)")
    best = min(range(1, len(seconds)), key=lambda i: statistics.median(seconds[i]))
    ratio, low, high = against(seconds[best], seconds[1])
    print(f"the choice against the best of ours: {ratio:.2f} times ({low:.2f} to {high:.2f} by round)")
    print(f"data waits: {100 * waited / sum(seconds[1]):.2f}% of the time of ours")


def against(other: list[float], found: list[float]) -> tuple[float, float, float]:
    """How many times faster, by the median, least and most of the rounds."""
    ratios = [b / a for a, b in zip(found, other, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


if __name__ == "__main__":
    main()
