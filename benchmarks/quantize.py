"""What int8, fp16 and fusion gain and cost: each against the float32 file in bare ONNX Runtime, in turn."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from facewise.data.sample import open_photos, sample_crops, sample_photos
from facewise.detection import OnnxDetector
from facewise.embedding import Embedder
from facewise.evaluation.agreement import Agreement, compare_detectors, compare_embedders
from facewise.evaluation.pace import in_turn
from facewise.hardware import available_threads
from facewise.models import ModelFile, find_model, write_model
from facewise.models.fuse import fuse
from facewise.models.quantize import FORMATS, quantize
from facewise.pipeline import Pipeline
from facewise.variants import variants_of
from real import SHARED, have_models

PHOTOS = SHARED / "data" / "celeba-wild" / "images"
CALIBRATED, CHECKED, ROUNDS = 128, 100, 9
CHOICES: dict[str, dict[str, Any]] = {
    "QDQ, u8 activations, s8 weights": {},
    "QOperator format": {"quant_format": QuantFormat.QOperator},
    "s8 activations": {"activation_type": QuantType.QInt8},
    "u8 weights": {"weight_type": QuantType.QUInt8},
    "7-bit weights": {"reduce_range": True},
    "one scale a layer": {"per_channel": False},
}
"""What can be chosen in `quantize_static`; all layers in int8, ranges by min-max."""


def main() -> None:
    have_models()
    logging.disable(logging.WARNING)
    source = open_photos(PHOTOS)
    wanted = CALIBRATED + CHECKED
    crops = sample_crops(source, wanted, 112, pipeline=lambda: Pipeline.load(embed=False)).images
    photos = sample_photos(source, wanted, longest=640).images
    # Public models by name: the default may be a bundled one that is quantised already.
    embedder = find_model(os.environ.get("FACEWISE_EMBEDDER", "mobilefacenet-foamliu"), kind="embedder")
    detector = find_model(os.environ.get("FACEWISE_DETECTOR", "retinaface-mobilenet025"), kind="detector")
    with tempfile.TemporaryDirectory() as folder:
        made = formats(embedder, crops, Path(folder))
        formats(detector, photos, Path(folder))
        acceptance(embedder, made["int8"], np.stack(crops[:64]))
        choices(embedder, crops, Path(folder))
        operators({"float32": embedder, **made})


def formats(model: ModelFile, images: Sequence[np.ndarray], folder: Path) -> dict[str, ModelFile]:
    """Every format of a model: size, time to open, speed, agreement."""
    checked, calibrated = images[:CHECKED], images[CHECKED:]
    made = {"float32": model, "float32, fused": fused(model, folder)}
    for to in FORMATS:
        made[to] = quantize(model, folder / f"{model.card.name}-{to}.onnx", to=to, photos=calibrated).model
    many = available_threads()
    print(f"{model.card.name} through `{'Embedder' if model.card.kind == 'embedder' else 'OnnxDetector'}`:\n")
    print(f"| format | MB | opens in ms | 1 thread | {many} threads | agreement |\n|---|---|---|---|---|---|")
    for name, other in made.items():
        ratios = []
        for threads in (1, many):
            _, ratio = in_turn(work(model, images, threads), work(other, images, threads), rounds=ROUNDS)
            ratios.append(f"{ratio:.2f}×")
        opens = np.median([seconds(lambda other=other: session(other.network, 1)) for _ in range(7)]) * 1000
        size = f"{len(other.network) / 1e6:.2f}"
        print(
            f"| {name} | {size} | {opens:.0f} | {' | '.join(ratios)} | {agreement(model, other, checked)} |"
        )
    print()
    return {to: made[to] for to in FORMATS}


def fused(model: ModelFile, folder: Path) -> ModelFile:
    """The graph as ONNX Runtime leaves it on this machine, with all its fusions, written down."""
    path = folder / f"{model.card.name}-opened.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(model.network, options, providers=["CPUExecutionProvider"])
    return write_model(path, path.read_bytes(), replace(model.card, name="opened"))


def acceptance(original: ModelFile, made: ModelFile, crops: np.ndarray) -> None:
    """The int8 embedder, from pixels, against bare ONNX Runtime with ready float input at its best batch."""
    ready = original.card.preprocess(crops)
    print("int8 `Embedder` (from pixels) against the float32 file in bare ONNX Runtime, default options:\n")
    print("| threads | bare, crops/s | its best batch | int8, crops/s | ratio |\n|---|---|---|---|---|")
    for threads in (1, available_threads()):
        bare = session(original.network, threads)
        ways = {batch: bare_work(bare, ready, batch) for batch in (1, 2, 4, 8, 16, 32, 64)}
        best = min(ways, key=lambda batch: min(seconds(ways[batch]) for _ in range(4)))
        embedder = Embedder(made, flip=False, threads=threads, variant="int8")
        took, ratio = in_turn(ways[best], lambda e=embedder: e.embed(crops), rounds=2 * ROUNDS)
        rate = len(crops) / took
        print(f"| {threads} | {rate:.0f} | {best} | {rate * ratio:.0f} | {ratio:.2f} |")
    print("\nThe same two files, both in bare ONNX Runtime, by batch:\n")
    print("| threads | batch 1 | batch 4 | batch 8 | batch 32 |\n|---|---|---|---|---|")
    for threads in (1, available_threads()):
        bare, small = session(original.network, threads), session(made.network, threads)
        ratios = [
            in_turn(bare_work(bare, ready, batch), bare_work(small, ready, batch), rounds=ROUNDS)[1]
            for batch in (1, 4, 8, 32)
        ]
        print(f"| {threads} | {' | '.join(f'{ratio:.2f}×' for ratio in ratios)} |")
    print()


def choices(model: ModelFile, crops: Sequence[np.ndarray], folder: Path) -> None:
    """The knobs of `quantize_static`, one turned at a time, on one thread."""
    inputs = [model.card.preprocess(crop[None]) for crop in crops[CHECKED:]]
    base = {
        "quant_format": QuantFormat.QDQ,
        "per_channel": True,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "calibrate_method": CalibrationMethod.MinMax,
    }
    print(
        "Choices for int8, all layers quantised, 1 thread:\n\n| choice | speed | agreement |\n|---|---|---|"
    )
    for name, change in CHOICES.items():
        path = folder / "choice.onnx"
        quantize_static(fuse(model.network), str(path), Reader("images", inputs), **(base | change))
        other = write_model(path, path.read_bytes(), replace(model.card, name="choice"))
        _, ratio = in_turn(work(model, crops, 1), work(other, crops, 1), rounds=ROUNDS)
        print(f"| {name} | {ratio:.2f}× | {agreement(model, other, crops[:CHECKED])} |")
    print()


def operators(models: dict[str, ModelFile]) -> None:
    """Microseconds a crop by operator, batch 4 on one thread, by ONNX Runtime's profiler."""
    print("Microseconds a crop by operator, 1 thread, batch 4:\n\n| format | all | of which |\n|---|---|---|")
    for name, model in models.items():
        times = profile(model.network)
        shares = ", ".join(f"{kind} {spent:.0f}" for kind, spent in times.most_common(6))
        print(f"| {name} | {sum(times.values()):.0f} | {shares} |")
    print()


def profile(network: bytes, batch: int = 4, runs: int = 30) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        opened = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        feed = np.random.default_rng(0).normal(size=(batch, 3, 112, 112)).astype(np.float32)
        for _ in range(runs):
            opened.run(None, {"images": feed})
        events = json.loads(Path(opened.end_profiling()).read_text())
    spent: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent.setdefault((event["args"]["op_name"], event["name"]), []).append(event["dur"])
    times: Counter[str] = Counter()
    for (kind, _), durations in spent.items():
        times[kind] += float(np.median(durations)) / batch  # type: ignore[assignment]
    return times


def agreement(original: ModelFile, other: ModelFile, images: Sequence[np.ndarray]) -> str:
    found: Agreement
    if original.card.kind == "embedder":
        pair = [Embedder(m, flip=False, variant=variants_of(m)[0]) for m in (original, other)]
        found = compare_embedders(pair[0], pair[1], np.stack(images))
        return f"cosine {found.mean:.5f}, least {found.least:.4f}"
    detectors = [OnnxDetector(model, variant=variants_of(model)[0]) for model in (original, other)]
    seen = compare_detectors(detectors[0], detectors[1], images)
    return (
        f"{seen.found:.1%} of {seen.faces} faces, landmarks {seen.landmarks:.2%} of the eye distance away, "
        f"95th percentile {seen.landmarks_high:.2%}"
    )


def work(model: ModelFile, images: Sequence[np.ndarray], threads: int) -> Callable[[], object]:
    if model.card.kind == "embedder":
        embedder = Embedder(model, flip=False, threads=threads, variant=variants_of(model)[0])
        crops = np.stack(images[:32])
        return lambda: embedder.embed(crops)
    detector = OnnxDetector(model, threads=threads, variant=variants_of(model)[0])
    return lambda: [detector.detect(photo) for photo in images[:8]]


def session(network: bytes, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def bare_work(opened: Any, ready: np.ndarray, batch: int) -> Callable[[], object]:
    starts = range(0, len(ready), batch)
    return lambda: [opened.run(None, {"images": ready[start : start + batch]}) for start in starts]


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Reader:
    """A `CalibrationDataReader` by shape."""

    def __init__(self, name: str, inputs: Sequence[np.ndarray]) -> None:
        self.name, self.left = name, iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input, or None."""
        batch = next(self.left, None)
        return None if batch is None else {self.name: batch}


if __name__ == "__main__":
    main()
