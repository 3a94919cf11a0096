"""`facewise eval attributes`: how well age, gender, emotion and race are told, by group."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.evaluate_models import Aligned, about_run
from facewise.cli.options import (
    Detector,
    Json,
    MaxSize,
    Provider,
    Threads,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import BadItems, check_output_file, count, print_json, progress_bar, say, table, tell

if TYPE_CHECKING:
    from facewise.analysis.attributes import AttributeModel
    from facewise.data.attributes import LabelledPhotos
    from facewise.detection import Detector as Detector_
    from facewise.evaluation.attribute_photos import ToldFaces
    from facewise.evaluation.attributes import AttributesResult
    from facewise.metrics.bootstrap import Interval


@reads_photos
def attributes(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns path and any of age, gender, emotion, race.",
            parser=given_path,
            metavar="DATA.csv",
        ),
    ],
    part: Annotated[
        str | None,
        typer.Option("--part", help="Only photos of this part of the CSV's column part: train, val, test."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model of attributes: a name in the store or a model file."),
    ] = None,
    aligned: Aligned = False,
    detector: Detector = None,
    max_size: MaxSize = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Also write a page with the faces told wrongly.", parser=given_path),
    ] = None,
    photos_in: Annotated[bool, typer.Option("--photos/--no-photos", help="Show faces in that page.")] = True,
    json: Json = False,
) -> None:
    """Age, gender, emotion, race against labels: errors, confusion, calibration, worst groups."""
    from facewise.analysis.attributes import AttributeModel
    from facewise.data.attributes import PARTS, labelled_photos
    from facewise.errors import DatasetError
    from facewise.evaluation.attribute_photos import tell_photos
    from facewise.evaluation.attributes import measure_attributes

    if part is not None and part not in PARTS:
        raise typer.BadParameter(f"--part is {', '.join(PARTS)}, not {part}.")
    if report is not None:
        check_output_file(report)
    started = time.perf_counter()
    photos = labelled_photos(file)
    if part is not None:
        photos = photos.only(PARTS[part])
    teller = AttributeModel.load(model, provider=provider, threads=threads, variant=variant)
    found = None
    if not aligned:
        pipeline = load_pipeline(
            detector=detector, max_size=max_size, embed=False, provider=provider, threads=threads
        )
        found = pipeline.detector
    bad = BadItems("item")
    for sentence in photos.bad:
        bad.add(photos.name, sentence)
    with progress_bar(photos.name, len(photos)) as done:
        told = tell_photos(photos, teller, found, threads=threads, progress=done)
    for key, error in told.unreadable:
        bad.add(key, error)
    if not len(told.places):
        raise DatasetError(f"No face was found in the photos of {photos.name}.")
    result = measure_attributes(
        teller.rule, told.probabilities, {name: labels[told.places] for name, labels in photos.labels.items()}
    )
    if report is not None:
        _write(report, photos, told, teller, result, found, show=photos_in)
    if json:
        print_json(
            {
                "protocol": "attributes",
                "file": photos.name,
                "photos": len(photos),
                "faces": len(told.places),
                "without_face": list(told.without_face),
                "unfit": len(told.notes),
                "model": {
                    "name": teller.name,
                    "fingerprint": teller.model.fingerprint,
                    "variant": str(teller.network.variant),
                },
                "detector": None if found is None else found.name,
                **result.to_dict(),
                **bad.told,
                **about_run(started),
            }
        )
    else:
        _say(photos.name, len(photos), told, teller.name, result)
    bad.finish(len(told.places))


def _write(
    path: Path,
    photos: LabelledPhotos,
    told: ToldFaces,
    model: AttributeModel,
    result: AttributesResult,
    detector: Detector_ | None,
    *,
    show: bool,
) -> None:
    """The page, with the crops of the faces told wrongly read anew."""
    import numpy as np

    from facewise.evaluation.attribute_photos import FaceCrop, face_crops
    from facewise.evaluation.attributes import most_wrong
    from facewise.files import write_bytes
    from facewise.report.attributes import attributes_page

    labels = {name: values[told.places] for name, values in photos.labels.items()}
    wrong = most_wrong(model.rule, told.probabilities, labels)
    places = sorted({face.place for faces in wrong.values() for face in faces}) if show else []
    crops = {}
    if places:
        some = photos.at(told.places[np.array(places)])
        found = face_crops(some, model.cut, detector)
        crops = {i: one.crop for i, one in zip(places, found, strict=True) if isinstance(one, FaceCrop)}
    lead = [f"{count(len(told.places), 'face')} of {photos.name}, told by {model.name}."]
    page = attributes_page(photos.name, lead, result, wrong, crops, photos=show)
    write_bytes(path, page.html().encode())
    tell(f"The report is {path}" + ("; faces are in it." if crops else "."))


def _say(name: str, photos: int, told: ToldFaces, model: str, result: AttributesResult) -> None:
    say(f"{name}: {count(photos, 'photo')}, told by {model}; 95% intervals.")
    if told.without_face:
        tell(f"{count(len(told.without_face), 'photo')} without a face, not counted.")
    if told.notes:
        say(
            f"Of {count(len(told.notes), 'face')} `analyze` says nothing, as they are too small, blurred, "
            "turned or the like; they count here all the same."
        )
    if result.age is not None:
        _say_age(result)
    if result.words:
        columns = (
            "attribute",
            "faces",
            "accuracy",
            "macro F1",
            "macro recall",
            "ECE",
            "sure",
            "right if sure",
        )
        rows = [
            (
                attribute,
                f"{one.faces:,}",
                *(_told(figure) for figure in (one.accuracy, one.macro_f1, one.macro_recall)),
                f"{one.ece:.4f}",
                f"{one.answered:.3f}",
                "" if one.accuracy_answered is None else _told(one.accuracy_answered),
            )
            for attribute, one in result.words.items()
        ]
        table("", columns, rows)
    for attribute, figures in result.words.items():
        _say_confusion(attribute, figures)
    for attribute in result.groups:
        _say_groups(attribute, result)


def _say_age(result: AttributesResult) -> None:
    age = result.age
    assert age is not None  # noqa: S101  asked before
    say(
        f"Age of {count(age.faces, 'face')}: mean absolute error {_told(age.mae, 2)} years, "
        f"bias {age.bias:+.2f}, {age.within_5:.1%} within 5 years; the 90% interval covers "
        f"{_told(age.coverage)} and is {age.width:.1f} years wide on average."
    )


def _say_confusion(attribute: str, figures: Any) -> None:
    from facewise.models.attributes import WORDS

    words = WORDS[attribute]
    rows = [
        (word, *row, _told(figures.recalls[word]))
        for word, row in zip(words, figures.confusion, strict=True)
        if word in figures.recalls
    ]
    table(
        f"{attribute}: labelled (row), told (column)",
        ("", *words, "right"),
        rows,
        right=range(1, len(words) + 1),
    )


def _say_groups(attribute: str, result: AttributesResult) -> None:
    worst = result.worst(attribute)
    figure = "mean absolute error, years" if attribute == "age" else "accuracy"
    digits = 2 if attribute == "age" else 3
    rows = [
        (
            group.group,
            f"{group.faces:,}",
            _told(group.value, digits),
            "" if group.coverage is None else _told(group.coverage),
        )
        for group in result.groups[attribute]
    ]
    if not rows:
        return
    columns = ("group", "faces", figure, "interval covers" if attribute == "age" else "")
    table(f"{attribute} by group", columns, rows, right=(1,))
    if worst is not None:
        say(
            f"{attribute}: worst in the group {worst.group}, {_told(worst.value, digits)} of "
            f"{count(worst.faces, 'face')}."
        )


def _told(interval: Interval, digits: int = 3) -> str:
    return f"{interval.estimate:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
