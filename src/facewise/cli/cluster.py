"""`facewise cluster`: the faces of a pile of photos by person, with no names given."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from facewise.cli.options import (
    Detector,
    Flip,
    Fmr,
    Json,
    MaxSize,
    MinFace,
    Model,
    Photos,
    Provider,
    Threads,
    ThresholdOption,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import (
    BadItems,
    check_output_file,
    count,
    face_dict,
    named,
    print_json,
    say,
    table,
    tell,
)
from facewise.cli.photos import read_photos, tell_without

if TYPE_CHECKING:
    from facewise.types import Face


@reads_photos
def cluster(
    paths: Photos,
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .csv file: photo, face, group.", parser=given_path)
    ] = None,
    draw: Annotated[
        Path | None, typer.Option("--draw", help="A picture of the groups.", parser=given_path)
    ] = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 32.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Group the faces of a pile of photos by person, with no names given."""
    import numpy as np

    from facewise.drawing import check_drawable
    from facewise.errors import SettingError
    from facewise.gallery import cluster_faces
    from facewise.models import choose_decision, no_decision
    from facewise.pipeline import Steps

    for path in filter(None, (out, draw)):
        check_output_file(path)
    if draw is not None:
        check_drawable(draw)
    pipeline = load_pipeline(
        detector=detector,
        max_size=max_size,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
        min_face=min_face,
    )
    calibration = pipeline.embedder.calibration
    decision = choose_decision(calibration, fmr=fmr, threshold=threshold)
    if decision is None:
        raise SettingError(f"Grouping needs a threshold: {no_decision(calibration)}.")
    bad, photos, crops = BadItems("photo"), 0, list[Any]()
    faces: list[_Found] = []
    without: list[Path] = []
    steps = Steps(keep_crops=draw is not None)
    for path, photo in read_photos(pipeline, paths, steps, bad, "Reading"):
        photos += 1
        faces += [(path, i, face) for i, face in enumerate(photo.faces)]
        crops += list(photo.crops) if photo.crops is not None else []
        if not photo.faces:
            without.append(path)
    vectors = [face.embedding for *_, face in faces if face.embedding is not None]
    labels, poor = np.empty(0, np.int64), dict[int, str]()
    if vectors:
        qualities = [face.quality for *_, face in faces]
        labels, poor = cluster_faces(np.stack(vectors), qualities, decision, calibration)
    groups: dict[int, list[int]] = defaultdict(list)
    for i, label in enumerate(labels.tolist()):
        groups[label].append(i)
    groups = dict(sorted(groups.items()))  # the largest first
    if out is not None:
        _write_csv(out, faces, labels.tolist())
    if draw is not None and faces:
        _draw_groups(draw, groups, crops, faces)
    _print_groups(groups, faces, poor, without, bad, decision.threshold, pipeline.providers, json=json)
    if draw is not None and not json and faces:
        say(f"Drawn in {draw}.")
    bad.finish(photos)


_Found: TypeAlias = "tuple[Path, int, Face]"
"""A face, with its photo and its number there."""


def _print_groups(
    groups: dict[int, list[int]],
    faces: list[_Found],
    poor: dict[int, str],
    without: list[Path],
    bad: BadItems,
    threshold: float,
    providers: dict[str, str],
    *,
    json: bool,
) -> None:
    from facewise.image import source_name

    several = sum(len(members) > 1 for members in groups.values())
    if json:
        people = [
            [{"photo": str(faces[i][0]), "face": faces[i][1], **face_dict(faces[i][2])} for i in members]
            for members in groups.values()
        ]
        print_json(
            {
                "threshold": threshold,
                "groups": people,
                "too_poor": [
                    {"photo": str(faces[i][0]), "face": faces[i][1], "reason": why} for i, why in poor.items()
                ],
                "without_face": [str(path) for path in without],
                "providers": providers,
                **bad.told,
            }
        )
    elif faces:
        rows = (
            (label + 1, len(members), ", ".join(sorted({source_name(faces[i][0].name) for i in members})))
            for label, members in groups.items()
            if len(members) > 1
        )
        table("", ("group", "faces", "photos"), rows, right=(0, 1))
        say(
            f"{count(len(faces), 'face')}: {count(several, 'group')} of two or more, "
            f"{count(len(groups) - several, 'face')} alone (threshold {threshold:.3f})."
        )
    if poor:
        told = [f"{source_name(faces[i][0].name)} ({why})" for i, why in poor.items()]
        tell(f"{count(len(poor), 'face')} left out, too poor to group: {named(told)}.")
    tell_without(without)


def _write_csv(path: Path, faces: list[_Found], labels: list[int]) -> None:
    from facewise.files import atomic_write

    with (
        atomic_write(path) as temporary,
        # A file name that is not UTF-8 goes in as the bytes it is.
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("photo", "face", "group"))
        for (photo, i, _), label in zip(faces, labels, strict=True):
            writer.writerow((photo, i, label + 1))


def _draw_groups(path: Path, groups: dict[int, list[int]], crops: list[Any], faces: Sequence[_Found]) -> None:
    """The largest groups, then those who are alone; what is left out for room is said in the headings."""
    from facewise.drawing import Tile, contact_sheet, save_image

    def row(name: str, members: list[int], most: int) -> tuple[str, list[Tile]]:
        shown = f", {most} of them here" if len(members) > most else ""
        return f"{name}: {count(len(members), 'face')}{shown}", [
            Tile(crops[i], faces[i][0].name.replace("\n", "?")) for i in members[:most]
        ]

    several = sorted((item for item in groups.items() if len(item[1]) > 1), key=lambda item: -len(item[1]))
    rows = [row(f"Group {label + 1}", members, 20) for label, members in several[:40]]
    if len(several) > 40:
        rows.append((f"{count(len(several) - 40, 'smaller group')} not shown", []))
    alone = [i for members in groups.values() if len(members) == 1 for i in members]
    if alone:
        rows.append(row("Alone", alone, 40))
    save_image(path, contact_sheet(rows, tile=84))
