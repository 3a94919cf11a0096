"""`facewise calibrate-liveness --on DIR`: from which score a face counts as live, measured and kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.options import (
    Detector,
    Json,
    LivenessModel,
    MaxSize,
    Provider,
    Threads,
    Unreadable,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import check_output_file, count, named, print_json, progress_bar, say, tell
from facewise.cli.show_model import print_liveness

if TYPE_CHECKING:
    from facewise.evaluation.liveness import LivenessMeasured


@reads_photos
def calibrate_liveness(
    on: Annotated[
        Path,
        typer.Option(
            "--on",
            help="Photos: DIR/live and DIR/spoof, with a folder for each subject; spoof/ATTACK/SUBJECT parts "
            "kinds of attacks.",
            parser=given_path,
            metavar="DIR",
        ),
    ],
    apcer: Annotated[
        float,
        typer.Option("--apcer", min=0.0, max=1.0, help="Share of attacks of each kind that may pass."),
    ] = 0.05,
    liveness_model: LivenessModel = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the calibrated model to this .onnx file instead of in place.",
            parser=given_path,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and show, write nothing.")] = False,
    detector: Detector = None,
    max_size: MaxSize = None,
    provider: Provider = "auto",
    threads: Threads = None,
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """Set the score from which a face is live, and measure how often that errs, by ISO/IEC 30107-3.

    Each subject is judged by a threshold that was set on others.
    """
    from facewise.cli.evaluate_models import tell_unreadable
    from facewise.errors import FacewiseError
    from facewise.evaluation.liveness import calibrate_liveness as measure
    from facewise.evaluation.liveness import find_presentations
    from facewise.models import write_model

    if out is not None and dry_run:
        raise typer.BadParameter("--dry-run writes nothing, so it does not go with --out.")
    if out is not None and out.suffix != ".onnx":
        raise typer.BadParameter("--out is a model file: give it the ending .onnx.")
    photos = len(find_presentations(on))
    pipeline = load_pipeline(
        detector=detector, max_size=max_size, embed=False, provider=provider, threads=threads,
        liveness=True, liveness_model=liveness_model, told=False,
    )  # fmt: skip
    assert pipeline.liveness is not None, "it was asked for"  # noqa: S101
    model = pipeline.liveness.models[0]
    if out is not None:
        check_output_file(out)
    elif not dry_run and not os.access(model.path.parent, os.W_OK | os.X_OK):
        raise FacewiseError(
            f"{model.path} cannot be written to: give --out FILE.onnx, and use that model from then on."
        )
    with progress_bar(f"Calibrating on {on.name}", photos) as done:
        result = measure(on, pipeline, target=apcer, most_unreadable=unreadable, progress=done)
    saved = None
    if not dry_run:
        card = replace(model.card, liveness=result.calibration)
        saved = write_model(out or model.path, model.network, card).path
    if json:
        calibration = result.calibration
        print_json({
            **calibration.to_dict(), "apcer": {"rate": calibration.apcer.rate,
            "interval": list(calibration.apcer.interval)}, "model": pipeline.liveness.name,
            "fold_thresholds": list(result.thresholds), "without_face": list(result.without_face),
            "saved": saved and str(saved),
        })  # fmt: skip
    else:
        _print(result, pipeline.liveness.name)
        say("Nothing was written (--dry-run)." if saved is None else f"Calibration saved in {saved}.")
    tell_unreadable(result.unreadable)


def _print(result: LivenessMeasured, name: str) -> None:
    calibration = result.calibration
    say(f"{name} on {calibration.dataset}, faces found by {calibration.detector}")
    print_liveness(calibration)
    if result.without_face:
        tell(
            f"No face was found in {count(len(result.without_face), 'photo')}, which are left out: "
            f"{named(result.without_face)}."
        )
