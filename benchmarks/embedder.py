"""The embedder alone against bare ONNX Runtime (default options, all cores) at its best batch."""

from __future__ import annotations

from facewise.benchmark import embedder_rate
from real import have_models, public_pipeline


def main() -> None:
    have_models()
    print(
        "| embedder | crops/s | bare ONNX Runtime, crops/s | its best batch | ratio |\n|---|---|---|---|---|"
    )
    for threads in (1, None):
        pipeline = public_pipeline(flip=False, threads=threads)
        rate = embedder_rate(pipeline, crops=512, rounds=9)
        name = f"{pipeline.embedder.name}, {pipeline.threads} thread{'s' * (pipeline.threads > 1)}"
        rates = f"{rate['embedder']:.0f} | {rate['raw']:.0f} | {rate['raw_batch']:.0f} | {rate['ratio']:.2f}"
        print(f"| {name} | {rates} |")


if __name__ == "__main__":
    main()
