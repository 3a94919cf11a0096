"""`facewise eval bin`: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW as InsightFace distributes them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.evaluate_models import (
    Cache,
    Models,
    about_model,
    about_run,
    load_models,
    models_line,
)
from facewise.cli.evaluate_pair_tables import print_bins, print_differences
from facewise.cli.options import Flip, Json, Provider, Threads
from facewise.cli.output import BadItems, print_json, progress_bar, say

if TYPE_CHECKING:
    from facewise.embedding import Embedder
    from facewise.evaluation.bin_file import BinResult
    from facewise.evaluation.cache import FaceCache
    from facewise.evaluation.pair_intervals import Difference


def bin_files(
    files: Annotated[
        list[Path], typer.Argument(help="Verification files: lfw.bin, cfp_fp.bin …", metavar="FILE.bin…")
    ],
    cache: Cache = True,
    model: Models = None,
    flip: Flip = None,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """InsightFace's verification files, read without running them: one table for all files and models."""
    from facewise.embedding import Embedder
    from facewise.errors import FacewiseError
    from facewise.evaluation.side_by_side import faces_kept, model_names

    models = load_models(model, detector=None, flip=flip, provider=provider, threads=threads, aligned=True)
    embedders = [one for one in models if isinstance(one, Embedder)]
    names, started, bad = model_names(models), time.perf_counter(), BadItems("file or image")
    measured: list[tuple[Path, list[BinResult], list[Difference]]] = []
    with faces_kept(keep=cache, models=1) as kept:
        for file in files:
            try:
                results, compared = _measure(file, embedders, names, kept)
            except FacewiseError as error:
                bad.add(str(file), error)
                continue
            measured.append((file, results, compared))
            for image, error_text in dict(i for r in results for i in r.pairs.scored.unreadable).items():
                bad.add(f"{file}: {image}", error_text)
    if json:
        about = [about_model(one, name) for one, name in zip(models, names, strict=True)]
        print_json(_to_dict(measured, about) | {"bad": bad.items, **about_run(started)})
    elif measured:
        say(models_line(models, names))
        print_bins([(n, r) for _, results, _ in measured for n, r in zip(names, results, strict=True)])
        for _, results, compared in measured:
            print_differences(compared, results[0].title)
    bad.finish(len(measured))


def _measure(
    file: Path, embedders: list[Embedder], names: list[str], cache: FaceCache | None
) -> tuple[list[BinResult], list[Difference]]:
    from facewise.data.bin import read_bin
    from facewise.evaluation.bin_file import evaluate_bin
    from facewise.evaluation.pair_protocol import differences

    data = read_bin(file)
    with progress_bar(file.name, len(embedders) * len(data.contents)) as done:
        results = [evaluate_bin(data, embedder, cache=cache, progress=done) for embedder in embedders]
    return results, differences([result.pairs for result in results], names)


def _to_dict(
    measured: list[tuple[Path, list[BinResult], list[Difference]]], models: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "protocol": "bin",
        "files": [
            {
                "file": str(file),
                "dataset": results[0].title,
                "models": [about | result.to_dict() for about, result in zip(models, results, strict=True)],
                "differences": [difference.to_dict() for difference in compared],
            }
            for file, results, compared in measured
        ],
    }
