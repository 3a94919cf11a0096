"""`facewise eval …`: published protocols on real data."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.evaluate_attributes import attributes
from facewise.cli.evaluate_bin import bin_files
from facewise.cli.evaluate_folder import folder
from facewise.cli.evaluate_ijb import ijb
from facewise.cli.evaluate_leaks import OnLeaks, TrainedOnRuns, leak_check, policy_of, say_leaks
from facewise.cli.evaluate_lfw_leaks import lfw_leaks
from facewise.cli.evaluate_models import tell_unreadable
from facewise.cli.evaluate_pairs import pairs as pair_file
from facewise.cli.evaluate_tables import print_one_shot, print_view_1, print_view_2
from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    Model,
    Provider,
    Threads,
    Unreadable,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import print_json, progress_bar, say

if TYPE_CHECKING:
    from facewise.evaluation import Lfw, LfwResult, OneShotResult
    from facewise.pipeline import Pipeline

app = typer.Typer(help="Measure models by published protocols.", no_args_is_help=True)


app.command("pairs")(pair_file)
app.command("bin")(bin_files)
app.command("folder")(folder)
app.command("ijb")(ijb)
app.command("attributes")(attributes)


@app.callback()
def group() -> None:
    """Measure models by published protocols."""


@app.command()
@reads_photos
def lfw(
    root: Annotated[
        Path,
        typer.Argument(
            help="Folder of LFW: pairs.txt, and the people or images/ with them.", parser=given_path
        ),
    ],
    view: Annotated[
        int | None,
        typer.Option(
            "--view",
            min=1,
            max=2,
            help="2 (default): ten folds; 1: a threshold from one pair file, for another.",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            help="Pair file; by default ROOT/pairs.txt, of View 1 ROOT/pairsDevTest.txt.",
            parser=given_path,
        ),
    ] = None,
    threshold_from: Annotated[
        Path | None,
        typer.Option(
            "--threshold-from",
            help="Pair file to choose the threshold on; of View 1 by default ROOT/pairsDevTrain.txt.",
            parser=given_path,
        ),
    ] = None,
    without_people: Annotated[
        Path | None,
        typer.Option(
            "--without-people",
            help="Leave out pairs with these people: a name a line (people.txt of a training run) or pairs.",
            parser=given_path,
        ),
    ] = None,
    leaks: OnLeaks = "refuse",
    trained_on: TrainedOnRuns = None,
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
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """LFW View 2 or 1: accuracy at a threshold from other pairs, TAR at FMR, EER, AUC, with 95% intervals."""
    from facewise.data.people import read_people

    policy_of(leaks)
    first = _is_view_1(view, pairs, threshold_from)
    if first and (one_shot or save):
        raise typer.BadParameter("--one-shot and --save go with View 2 alone.")
    if one_shot and without_people is not None:
        raise typer.BadParameter("--one-shot identifies everybody; it does not go with --without-people.")
    without = set() if without_people is None else read_people(without_people)
    on_leaks = (leaks, trained_on)

    def load() -> Pipeline:
        return load_pipeline(
            detector=detector,
            max_size=max_size,
            model=model,
            flip=flip,
            provider=provider,
            threads=threads,
            variant=variant,
        )

    if first:
        bad = _view_1(
            root, pairs, threshold_from, without, load, on_leaks, unreadable, cache=cache, json=json
        )
    else:
        bad = _view_2(
            root,
            pairs,
            without,
            load,
            on_leaks,
            unreadable,
            cache=cache,
            one_shot=one_shot,
            save=save,
            json=json,
        )
    tell_unreadable(bad.items())


def _is_view_1(view: int | None, pairs: Path | None, threshold_from: Path | None) -> bool:
    if threshold_from is None:
        return view == 1
    if view == 2:
        raise typer.BadParameter("View 2 sets its thresholds on its own folds; --threshold-from is View 1's.")
    if view is None and pairs is None:
        raise typer.BadParameter("--threshold-from needs --pairs, the pairs to judge the threshold on.")
    return True


def _view_2(
    root: Path,
    pairs: Path | None,
    without: set[str],
    load: Callable[[], Pipeline],
    on_leaks: tuple[str, list[Path] | None],
    most_unreadable: float,
    *,
    cache: bool,
    one_shot: bool,
    save: bool,
    json: bool,
) -> dict[str, str]:
    """Run and print; returns the photos that could not be read, and why."""
    from facewise.evaluation import evaluate_lfw, load_lfw
    from facewise.evaluation import one_shot as run_one_shot
    from facewise.evaluation.side_by_side import faces_kept
    from facewise.models import save_calibration

    data = load_lfw(root, pairs)
    pipeline = load()
    started = time.perf_counter()
    identification = None
    check = leak_check([pipeline], [pipeline.embedder.name], *on_leaks)
    with faces_kept(keep=cache, models=1 + check.wanted) as kept:
        leaked = lfw_leaks(check, [data], without, kept, everybody=one_shot, json=json)
        (data,) = leaked.parts
        with progress_bar("LFW View 2", _photos(data, without)) as done:
            result = evaluate_lfw(
                data,
                pipeline,
                without=without,
                cache=kept,
                progress=done,
                processes=True,
                most_unreadable=most_unreadable,
            )
        if one_shot:
            with progress_bar("LFW one-shot", sum(map(len, data.people.values()))) as done:
                identification = run_one_shot(
                    data,
                    pipeline,
                    cache=kept,
                    progress=done,
                    processes=True,
                    most_unreadable=most_unreadable,
                )
    seconds = time.perf_counter() - started
    saved = save_calibration(pipeline.embedder.model, result.calibration(pipeline)) if save else None
    if json:
        told = _to_dict(result, identification, pipeline, seconds, saved=saved is not None)
        print_json(told | {"leakage": leaked.to_dict()})
    else:
        say_leaks(leaked.leaks, leaked.left_out)
        print_view_2(result, pipeline, seconds)
        if identification is not None:
            print_one_shot(identification)
        if saved is not None:
            say(f"Thresholds saved in {saved.path}.")
    return dict(result.scored.unreadable) | dict(identification.unreadable if identification else ())


def _view_1(
    root: Path,
    pairs: Path | None,
    threshold_from: Path | None,
    without: set[str],
    load: Callable[[], Pipeline],
    on_leaks: tuple[str, list[Path] | None],
    most_unreadable: float,
    *,
    cache: bool,
    json: bool,
) -> dict[str, str]:
    """Run and print; returns the photos that could not be read, and why."""
    from facewise.evaluation import evaluate_view1, load_lfw
    from facewise.evaluation.side_by_side import faces_kept

    learn, judge = threshold_from or root / "pairsDevTrain.txt", pairs or root / "pairsDevTest.txt"
    protocol = (
        "View 1" if threshold_from is pairs is None else f"threshold from {learn.name} for {judge.name}"
    )
    train, test = load_lfw(root, learn), load_lfw(root, judge)
    pipeline = load()
    started = time.perf_counter()
    check = leak_check([pipeline], [pipeline.embedder.name], *on_leaks)
    with faces_kept(keep=cache, models=1 + check.wanted) as kept:
        leaked = lfw_leaks(check, [train, test], without, kept, everybody=False, json=json)
        train, test = leaked.parts
        with progress_bar(f"LFW {protocol}", _photos(train) + _photos(test, without)) as done:
            result = evaluate_view1(
                train,
                test,
                pipeline,
                protocol=protocol,
                without=without,
                cache=kept,
                progress=done,
                processes=True,
                most_unreadable=most_unreadable,
            )
    seconds = time.perf_counter() - started
    if json:
        print_json({**result.to_dict(), **_about(pipeline, seconds), "leakage": leaked.to_dict()})
    else:
        say_leaks(leaked.leaks, leaked.left_out)
        print_view_1(result, pipeline, seconds)
    return dict(result.train.unreadable) | dict(result.test.unreadable)


def _photos(data: Lfw, without: set[str] | None = None) -> int:
    """How many photos will be looked at."""
    from facewise.evaluation.pairs import photos_of, without_people

    return len(photos_of(without_people(data.pairs, without)[0] if without else data.pairs))


def _about(pipeline: Pipeline, seconds: float) -> dict[str, Any]:
    import facewise

    return {
        "detector": {"name": pipeline.detector.name, "fingerprint": pipeline.detector.fingerprint},
        "embedder": {
            "name": pipeline.embedder.name,
            "fingerprint": pipeline.embedder.fingerprint,
            "variant": pipeline.embedder.variant.name,
        },
        "flip": pipeline.embedder.flip,
        "providers": pipeline.providers,
        "facewise": facewise.__version__,
        "seconds": round(seconds, 3),
    }


def _to_dict(
    result: LfwResult,
    identification: OneShotResult | None,
    pipeline: Pipeline,
    seconds: float,
    *,
    saved: bool,
) -> dict[str, Any]:
    data, balanced = result.to_dict(), result.balanced
    return {
        "accuracy": data["kfold"]["mean"],
        "standard_error": data["kfold"]["standard_error"],
        "balanced_accuracy": None if balanced is None else balanced.mean,
        "balanced_standard_error": None if balanced is None else balanced.standard_error,
        **data,
        "one_shot": None if identification is None else identification.to_dict(),
        **_about(pipeline, seconds),
        "saved": saved,
    }
