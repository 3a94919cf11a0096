"""Training and inference on a GPU: images a second, how busy the GPU is, and what it waits for data.

    python benchmarks/gpu.py [--seconds 60] [--device cuda] [--recipe NAME …] [--batch N] [--photos N]

Recipes are trained as `facewise train` does, on crops of noise (no layer minds), each for so many seconds
after its first steps; then the default models run on ONNX Runtime's CUDA provider and on the CPU, and the
embeddings of both are compared. About six minutes with the defaults; nothing is downloaded. `--device cpu`
tries the script itself where there is no GPU.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
import torch

from facewise.data.source import FileSource
from facewise.embedding import Embedder
from facewise.errors import ModelError
from facewise.hardware import cpu
from facewise.pipeline import Pipeline
from facewise.training import train
from facewise.training.display import Quiet

RUNS = (("arcface-mobilefacenet", None), ("arcface-mobilefacenet", 512), ("partialfc-iresnet50", None))
"""Recipes and their batch sizes; None is the recipe's own."""

PHOTOS_EACH = 16
WARM_STEPS = 5
"""Before the clock runs: the first ones choose kernels and take memory."""

BATCHES = (1, 4, 64)


class Noise(FileSource):
    """Crops of noise, labelled."""

    def __init__(self, photos: int) -> None:
        labels = np.arange(photos) // PHOTOS_EACH
        names = [f"P{i}" for i in range(int(labels.max()) + 1)]
        super().__init__(f"noise-{photos}", ".", [str(i) for i in range(photos)], labels, names)

    def read(self, index: int) -> np.ndarray:
        """Another crop for each number."""
        return np.random.default_rng(index).integers(0, 256, (112, 112, 3), dtype=np.uint8)


class TimeUpError(Exception):
    """The time is up."""


class Usage(AbstractContextManager["Usage"]):
    """How busy the first GPU is and how much memory is taken, asked of nvidia-smi once a second."""

    QUERY = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-i", "0", "-l", "1")

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.text = "nvidia-smi is not here"

    def __enter__(self) -> Self:
        found = shutil.which("nvidia-smi")
        if found is not None:
            self._process = subprocess.Popen([found, *self.QUERY], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        lines = [line.split(",") for line in self._process.communicate()[0].splitlines()]
        samples = [(float(busy), float(used)) for busy, used in lines if busy.strip().isdigit()]
        if samples:
            busy, used = np.array(samples).T
            self.text = f"{np.mean(busy):.0f}% busy, {np.max(used) / 1024:.1f} GiB, {len(samples)} samples"


@dataclass
class Watch(Quiet):
    """Times a training step by step, and ends it.

    Attributes:
        seconds: To measure.
        batch: Photos a step.
        photos, elapsed, working: What was measured: photos, seconds from step to step, seconds within steps.
        said: Lines before the first step, of which the last says how it is computed.
        usage: Of the GPU.
    """

    seconds: float
    batch: int
    photos: int = 0
    elapsed: float = 0.0
    working: float = 0.0

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.usage = Usage()
        self._steps, self._last = 0, 0.0

    def say(self, text: str) -> None:
        """An epoch's end, which saves the run, is not timed."""
        self._last = 0.0
        if not self._steps:
            self.said.append(text)

    def step(self, values: Mapping[str, float]) -> None:
        """A step is done."""
        now = time.perf_counter()
        self._steps += 1
        if self._steps == WARM_STEPS:
            self.usage.__enter__()
        if self._steps > WARM_STEPS and self._last:
            self.photos += self.batch
            self.elapsed += now - self._last
            self.working += self.batch / values["images/s"]
        self._last = now
        if self.elapsed >= self.seconds:
            raise TimeUpError

    def __exit__(self, *_: object) -> None:
        self.usage.__exit__()


def trained(recipe: str, batch: int | None, options: argparse.Namespace, home: Path) -> str:
    """A row of the table."""
    settings = {"epochs": 100_000, "data.held_out_photos": 0, "data.held_out_people": 0}
    if batch is not None:
        settings["data.batch_size"] = batch
    used = batch if batch is not None else recipe_batch(recipe)
    watch = Watch(options.seconds, used)
    photos = max(options.photos, 2 * used, 2 * PHOTOS_EACH)
    with suppress(TimeUpError):
        train(
            Noise(photos), recipe, out=home / f"{recipe}-{used}", settings=settings,
            device=options.device, display=watch,
        )  # fmt: skip
    rate, waits = watch.photos / watch.elapsed, 1 - watch.working / watch.elapsed
    print(f"{recipe}, batch {used}: {watch.said[-1]}\n", flush=True)
    busy = watch.usage.text if options.device == "cuda" else "no GPU"
    return f"| {recipe} | {used} | {rate:,.0f} | {100 * max(0.0, waits):.1f}% | {busy} |"


def recipe_batch(recipe: str) -> int:
    """Photos a step that a recipe asks for."""
    from facewise.training.recipe import load_recipe

    return int(load_recipe(recipe).data.batch_size)


def inferred(provider: str, seconds: float, reference: np.ndarray | None) -> tuple[str, np.ndarray | None]:
    """A row of the table, and the embeddings."""
    try:
        pipeline = Pipeline.load(provider=provider)
    except ModelError as error:
        return f"| {provider} | {error} |" + " |" * (len(BATCHES) + 1), None
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(8)]
    crops = rng.integers(0, 256, (128, 112, 112, 3), dtype=np.uint8)
    found = [rate(lambda: pipeline.detector.detect_batch(photos), len(photos), seconds)]
    embeddings = pipeline.embedder.embed(crops)
    for batch in BATCHES:
        embedder = Embedder(pipeline.embedder.model, provider=provider, batch_size=batch)
        found.append(rate(lambda embedder=embedder: embedder.embed(crops), len(crops), seconds))
    same = "" if reference is None else f"{float((reference * embeddings).sum(axis=1).min()):.5f}"
    return f"| {provider} | {' | '.join(f'{one:,.0f}' for one in found)} | {same} |", embeddings


def rate(work: Callable[[], object], count: int, seconds: float) -> float:
    """What is done in a second, of `count` a call, after two calls that are not timed."""
    work(), work()
    began, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds or not calls:
        work()
        calls += 1
    return calls * count / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--recipe", action="append")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--photos", type=int)
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("PyTorch sees no CUDA GPU here; `--device cpu` tries the script without one.", file=sys.stderr)
        sys.exit(3)
    options.photos = options.photos or (16_384 if on_gpu else 64)
    runs = [(name, options.batch) for name in options.recipe] if options.recipe else RUNS
    if not on_gpu and not options.recipe:
        runs = [(name, options.batch or 8) for name in dict(RUNS)]
    print(f"{cpu()}; Python {platform.python_version()}, PyTorch {torch.__version__}, ", end="")
    print(f"ONNX Runtime {onnxruntime.__version__} ({', '.join(onnxruntime.get_available_providers())})")
    if on_gpu:
        major, minor = torch.cuda.get_device_capability()
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        print(
            f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, compute capability {major}.{minor}, ", end=""
        )
        print(f"CUDA {torch.version.cuda}")
    print()
    with tempfile.TemporaryDirectory() as home:
        rows = [trained(name, batch, options, Path(home)) for name, batch in runs]
    print("| training | batch | images/s | waits for data | GPU |\n|---|---|---|---|---|")
    print("\n".join(rows), flush=True)
    columns = " | ".join(f"crops/s, batch {batch}" for batch in BATCHES)
    print(f"\n| inference on | photos/s, 640×480, detected | {columns} | least cosine to the CPU's |")
    print("|---|---|" + "---|" * (len(BATCHES) + 1))
    seconds = min(options.seconds / 4, 10.0)
    row, embeddings = inferred("cpu", seconds, None)
    print(row, flush=True)
    if on_gpu:
        print(inferred("cuda", seconds, embeddings)[0])


if __name__ == "__main__":
    main()
