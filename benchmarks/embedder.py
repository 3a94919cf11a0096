"""The embedder, from pixels, against its float network in bare ONNX Runtime at its best batch.

Bare is what one would run without Facewise: default options, the same threads, ready-made float input. The
bundled embedder runs as it is by default and with each of its networks; the public one has a single network.
FACEWISE_EMBEDDER names another than the bundled one.
"""

from __future__ import annotations

import os

from facewise.benchmark import embedder_rate
from facewise.hardware import available_threads
from facewise.models.bundled import BUNDLED_MODELS
from facewise.pipeline import Pipeline
from real import PUBLIC, have_models


def main() -> None:
    have_models()
    ours = os.environ.get("FACEWISE_EMBEDDER", BUNDLED_MODELS["embedder"])
    runs = [(ours, "auto"), (ours, "int8"), (ours, "float"), (PUBLIC[1], "auto")]
    print("| embedder | threads | variant | runs | crops/s | bare, crops/s | its best batch | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in sorted({1, available_threads()}):
        for name, variant in runs:
            pipeline = Pipeline.load(model=name, flip=False, threads=threads, variant=variant)
            pipeline.embedder.settle()
            rate = embedder_rate(pipeline, crops=128, rounds=9)
            runs_as = pipeline.embedder.variant.name
            rates = f"{rate['embedder']:.0f} | {rate['raw']:.0f} | {rate['raw_batch']:.0f}"
            print(
                f"| {name} | {threads} | {variant} | {runs_as} | {rates} | {rate['ratio']:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
