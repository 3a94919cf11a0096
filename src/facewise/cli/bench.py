"""`facewise bench`: how fast is this machine?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    Model,
    Provider,
    Threads,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import BadItems, print_json, say, stderr_console, table
from facewise.cli.photos import photos_in


@reads_photos
def bench(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos to measure with. (default: noise)", metavar="PATH…", parser=given_path),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Photos to use at most.")] = 200,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often to measure each.")] = 3,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Measure each stage, and the whole pipeline one photo at a time against side by side."""
    from facewise.benchmark import embedder_rate, machine, stages, throughput
    from facewise.hardware import cpu
    from facewise.models import find_model
    from facewise.variants import measure

    photos = photos_in(paths, BadItems("photo"))[:count] if paths else []
    # Before the models are loaded, as what is measured decides which of their networks runs.
    files = {
        "detector": find_model(detector, kind="detector"),
        "embedder": find_model(model, kind="embedder"),
    }
    times = {kind: measure(file) if provider in ("auto", "cpu") else {} for kind, file in files.items()}
    pipeline = load_pipeline(
        detector=detector,
        max_size=max_size,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
    )
    chosen = pipeline.variants
    with stderr_console().status("Measuring …"):
        alone = stages(pipeline, photos)
        embedder = embedder_rate(pipeline, rounds=rounds)
        whole = throughput(pipeline, photos, rounds=rounds) if photos else None
    if json:
        print_json(
            {
                "machine": machine(),
                "detector": pipeline.detector.name,
                "embedder": pipeline.embedder.name,
                "providers": pipeline.providers,
                "variants": {
                    kind: {"runs": runs.name, "why": runs.why, "milliseconds": times[kind] or None}
                    for kind, runs in chosen.items()
                },
                "stages": [asdict(stage) for stage in alone],
                "embedder_rate": embedder,
                "throughput": None if whole is None else asdict(whole),
            }
        )
        return
    names = {"detector": pipeline.detector.name, "embedder": pipeline.embedder.name}
    networks = " + ".join(f"{name} on {pipeline.providers.get(part, '?')}" for part, name in names.items())
    say(f"{cpu()}; {pipeline.threads} threads; {networks}")
    say("; ".join(f"{kind}: {runs}" for kind, runs in chosen.items()))
    rows = [(s.name, f"{s.median_ms:.2f}", f"{s.best_ms:.2f}") for s in alone]
    table("One thread", ("stage", "median ms", "best ms"), rows, right=(1, 2))
    say(
        f"embedder alone: {embedder['embedder']:.0f} crops/s, its float network in bare ONNX Runtime at "
        f"its best batch ({embedder['raw_batch']:.0f}): {embedder['raw']:.0f}, ratio {embedder['ratio']:.2f}"
    )
    if whole is None:
        say("Give photos to measure the whole pipeline: facewise bench PATH…")
    else:
        say(
            f"{whole.photos} photos, detect + align + embed: "
            f"{whole.one_at_a_time:.0f} photos/s one at a time, "
            f"{whole.side_by_side:.0f} side by side, {whole.ratio:.2f} times"
        )
