"""`facewise embed` over all of LFW against the same models called one photo at a time.

All go from file to embedding of every face: read, decode, detect, align, embed. One at a time, each network
call may use all cores; with threads or processes (what `facewise embed` uses from 1,000 photos), each photo
is one core's, and starting the processes is counted. The photos are taken in three blocks, each all ways.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from facewise.pipeline import PhotoFaces
from real import have_models, photos, public_pipeline

BLOCK = 4411
STEP = int(sys.argv[1]) if len(sys.argv) > 1 else 1
"""Every STEP-th photo only: `benchmarks/pipeline.py 4` for a quick look."""


def main() -> None:
    have_models()
    pipeline, paths = public_pipeline(), photos(STEP)
    for path in paths[:10]:
        pipeline.read(path)
    list(pipeline.read_many(paths[:10]))
    ways: dict[str, Callable[[list[Path]], Iterable[PhotoFaces]]] = {
        "one photo at a time": lambda block: map(pipeline.read, block),
        "side by side, threads": pipeline.read_many,
        "side by side, processes (`facewise embed`)": lambda block: pipeline.read_many(block, processes=True),
    }
    seconds = {name: [] for name in ways}
    for start in range(0, len(paths), BLOCK):
        block, counts = paths[start : start + BLOCK], set()
        for name, way in ways.items():
            begun = time.perf_counter()
            counts.add(sum(len(found.faces) for found in way(block)))
            seconds[name].append(time.perf_counter() - begun)
        assert len(counts) == 1, "all ways must find the same faces"
    alone = np.array(seconds["one photo at a time"])
    print(f"{len(paths)} photos of 250×250 pixels, in {len(alone)} blocks, each all ways:\n")
    print("| way | photos/s | times one at a time | by block |\n|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = " ".join(f"{ratio:.2f}" for ratio in alone / taken)
        print(f"| {name} | {len(paths) / sum(taken):.1f} | {alone.sum() / sum(taken):.2f} | {ratios} |")


if __name__ == "__main__":
    main()
