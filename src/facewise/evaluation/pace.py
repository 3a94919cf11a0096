"""How fast a model that was made from another is, beside it and in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facewise.detection import load_detector
from facewise.embedding import Embedder
from facewise.hardware import available_threads
from facewise.models.file import ModelFile
from facewise.types import Image
from facewise.variants import variants_of

_CROPS = 32
_PHOTOS = 8
"""Crops and photos a timed run; one takes a tenth to half a second on one core."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Two models on so many threads.

    Attributes:
        threads: CPU threads.
        original: Crops or photos a second with the original (median).
        ratio: How many times faster the other is (median over the rounds).
    """

    threads: int
    original: float
    ratio: float


def paces(
    original: ModelFile,
    other: ModelFile,
    images: Sequence[Image],
    *,
    rounds: int = 5,
    threads: Sequence[int] | None = None,
) -> list[Pace]:
    """Time two models of one kind, through `Embedder.embed` or `Detector.detect`.

    Args:
        original: A model.
        other: What was made from it.
        images: Crops for embedders, photos for detectors; at least one.
        rounds: How often each is timed.
        threads: Thread counts to time; None is one and all.
    """
    counts = sorted({1, available_threads()}) if threads is None else threads
    images = images[: _CROPS if original.card.kind == "embedder" else _PHOTOS]
    found = []
    for count in counts:
        seconds, ratio = in_turn(_work(original, images, count), _work(other, images, count), rounds=rounds)
        found.append(Pace(count, len(images) / seconds, ratio))
    return found


def in_turn(
    original: Callable[[], object], other: Callable[[], object], *, rounds: int = 5
) -> tuple[float, float]:
    """Time two ways of the same work in turn, so that a machine whose speed drifts is fair to both.

    Args:
        original: Does the work once.
        other: Likewise.
        rounds: How often each is timed, after one run that is not.

    Returns:
        Seconds of the original (median), and how many times faster the other is (median over the rounds).
    """
    pairs = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        original()
        between = time.perf_counter()
        other()
        pairs.append((between - started, time.perf_counter() - between))
    times = np.array(pairs[1:])
    return float(np.median(times[:, 0])), float(np.median(times[:, 0] / times[:, 1]))


def _work(model: ModelFile, images: Sequence[Image], threads: int) -> Callable[[], object]:
    # The network that was made, not the faster one of an int8 model.
    made = variants_of(model)[0]
    if model.card.kind == "embedder":
        embedder = Embedder(model, flip=False, provider="cpu", threads=threads, variant=made)
        crops = np.stack(list(images))
        return lambda: embedder.embed(crops)
    detector = load_detector(model, provider="cpu", threads=threads, variant=made)
    return lambda: [detector.detect(photo) for photo in images]
