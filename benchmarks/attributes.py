"""`facewise analyze` of 1,000 photos against `facewise embed`, in turn, and what attributes of one face cost.

Both go from file to the answer for every face: read, decode, detect, align; then embed or tell attributes.
`--model FILE` takes another model of attributes than the bundled one. `with embeddings` does both.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from facewise.pipeline import Pipeline, Steps
from pipeline import measure
from real import photos

ASKED = ("age", "gender", "emotion", "race")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--photos", type=int, default=1000)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--threads", type=int)
    words.add_argument("--model")
    asked = words.parse_args()
    pipeline = Pipeline.load(threads=asked.threads, attributes=asked.model or True)
    told = tuple(name for name in ASKED if name in pipeline.attributes.attributes)
    paths = photos()
    paths = [paths[i * len(paths) // asked.photos] for i in range(asked.photos)]
    steps = {
        "embed": Steps(),
        "analyze": Steps(embed=False, attributes=told),
        "with embeddings": Steps(attributes=told),
    }
    ways = {
        name: lambda block, step=step: pipeline.read_many(block, step, processes=True)
        for name, step in steps.items()
    }
    seconds = measure(ways, paths, asked.rounds)
    base = np.array(seconds["embed"])
    print(
        f"{len(paths)} photos of 250×250 pixels, {asked.rounds} rounds of all ways in turn, "
        f"{pipeline.threads} threads; {pipeline.embedder.name} and {pipeline.attributes.name} "
        f"({', '.join(told)}):\n"
    )
    print("| way | photos/s | of embed's pace, median | by round |")
    print("|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = base / taken
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {name} | {len(paths) / np.median(taken):.1f} | {np.median(ratios):.2f} | {each} |")
    one, one_thread = (alone(pipeline, told, threads) for threads in (None, 1))
    print(f"\nAll attributes of one aligned face, median: {one:.1f} ms; on one thread {one_thread:.1f} ms.")


def alone(pipeline: Pipeline, told: tuple[str, ...], threads: int | None, *, calls: int = 200) -> float:
    """Milliseconds of one crop's attributes, the median of many calls."""
    size, model = pipeline.attributes.cut.size, pipeline.attributes
    crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    taken = []
    for _ in range(calls):
        begun = time.perf_counter()
        model.analyze(crop, None, told, threads=threads)
        taken.append(time.perf_counter() - begun)
    return 1000 * float(np.median(taken[calls // 10 :]))


if __name__ == "__main__":
    main()
