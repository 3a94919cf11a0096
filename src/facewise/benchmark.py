"""Speed on this machine: each stage alone, and the whole pipeline one photo at a time and side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise import hardware
from facewise.embedding import Embedder
from facewise.hardware import available_threads
from facewise.image import decode, load, source_name
from facewise.network import PROVIDERS
from facewise.pipeline import Pipeline, Steps
from facewise.types import Image
from facewise.variants import float_network


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline on one thread.

    Attributes:
        name: What was measured.
        median_ms: Median milliseconds a call.
        best_ms: The fastest call.
        calls: How many were measured.
    """

    name: str
    median_ms: float
    best_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """Photos a second through detection, alignment and embedding, both ways in turn on the same photos.

    Attributes:
        one_at_a_time: Calling `Pipeline.read` photo by photo; each network call uses all threads.
        side_by_side: `Pipeline.read_many`; each photo is one thread's.
        ratio: Median over the rounds of `side_by_side / one_at_a_time`.
        photos: Photos a round.
        rounds: How often each was measured.
    """

    one_at_a_time: float
    side_by_side: float
    ratio: float
    photos: int
    rounds: int


def stages(pipeline: Pipeline, photos: Sequence[Path], *, calls: int = 50) -> list[Stage]:
    """Decode, detect, align and embed, each alone on one thread, over the photos in turn.

    Args:
        pipeline: Detector and embedder.
        photos: At least one; may be empty for drawn noise, which leaves decoding out.
        calls: Calls a stage.
    """
    data = [load(path) for path in photos[:calls]]
    names = [source_name(path) for path in photos[:calls]]
    images = [decode(item, name=name) for item, name in zip(data, names, strict=True)] or [_noise()]
    marks = np.tile(np.array([[30, 40], [60, 40], [45, 58], [33, 75], [57, 75]], dtype=np.float32), (1, 1, 1))
    boxes, cut = [[20, 15, 70, 90]], pipeline.cut
    crops = [cut.of(image, boxes, marks) for image in images]
    work: list[tuple[str, Callable[[int], object]]] = [
        ("detect", lambda i: pipeline.detector.detect(images[i % len(images)], threads=1)),
        ("align", lambda i: cut.of(images[i % len(images)], boxes, marks)),
        ("embed", lambda i: pipeline.embedder.embed(crops[i % len(crops)], threads=1)),
    ]
    if data:
        work.insert(0, ("decode", lambda i: decode(data[i % len(data)])))
    return [_measure(name, call, calls) for name, call in work]


def throughput(pipeline: Pipeline, photos: Sequence[Path], *, rounds: int = 3) -> Throughput:
    """The whole pipeline both ways in turn, so that a machine whose speed drifts is fair to both.

    Args:
        pipeline: Detector and embedder.
        photos: At least one.
        rounds: How often each way is measured.
    """
    steps = Steps(main_only=True)
    list(pipeline.read_many(photos[: pipeline.threads * 2], steps))  # opens all sessions
    pipeline.read(photos[0], steps)
    pairs = []
    for _ in range(rounds):
        started = time.perf_counter()
        for photo in photos:
            pipeline.read(photo, steps)
        alone = time.perf_counter() - started
        started = time.perf_counter()
        for _ in pipeline.read_many(photos, steps):
            pass
        pairs.append((len(photos) / alone, len(photos) / (time.perf_counter() - started)))
    rates = np.median(np.array(pairs), axis=0)
    ratio = float(np.median([many / one for one, many in pairs]))
    return Throughput(float(rates[0]), float(rates[1]), ratio, len(photos), rounds)


def embedder_rate(pipeline: Pipeline, *, crops: int = 256, rounds: int = 5) -> dict[str, float]:
    """Crops a second through `Embedder.embed`, and of the float network in bare ONNX Runtime, in turn.

    The bare run is what one would have without Facewise: the model's float network, ready-made float input, a
    session of its own with ONNX Runtime's default options and all threads, at the fastest batch of 1 to 64.

    Args:
        pipeline: Its embedder is measured.
        crops: Crops a round.
        rounds: How often each is measured.

    Returns:
        `embedder`, `raw`, `raw_batch` and `ratio` (median over the rounds of embedder / raw).
    """
    import onnxruntime as ort  # noqa: PLC0415  not needed by the rest

    ours = pipeline.embedder
    # Without flip averaging: that runs every crop twice, which the bare run does not.
    embedder = Embedder(
        ours.model,
        flip=False,
        provider=ours.provider,
        threads=ours.network.threads,
        variant=ours.variant.name,
    )
    size = embedder.crop_size
    pixels = np.random.default_rng(0).integers(0, 256, (crops, size, size, 3), dtype=np.uint8)
    ready = embedder.model.card.preprocess(pixels)
    options = ort.SessionOptions()
    options.intra_op_num_threads = embedder.network.threads
    session = ort.InferenceSession(
        float_network(embedder.model), options, providers=[PROVIDERS[embedder.provider]]
    )
    source = session.get_inputs()[0].name

    def raw(batch: int) -> float:
        started = time.perf_counter()
        for start in range(0, crops, batch):
            session.run(None, {source: ready[start : start + batch]})
        return crops / (time.perf_counter() - started)

    best = max((1, 2, 4, 8, 16, 32, 64), key=lambda batch: max(raw(batch), raw(batch)))
    embedder.embed(pixels)
    pairs = []
    for _ in range(rounds):
        bare = raw(best)
        started = time.perf_counter()
        embedder.embed(pixels)
        pairs.append((bare, crops / (time.perf_counter() - started)))
    rates = np.median(np.array(pairs), axis=0)
    ratio = float(np.median([through / bare for bare, through in pairs]))
    return {"embedder": float(rates[1]), "raw": float(rates[0]), "raw_batch": best, "ratio": ratio}


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    import platform  # noqa: PLC0415

    return {"cpu": hardware.facts(), "threads": available_threads(), "python": platform.python_version()}


def _measure(name: str, call: Callable[[int], object], calls: int) -> Stage:
    for i in range(3):
        call(i)
    times = []
    for i in range(calls):
        started = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - started) * 1000)
    return Stage(name, float(np.median(times)), min(times), calls)


def _noise() -> Image:
    """A 640×480 picture of smooth noise: what there is to look at where no photo is given."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, axis=0).repeat(16, axis=1))
