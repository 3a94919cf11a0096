"""`facewise embed` over all of LFW against the same models called one photo at a time.

Both go from file to embedding of every face: read, decode, detect, align, embed. One at a time, each network
call may use all cores; side by side, each photo is one thread's. The photos are taken in blocks, each block
both ways.
"""

from __future__ import annotations

import time

import numpy as np

from facewise.pipeline import Pipeline
from real import have_models, photos

BLOCK = 441


def main() -> None:
    have_models()
    pipeline, paths = Pipeline.load(), photos()
    for path in paths[:10]:
        pipeline.read(path)
    list(pipeline.read_many(paths[:10]))
    times = []
    for start in range(0, len(paths), BLOCK):
        block = paths[start : start + BLOCK]
        begun = time.perf_counter()
        one = sum(len(pipeline.read(path).faces) for path in block)
        middle = time.perf_counter()
        many = sum(len(found.faces) for found in pipeline.read_many(block))
        times.append((middle - begun, time.perf_counter() - middle))
        assert one == many
    one, many = np.array(times).sum(axis=0)
    ratios = np.array([a / b for a, b in times])
    low, high = np.quantile(ratios, [0.1, 0.9])
    print(f"{len(paths)} photos of 250×250 pixels, blocks of {BLOCK}, each both ways:\n")
    print("| way | photos/s |\n|---|---|")
    print(f"| one photo at a time | {len(paths) / one:.1f} |")
    print(f"| side by side (`facewise embed`) | {len(paths) / many:.1f} |")
    print(
        f"\nRatio {one / many:.2f}; by block: median {np.median(ratios):.2f}, 80% in {low:.2f} to {high:.2f}."
    )


if __name__ == "__main__":
    main()
