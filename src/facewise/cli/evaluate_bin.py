"""`facewise eval bin`: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW as InsightFace distributes them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.evaluate_leaks import (
    OnLeaks,
    TrainedOnRuns,
    leak_check,
    look_for_leaks,
    policy_of,
    say_leaks,
    tell_caveats,
    wants_out,
)
from facewise.cli.evaluate_models import (
    Cache,
    Models,
    about_model,
    about_run,
    load_models,
    models_line,
)
from facewise.cli.evaluate_pair_tables import print_bins, print_differences
from facewise.cli.options import Flip, Json, Provider, Threads, Unreadable, Variant, given_path, reads_photos
from facewise.cli.output import BadItems, print_json, progress_bar, say

if TYPE_CHECKING:
    from facewise.embedding import Embedder
    from facewise.evaluation.bin_file import BinResult
    from facewise.evaluation.cache import FaceCache
    from facewise.evaluation.leak_check import LeakCheck, Leaks, LeftOutFor
    from facewise.evaluation.pair_intervals import Difference


@dataclass(frozen=True, slots=True)
class _Measured:
    """One file."""

    file: Path
    results: list[BinResult]
    compared: list[Difference]
    leaks: Leaks
    left_out: LeftOutFor | None


@reads_photos
def bin_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Verification files: lfw.bin, cfp_fp.bin …", metavar="FILE.bin…", parser=given_path
        ),
    ],
    leaks: OnLeaks = "refuse",
    trained_on: TrainedOnRuns = None,
    cache: Cache = True,
    model: Models = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """InsightFace's verification files, read without running them: one table for all files and models."""
    from facewise.embedding import Embedder
    from facewise.errors import FacewiseError
    from facewise.evaluation.leak_check import LeakageError
    from facewise.evaluation.side_by_side import faces_kept, model_names

    policy_of(leaks)
    models = load_models(
        model, detector=None, flip=flip, provider=provider, threads=threads, variant=variant, aligned=True
    )
    embedders = [one for one in models if isinstance(one, Embedder)]
    names, started, bad = model_names(models), time.perf_counter(), BadItems("file or image")
    check = leak_check(models, names, leaks, trained_on)
    measured: list[_Measured] = []
    refused: list[dict[str, Any]] = []
    with faces_kept(keep=cache, models=1 + check.wanted) as kept:
        for file in files:
            try:
                one = _measure(file, embedders, check, kept, unreadable)
            except FacewiseError as error:
                bad.add(str(file), error)
                if isinstance(error, LeakageError):
                    told = [{"model": leak.model} | leak.to_dict() for leak in error.found]
                    refused.append({"file": str(file), "leakage": told})
                continue
            measured.append(one)
            for image, error_text in dict(i for r in one.results for i in r.pairs.scored.unreadable).items():
                bad.add(f"{file}: {image}", error_text)
    tell_caveats(one.leaks for one in measured)
    if json:
        about = [about_model(one, name) for one, name in zip(models, names, strict=True)]
        told_of = {"refused": refused, "bad": bad.items, **about_run(started)}
        print_json(_to_dict(measured, about) | told_of)
    elif measured:
        say(models_line(models, names))
        for one in measured:
            say_leaks(one.leaks, one.left_out, one.file.name)
        print_bins([(n, r) for one in measured for n, r in zip(names, one.results, strict=True)])
        for one in measured:
            print_differences(one.compared, one.results[0].title)
    bad.finish(len(measured))


def _measure(
    file: Path, embedders: list[Embedder], check: LeakCheck, cache: FaceCache | None, unreadable: float
) -> _Measured:
    from facewise.data.bin import read_bin
    from facewise.evaluation.bin_file import evaluate_bin, images_of_bin, without_images
    from facewise.evaluation.pair_protocol import differences

    data, left_out = read_bin(file), None
    photos = [(name, data.contents[i], "") for name, i in images_of_bin(data).items()]
    leaks = look_for_leaks(check, photos, cache=cache)
    leaks.refuse(file.name)
    if wants_out(leaks):
        data, left_out = without_images(data, leaks)
    with progress_bar(file.name, len(embedders) * len(data.contents)) as done:
        results = [
            evaluate_bin(data, embedder, cache=cache, progress=done, most_unreadable=unreadable)
            for embedder in embedders
        ]
    compared = differences([result.pairs for result in results], check.names)
    return _Measured(file, results, compared, leaks, left_out)


def _to_dict(measured: list[_Measured], models: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "protocol": "bin",
        "files": [
            {
                "file": str(one.file),
                "dataset": one.results[0].title,
                "models": [
                    about | result.to_dict() | {"leakage": one.leaks.to_dict(i, one.left_out)}
                    for i, (about, result) in enumerate(zip(models, one.results, strict=True))
                ],
                "differences": [difference.to_dict() for difference in one.compared],
            }
            for one in measured
        ],
    }
