"""`facewise embed` of 1,000 photos, side by side, against one photo at a time, all ways in turn.

All go from file to embedding of every face: read, decode, detect, align, embed. One at a time, each network
call may use all cores; what it gains by them (see the row of one thread) cannot be gained again side by side.
Side by side each photo is one core's: a thread's, or, as `facewise embed` does with many photos, a process's,
whose start is counted. `--photos 13233` is all of LFW, `--public` takes the public models instead of the
bundled ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from facewise.pipeline import PhotoFaces, Pipeline
from real import have_models, photos, public_pipeline


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--photos", type=int, default=1000)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--threads", type=int)
    words.add_argument("--public", action="store_true")
    asked = words.parse_args()
    if asked.public:
        have_models()
    load = public_pipeline if asked.public else Pipeline.load
    pipeline, alone = load(threads=asked.threads), load(threads=1)
    paths = photos()
    paths = [paths[i * len(paths) // asked.photos] for i in range(asked.photos)]
    ways: dict[str, Callable[[list[Path]], Iterable[PhotoFaces]]] = {
        "one photo at a time": lambda block: map(pipeline.read, block),
        "one photo at a time, one thread": lambda block: map(alone.read, block),
        "side by side": pipeline.read_many,
        "side by side, as `facewise embed`": lambda block: pipeline.read_many(block, processes=True),
    }
    seconds = measure(ways, paths, asked.rounds)
    first, single = (np.array(taken) for taken in list(seconds.values())[:2])
    print(
        f"{len(paths)} photos of 250×250 pixels, {asked.rounds} rounds of all ways in turn, "
        f"{pipeline.threads} threads; {pipeline.detector.name} and {pipeline.embedder.name}:\n"
    )
    print("| way | photos/s | times one at a time, median | by round | times one thread, median |")
    print("|---|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = first / taken
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        rate, cores = len(paths) / np.median(taken), np.median(single / taken)
        print(f"| {name} | {rate:.1f} | {np.median(ratios):.2f} | {each} | {cores:.2f} |")


def measure(
    ways: dict[str, Callable[[list[Path]], Iterable[PhotoFaces]]], paths: list[Path], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each way by round, which all find the same faces."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        list(way(paths[:40]))  # opens all sessions, and settles their threads
    for _ in range(rounds):
        counts = set()
        for name, way in ways.items():
            begun = time.perf_counter()
            counts.add(sum(len(found.faces) for found in way(paths)))
            seconds[name].append(time.perf_counter() - begun)
        assert len(counts) == 1, "all ways must find the same faces"
    return seconds


if __name__ == "__main__":
    main()
