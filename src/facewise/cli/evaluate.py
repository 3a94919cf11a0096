"""`facewise eval …`: published protocols on real data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import Detector, Flip, Json, Model, Provider, Threads, load_pipeline
from facewise.cli.output import print_json, progress_bar, say, table, tell

if TYPE_CHECKING:
    from facewise.evaluation import LfwResult, OneShotResult
    from facewise.pipeline import Pipeline

app = typer.Typer(help="Measure models by published protocols.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Measure models by published protocols."""


@app.command()
def lfw(
    root: Annotated[
        Path, typer.Argument(help="Folder of LFW: pairs.txt, and the people or images/ with them.")
    ],
    pairs: Annotated[
        Path | None, typer.Option("--pairs", help="Pair file.  [default: ROOT/pairs.txt]")
    ] = None,
    one_shot: Annotated[
        bool, typer.Option("--one-shot", help="Also identify everybody from one photo a person (all of LFW).")
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the measured thresholds into the embedder's model file.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep crops and embeddings for the next run.")
    ] = True,
    detector: Detector = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """LFW View 2: 10-fold accuracy, TAR at FMR, EER, AUC, with 95% intervals."""
    from contextlib import nullcontext

    from facewise.evaluation import FaceCache, evaluate_lfw, load_lfw
    from facewise.evaluation import one_shot as run_one_shot
    from facewise.evaluation.lfw import photos_of
    from facewise.models import save_calibration

    data = load_lfw(root, pairs)
    pipeline = load_pipeline(detector=detector, model=model, flip=flip, provider=provider, threads=threads)
    started = time.perf_counter()
    identification = None
    with FaceCache() if cache else nullcontext() as kept:
        with progress_bar("LFW View 2", len(photos_of(data.pairs))) as done:
            result = evaluate_lfw(data, pipeline, cache=kept, progress=done, processes=True)
        if one_shot:
            with progress_bar("LFW one-shot", sum(map(len, data.people.values()))) as done:
                identification = run_one_shot(data, pipeline, cache=kept, progress=done, processes=True)
    seconds = time.perf_counter() - started
    if save:
        save_calibration(pipeline.embedder.model, result.calibration(pipeline))
    if json:
        print_json(_to_dict(result, identification, pipeline, seconds, saved=save))
    else:
        _print(result, pipeline, seconds)
        if identification is not None:
            _print_one_shot(identification)
        if save:
            say(f"Thresholds saved in {pipeline.embedder.model.path}.")
    unreadable = dict(result.unreadable) | dict(identification.unreadable if identification else ())
    for photo, error in unreadable.items():
        tell(f"facewise: {photo}: {error}")
    if unreadable:
        raise typer.Exit(3)


def _to_dict(
    result: LfwResult,
    identification: OneShotResult | None,
    pipeline: Pipeline,
    seconds: float,
    *,
    saved: bool,
) -> dict[str, Any]:
    import facewise

    data = result.to_dict()
    return {
        "accuracy": data["kfold"]["mean"],
        "standard_error": data["kfold"]["standard_error"],
        **data,
        "one_shot": None if identification is None else identification.to_dict(),
        "detector": {"name": pipeline.detector.name, "fingerprint": pipeline.detector.fingerprint},
        "embedder": {"name": pipeline.embedder.name, "fingerprint": pipeline.embedder.fingerprint},
        "flip": pipeline.embedder.flip,
        "facewise": facewise.__version__,
        "seconds": round(seconds, 3),
        "saved": saved,
    }


def _print(result: LfwResult, pipeline: Pipeline, seconds: float) -> None:
    metrics = result.metrics
    fold = metrics.kfold
    if fold is None:
        raise RuntimeError("the protocol has folds")
    flip = "with" if pipeline.embedder.flip else "without"
    say(f"LFW {result.protocol}, {result.photos} photos, {seconds:.1f} s")
    say(f"{pipeline.detector.name} + {pipeline.embedder.name}, {flip} flip averaging")
    inside = metrics.intervals
    rows = [
        (
            f"accuracy, {len(fold.accuracies)} folds",
            f"{fold.mean:.4f} ± {fold.standard_error:.4f}",
            _interval(inside["accuracy"]),
            "",
        )
    ]
    for point in metrics.operating_points:
        name = f"TAR at FMR {point.fmr_target:g}" + ("" if point.supported else " (too few impostors)")
        interval = _interval(inside[f"tar@fmr={point.fmr_target!r}"])
        rows.append((name, f"{point.tar:.4f}", interval, f"{point.threshold:.4f}"))
    rows.append(("EER", f"{metrics.eer:.4f}", _interval(inside["eer"]), f"{metrics.eer_threshold:.4f}"))
    rows.append(("AUC", f"{metrics.auc:.5f}", _interval(inside["auc"]), ""))
    table("", ("metric", "value", "95% interval", "threshold"), rows, right=(1, 2, 3))
    say("accuracy by fold: " + " ".join(f"{a:.4f}" for a in fold.accuracies))
    missing = len(result.without_face) + len(result.unreadable)
    if missing:
        say(
            f"{len(result.without_face)} photos without a face, {len(result.unreadable)} unreadable: their "
            f"{result.affected} pairs count as different people: {', '.join(result.without_face)}"
        )
    else:
        say("A face was found in every photo.")


def _print_one_shot(result: OneShotResult) -> None:
    metrics = result.metrics
    say(
        f"One-shot identification: {metrics.gallery} people with one photo each, "
        f"{metrics.mated} probes of them, "
        f"{metrics.strangers} photos of strangers"
    )
    rows = [("rank-1", f"{metrics.rank1:.4f}", ""), ("rank-5", f"{metrics.cmc[4]:.4f}", "")]
    rows += [
        (f"DIR at FPIR {p.fpir_target:g}", f"{p.dir:.4f}", f"{p.threshold:.4f}") for p in metrics.open_set
    ]
    table("", ("metric", "value", "threshold"), rows, right=(1, 2))


def _interval(interval: Any) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"
