"""`facewise calibrate MODEL --on DATA`: what a similarity means, measured and written into the model file."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.evaluate_leaks import OnLeaks, TrainedOnRuns, find_leaks, leak_check, say_leaks, wants_out
from facewise.cli.evaluate_models import Cache, about_run, tell_unreadable
from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    Provider,
    Threads,
    Unreadable,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import check_output_file, count, print_json, progress_bar, say, table, tell
from facewise.cli.show_model import ANOTHER_GROUP, POINTS, interval, probability_text

if TYPE_CHECKING:
    from facewise.evaluation.calibrate_model import ModelCalibration
    from facewise.models import Calibration, ModelFile
    from facewise.pipeline import Pipeline


class Pairs(StrEnum):
    """Which pairs of LFW."""

    ALL = "all"
    VIEW2 = "view2"


@reads_photos
def calibrate(
    model: Annotated[
        str, typer.Argument(help="Embedder: a name in the model store or a model file.", metavar="MODEL")
    ],
    on: Annotated[
        Path,
        typer.Option(
            "--on",
            help="Photos it was not trained on: LFW's folder, a CSV of pairs, or a folder per person.",
            parser=given_path,
            metavar="DATA",
        ),
    ],
    pairs: Annotated[
        Pairs | None,
        typer.Option("--pairs", help="Of LFW: all pairs of its people, or View 2's 6,000. (default: all)"),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(
            "--photos",
            min=2,
            help="Photos a person at most, where all pairs are compared: the rates are to be those of many "
            "people, not of the most photographed. (default: 10)",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Folder a CSV's paths are relative to. (default: the CSV's)", parser=given_path
        ),
    ] = None,
    without_people: Annotated[
        Path | None,
        typer.Option(
            "--without-people",
            help="Leave these people out: a name a line (people.txt of a training run).",
            parser=given_path,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the calibrated model to this .onnx file instead of in place.",
            parser=given_path,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and show, write nothing.")] = False,
    leaks: OnLeaks = "refuse",
    trained_on: TrainedOnRuns = None,
    cache: Cache = True,
    detector: Detector = None,
    max_size: MaxSize = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality/--no-quality",
            help="Whether to learn from degraded photos by how much thresholds must rise with poor ones: it "
            "takes 900 people, and looks at up to 188,000 photos made of theirs.",
        ),
    ] = True,
    json: Json = False,
) -> None:
    """Set thresholds at FMR 0.1 to 1e-6 and fit probabilities, on people the model has not seen."""
    from facewise.data.people import read_people
    from facewise.evaluation import FaceCache
    from facewise.evaluation.calibrate_model import calibrate_model
    from facewise.evaluation.calibration_data import PHOTOS, PhotosOfPeople, open_calibration_data
    from facewise.evaluation.calibration_leaks import tested_photos, without_leaks
    from facewise.evaluation.quality_fit import calibrate_quality, lacks, photos_to_look_at

    _check(on, pairs, photos, root, out, dry_run=dry_run)
    data = open_calibration_data(
        on,
        which="all" if pairs is None else pairs.value,
        root=root,
        most=PHOTOS if photos is None else photos,
        without=() if without_people is None else read_people(without_people),
        tell=tell,
    )
    pipeline = load_pipeline(
        detector=detector,
        max_size=max_size,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
    )
    if not dry_run:
        _check_place(pipeline.embedder.model, out)
    check = leak_check([pipeline], [pipeline.embedder.name], leaks, trained_on)
    started, left_out = time.perf_counter(), None
    with FaceCache() if cache else nullcontext() as kept:
        leaked = find_leaks(check, tested_photos(data), data.name, cache=kept, json=json)
        if wants_out(leaked):
            data, left_out = without_leaks(data, leaked)
        with progress_bar(f"Calibrating on {data.name}", len(data.photos)) as done:
            result = calibrate_model(
                data, pipeline, cache=kept, progress=done, processes=True, most_unreadable=unreadable
            )
        lacking = lacks(data, result.calibration) if quality else "--no-quality"
        if lacking is None and isinstance(data, PhotosOfPeople):
            with progress_bar("Learning from degraded photos", photos_to_look_at(data)) as done:
                calibration = calibrate_quality(data, pipeline, result.calibration, done)
            result = replace(result, calibration=calibration)
    saved = None if dry_run else _save(pipeline.embedder.model, result, out)
    if json:
        about = {"leakage": leaked.to_dict(0, left_out), **_about(pipeline, started)}
        document = {**result.to_dict(), "without_quality": lacking, **about}
        print_json({**document, "saved": saved and str(saved)})
    else:
        say_leaks(leaked, left_out, data.name)
        _print(result, pipeline, time.perf_counter() - started)
        _print_quality(result.calibration, lacking)
        say("Nothing was written (--dry-run)." if saved is None else f"Calibration saved in {saved}.")
    if result.without_face and not json:
        _tell_faceless(result.without_face)
    tell_unreadable(result.unreadable)


def _check(
    on: Path, pairs: Pairs | None, photos: int | None, root: Path | None, out: Path | None, *, dry_run: bool
) -> None:
    from facewise.evaluation.calibration_data import is_lfw

    if pairs is Pairs.VIEW2 and on.exists() and not is_lfw(on):
        raise typer.BadParameter("--pairs view2 is for LFW's folder, which has a pairs.txt.")
    if pairs is not None and on.is_file():
        raise typer.BadParameter("--pairs is for folders; the pairs of a CSV are those it lists.")
    if photos is not None and (on.is_file() or pairs is Pairs.VIEW2):
        raise typer.BadParameter(
            "--photos is for data of which all pairs are compared, not for listed pairs."
        )
    if root is not None and on.is_dir():
        raise typer.BadParameter("--root is for a CSV of pairs.")
    if out is not None and dry_run:
        raise typer.BadParameter("--dry-run writes nothing, so it does not go with --out.")
    if out is not None and out.suffix != ".onnx":
        raise typer.BadParameter("--out is a model file: give it the ending .onnx.")


def _check_place(model: ModelFile, out: Path | None) -> None:
    """Refuses, before the work, a model that cannot be written to."""
    from facewise.errors import FacewiseError
    from facewise.models.bundled import is_bundled
    from facewise.models.home import make, models_folder

    if out is not None:
        check_output_file(out)
    elif is_bundled(model.path):
        make(models_folder())  # where it will be
    elif not os.access(model.path.parent, os.W_OK | os.X_OK):
        raise FacewiseError(
            f"{model.path} cannot be written to: give --out FILE.onnx, and use that model from then on."
        )


def _save(model: ModelFile, result: ModelCalibration, out: Path | None) -> Path:
    """Where the calibrated model is; a model of the package goes into the store, where it is found first."""
    from facewise.models import save_calibration, write_model

    if out is not None:
        return write_model(out, model.network, replace(model.card, calibration=result.calibration)).path
    return save_calibration(model, result.calibration).path


def _about(pipeline: Pipeline, started: float) -> dict[str, Any]:
    return {
        "detector": {"name": pipeline.detector.name, "fingerprint": pipeline.detector.fingerprint},
        "embedder": {
            "name": pipeline.embedder.name,
            "fingerprint": pipeline.embedder.fingerprint,
            "variant": pipeline.embedder.variant.name,
        },
        "flip": pipeline.embedder.flip,
        "providers": pipeline.providers,
        **about_run(started),
    }


def _print(result: ModelCalibration, pipeline: Pipeline, seconds: float) -> None:
    calibration, measured = result.calibration, result.measured
    say(
        f"{calibration.dataset}: {calibration.protocol}; {measured.genuine:,} same pairs of "
        f"{measured.with_two:,} people and {measured.impostors:,} different ones, {seconds:.1f} s"
    )
    flip = "with" if pipeline.embedder.flip else "without"
    say(f"{pipeline.detector.name} + {pipeline.embedder.name}, {flip} flip averaging")
    rows = [
        (
            f"{point.fmr:g}",
            f"{point.threshold:.4f}",
            f"{point.measured_fmr:.3g}",
            interval(rates.fmr.interval),
            interval(rates.fmr.elsewhere),
            f"{point.fnmr:.4f}",
            interval(rates.fnmr.interval),
        )
        for point, rates in zip(measured.thresholds, measured.rates, strict=True)
    ]
    table("", POINTS, rows, right=range(len(POINTS)))
    for unset in measured.unset:
        say(f"No threshold at FMR {unset.fmr:g}: {unset.reason}.")
    say(probability_text(measured.score_map))
    say(f"95% intervals resample {result.resampled}. {ANOTHER_GROUP}")


def _print_quality(calibration: Calibration, lacking: str | None) -> None:
    rule = calibration.quality
    if rule is None:
        say(f"Of quality this calibration knows nothing ({lacking}): it holds for photos as good as those.")
        return
    cells = rule.measured["cells"]
    rows = [
        (
            f"{rule.qualities[-1 - place]:.3f}",
            f"{cell['threshold']:.4f}" if cell["threshold"] <= rule.ceiling + 5e-5 else "no decision",
            f"{cell['fmr']:.3g}",
            f"{cell['fmr_upper']:.3g}",
            f"{cell['pairs']:,}",
        )
        for place, cell in enumerate(cells)
    ]
    heads = (
        "quality from",
        f"threshold at FMR {rule.fmr:g}",
        "FMR, both degraded alike",
        "95% bound",
        "pairs",
    )
    table("Of the better of two photos", heads, rows, right=range(len(heads)))
    say(f"No decision by a photo of quality below {rule.least:.3f}, or of two too poor for each other.")


def _tell_faceless(photos: tuple[str, ...]) -> None:
    for photo in photos[:5]:
        tell(f"No face was found in {photo}: left out.")
    if len(photos) > 5:
        tell(f"And {count(len(photos) - 5, 'more photo')} without a face.")
