"""`facewise models quantize`: a smaller, faster model from a float one, checked against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import Detector, Json, MaxSize, detector_settings, given_path, reads_photos
from facewise.cli.output import check_output_file, count, print_json, progress_bar, say, table, tell

if TYPE_CHECKING:
    from facewise.data.sample import Sample
    from facewise.evaluation.agreement import Agreement
    from facewise.evaluation.pace import Pace
    from facewise.models import ModelFile
    from facewise.models.quantize import Quantized
    from facewise.types import Image

_CHECKED = 100
"""Photos kept from calibration, at most, to compare the two models on."""

_FEWEST = 16
"""Photos below which there is nothing to calibrate on and check with."""

_NAMED = 10
"""Photos left out that are named one by one."""


@reads_photos
def quantize(
    model: Annotated[str, typer.Argument(help="A name in the store, or a model file.", metavar="MODEL")],
    photos: Annotated[
        Path,
        typer.Option(
            "--photos",
            help="Photos to calibrate and check on: a folder, a CSV, a .rec; not those you measure on later.",
            metavar="DATASET",
            parser=given_path,
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", help="int8 (CPU), fp16 (half the size), fp16-gpu (computes in 16 bits).")
    ] = "int8",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The new model file. (default: MODEL-int8 in the store)", parser=given_path
        ),
    ] = None,
    used: Annotated[
        int, typer.Option("--photos-used", min=1, help="Photos to calibrate on, chosen by chance.")
    ] = 128,
    without: Annotated[
        Path | None,
        typer.Option(
            "--without-people",
            help="People left out: a file of names, or an LFW pair file.",
            parser=given_path,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Chooses the photos.")] = 0,
    detector: Detector = None,
    max_size: MaxSize = None,
    json: Json = False,
) -> None:
    """Make a smaller, faster model: int8 calibrated on photos, or fp16, compared with the original."""
    from facewise.cli.models import _find
    from facewise.errors import ModelError
    from facewise.models.home import make, models_folder

    try:
        from facewise.models.quantize import FORMATS, quantize, refuse
    except ModuleNotFoundError as error:
        raise ModelError(f"Quantising models needs {error.name}: `pip install facewise[train]`.") from error
    original: ModelFile = _find(model)
    path = out or make(models_folder()) / f"{original.card.name}-{to if to in FORMATS else ''}.onnx"
    refuse(original, path, to)
    if original.card.kind == "attributes":
        raise ModelError(
            f"{original.card.name} tells attributes: once it is quantised, what it may claim must be fitted "
            "anew, which takes labels; do it in Python (scripts/own_models/attributes.py)."
        )
    check_output_file(path)
    sample = _sample(original, photos, used + _CHECKED, seed, without, detector, max_size)
    held = min(_CHECKED, max(len(sample.images) - used, len(sample.images) // 4))
    checked, calibrated = sample.images[:held], sample.images[held : held + used]
    if original.card.kind == "detector":
        from facewise.detection import load_detector

        detecting = load_detector(original)
        calibrated = [detecting.network_input(photo) for photo in calibrated]
    verdict: list[tuple[Agreement, list[Pace]]] = []

    def check(made: ModelFile) -> None:
        verdict.append(_compare(original, made, checked))

    with progress_bar(f"Making {path.name}", None):
        done = quantize(original, path, to=to, photos=calibrated, check=check)
    _report(done, *verdict[0], sample, len(calibrated) if to == "int8" else 0, json=json)


def _sample(
    original: ModelFile,
    photos: Path,
    wanted: int,
    seed: int,
    without: Path | None,
    detector: str | None,
    max_size: int | None,
) -> Sample:
    """Photos to calibrate and to check on, what is left out told."""
    from facewise.data.people import read_people
    from facewise.data.sample import open_photos, sample_crops, sample_photos
    from facewise.errors import DatasetError
    from facewise.pipeline import Pipeline

    source, settings = open_photos(photos, tell=tell), detector_settings(max_size=max_size)
    people = read_people(without) if without else set()
    if people:
        tell(f"{count(len(people & set(source.names)), 'person', 'people')} of {photos} left out.")
    with progress_bar("Reading photos", min(wanted, len(source.keys))) as done:
        if original.card.kind == "detector":
            sample = sample_photos(
                source, wanted, longest=settings.max_size, seed=seed, without=people, progress=done
            )
        else:
            cut = original.card.preprocess.cut
            make: Callable[[], Pipeline] = lambda: Pipeline.load(detector, embed=False, settings=settings)  # noqa: E731
            sample = sample_crops(
                source, wanted, cut, pipeline=make, seed=seed, without=people, progress=done
            )
    reasons = [error for _, error in sample.unreadable]
    reasons += [f"no face was found in {key}." for key in sample.without_face]
    for reason in reasons[:_NAMED]:
        tell(f"Left out: {reason}")
    if len(reasons) > _NAMED:
        tell(f"… and {len(reasons) - _NAMED} more.")
    if len(sample.images) < _FEWEST:
        what = "photos that can be read" if original.card.kind == "detector" else "photos with a face"
        raise DatasetError(
            f"{photos} has {len(sample.images)} {what}; quantising takes at least {_FEWEST}, better hundreds."
        )
    return sample


def _compare(original: ModelFile, made: ModelFile, images: list[Image]) -> tuple[Agreement, list[Pace]]:
    """Run both, on photos that were not calibrated on.

    Raises:
        ModelError: The new model is broken.
    """
    import numpy as np

    from facewise.detection import load_detector
    from facewise.embedding import Embedder
    from facewise.evaluation.agreement import check_agreement, compare_detectors, compare_embedders
    from facewise.evaluation.pace import paces
    from facewise.variants import variants_of

    agreement: Agreement
    variant = variants_of(made)[0]  # that which was made, whichever is faster here
    if original.card.kind == "detector":
        new = load_detector(made, variant=variant)
        agreement = compare_detectors(load_detector(original), new, images)
    else:
        before, after = Embedder(original, flip=False), Embedder(made, flip=False, variant=variant)
        agreement = compare_embedders(before, after, np.stack(images))
    check_agreement(made.card.name, agreement)
    return agreement, paces(original, made, images)


def _report(
    done: Quantized, agreement: Agreement, speeds: list[Pace], sample: Sample, used: int, *, json: bool
) -> None:
    from facewise.cli.models import _describe

    before, after = len(done.original.network), len(done.model.network)
    if json:
        facts: dict[str, Any] = {
            "model": _describe(done.model),
            "format": done.format,
            "bytes": {"original": before, "quantized": after},
            "speed": [
                {"threads": p.threads, "original_per_second": p.original, "ratio": p.ratio} for p in speeds
            ],
            "agreement": agreement.to_dict(),
            "photos": {
                "calibrated_on": used,
                "without_face": sample.without_face,
                "unreadable": [{"photo": key, "error": error} for key, error in sample.unreadable],
            },
        }
        print_json(facts)
        return
    say(f"{done.original.card.name} → {done.model.path}")
    what = "crops/s" if done.original.card.kind == "embedder" else "photos/s"
    rows = [("size", f"{before / 1e6:.2f} MB", f"{after / 1e6:.2f} MB", f"{after / before:.2f}")]
    for pace in speeds:
        name = f"{what}, {count(pace.threads, 'thread')}"
        rows.append((name, f"{pace.original:.0f}", f"{pace.original * pace.ratio:.0f}", f"{pace.ratio:.2f}"))
    table("", ("", "original", done.format, "ratio"), rows, right=(1, 2, 3))
    say(f"Agreement: {agreement}.")
    if done.format == "int8":
        say("Its float network is in the file as well, and runs where that is faster (--variant).")
    if done.original.card.kind == "embedder":
        say("It is another model: it has no thresholds before `facewise eval lfw ROOT --save --model "
            f"{done.model.path.stem if done.model.path.parent.name == 'models' else done.model.path}`, "
            "and galleries do not mix it with the original.")  # fmt: skip
